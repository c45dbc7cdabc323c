"""Runs on demand, interrupted: in a process of its own, because a signal is for a whole process."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import dagster as dg
import pytest

from ghl_snapshots.simulator.faults import Fault, Hang
from ghl_snapshots_tests.orchestration.product import Product

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


@pytest.fixture
def halfway(product: Product, monkeypatch: pytest.MonkeyPatch) -> Iterator["subprocess.Popen[str]"]:
    """A process in the middle of its run: one tenant is stored, the other's answer never comes."""
    monkeypatch.setenv("GHL_SNAPSHOTS_READ_TIMEOUT_SECONDS", "2")
    location_id = product.tenants["t01"].ghl_account_id
    product.simulator.inject(Fault(route="/workflows/", location_id=location_id, effect=Hang(seconds=60)))
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "t00\n"
        yield process
        process.kill()


def test_ctrl_c_ends_the_run_as_canceled_and_keeps_what_was_stored(
    product: Product, halfway: "subprocess.Popen[str]"
) -> None:
    halfway.send_signal(signal.SIGINT)
    _, errors = halfway.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors
    with product.instance() as instance:
        [run] = instance.get_runs()
        assert run.status is dg.DagsterRunStatus.CANCELED
    assert [row["tenant_id"] for row in product.rows("SELECT tenant_id FROM ghl_snapshot")] == ["t00"]
