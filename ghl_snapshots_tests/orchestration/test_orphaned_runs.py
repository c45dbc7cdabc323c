"""A run without a process is not shown as under way for ever."""

import subprocess
import sys

import dagster as dg

from ghl_snapshots.definitions import definitions
from ghl_snapshots.orchestration.orphaned_runs import lost_runs
from ghl_snapshots_tests.orchestration.product import Product
from ghl_snapshots_tests.orchestration.sensing import evaluated

PROGRAM = """
from ghl_snapshots.definitions import composed
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.orchestration.launch import capture_now

capture_now(
    composed, ["t00", "t01"], [SnapshotType.WORKFLOWS], reason="test",
    on_stored=lambda appended: print(appended.snapshot.tenant_id, flush=True) or input(),
)
"""


def statuses(product: Product) -> list[dg.DagsterRunStatus]:
    with product.instance() as instance:
        return [run.status for run in instance.get_runs()]


def test_a_command_that_was_killed_leaves_a_failed_run_behind(product: Product) -> None:
    """The run of `ghl-snapshots snapshot` is executed by the command itself."""
    command = [sys.executable, "-c", PROGRAM]
    cursor = None
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline()
        for _ in range(3):
            cursor = evaluated(product, lost_runs, cursor).cursor
        assert statuses(product) == [dg.DagsterRunStatus.STARTED], "its process lives"
        process.kill()
    cursor = evaluated(product, lost_runs, cursor).cursor
    assert statuses(product) == [dg.DagsterRunStatus.STARTED], "it may just have ended"
    evaluated(product, lost_runs, cursor)
    with product.instance() as instance:
        [run] = instance.get_runs()
        assert run.status is dg.DagsterRunStatus.FAILURE
        assert run.tags["dagster/will_retry"] == "false"


def test_runs_of_other_code_are_none_of_our_business(product: Product) -> None:
    @dg.job
    def full_snapshots_of_somebody_else() -> None:
        pass

    with product.instance() as instance:
        instance.create_run_for_job(full_snapshots_of_somebody_else, status=dg.DagsterRunStatus.STARTED)
    cursor = evaluated(product, lost_runs).cursor
    evaluated(product, lost_runs, cursor)
    assert statuses(product) == [dg.DagsterRunStatus.STARTED]


def test_a_lost_run_that_dagster_launched_is_taken_up_by_another(product: Product) -> None:
    with product.instance() as instance:
        instance.create_run_for_job(
            definitions().resolve_job_def("full_snapshot"), status=dg.DagsterRunStatus.STARTED
        )
    cursor = evaluated(product, lost_runs).cursor
    evaluated(product, lost_runs, cursor)
    with product.instance() as instance:
        [run] = instance.get_runs()
        assert (run.status, run.tags["dagster/will_retry"]) == (dg.DagsterRunStatus.FAILURE, "true")
