"""A run without a process is not shown as under way forever."""

import subprocess
import sys

import dagster as dg
import pytest

from ghl_snapshots.definitions import definitions
from ghl_snapshots.orchestration import dagster_tags
from ghl_snapshots.orchestration.orphaned_runs import orphaned_runs
from ghl_snapshots.simulator.faults import Fault, Hang
from ghl_snapshots_tests.orchestration.product import Product
from ghl_snapshots_tests.orchestration.sensing import evaluated

pytestmark = pytest.mark.slow

PROGRAM = """
from ghl_snapshots.definitions import all_definitions
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.orchestration.launch import capture_now

capture_now(
    all_definitions(), ["t00", "t01"], [SnapshotType.WORKFLOWS], reason="test",
    on_snapshot=lambda snapshot: print(snapshot.tenant_id, flush=True),
)
"""


def statuses(product: Product) -> list[dg.DagsterRunStatus]:
    with product.instance() as instance:
        return [run.status for run in instance.get_runs()]


def test_a_command_that_was_killed_leaves_a_failed_run_behind(product: Product) -> None:
    """The run of `ghl-snapshots snapshot` is executed by the command itself."""
    location_id = product.tenants["t01"].ghl_account_id
    product.simulator.inject(Fault(route="/workflows/", location_id=location_id, effect=Hang(seconds=60)))
    command = [sys.executable, "-c", PROGRAM]
    cursor = None
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline()
        for _ in range(3):
            cursor = evaluated(product, orphaned_runs, cursor).cursor
        assert statuses(product) == [dg.DagsterRunStatus.STARTED], "its process lives"
        process.kill()
    cursor = evaluated(product, orphaned_runs, cursor).cursor
    assert statuses(product) == [dg.DagsterRunStatus.STARTED], "it may just have ended"
    evaluated(product, orphaned_runs, cursor)
    with product.instance() as instance:
        [run] = instance.get_runs()
        assert run.status is dg.DagsterRunStatus.FAILURE
        assert run.tags["dagster/will_retry"] == "false"


def test_runs_of_other_code_are_left_alone(product: Product) -> None:
    @dg.job
    def full_snapshots_of_somebody_else() -> None:
        pass

    with product.instance() as instance:
        instance.create_run_for_job(full_snapshots_of_somebody_else, status=dg.DagsterRunStatus.STARTED)
    cursor = evaluated(product, orphaned_runs).cursor
    evaluated(product, orphaned_runs, cursor)
    assert statuses(product) == [dg.DagsterRunStatus.STARTED]


def test_an_orphaned_run_that_dagster_launched_is_retried(product: Product) -> None:
    with product.instance() as instance:
        instance.create_run_for_job(
            definitions().resolve_job_def("full_snapshot"),
            status=dg.DagsterRunStatus.STARTED,
            tags={dagster_tags.JOB: "capture"},
        )
    cursor = evaluated(product, orphaned_runs).cursor
    evaluated(product, orphaned_runs, cursor)
    with product.instance() as instance:
        [run] = instance.get_runs()
        assert (run.status, run.tags["dagster/will_retry"]) == (dg.DagsterRunStatus.FAILURE, "true")
