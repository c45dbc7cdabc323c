"""At most one capture of a tenant and type at a time, and every trigger gets its own."""

import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

import pytest

from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.definitions import composed
from ghl_snapshots.ledger.session_locks import SessionLocks
from ghl_snapshots.orchestration.launch import capture_now
from ghl_snapshots_tests.orchestration.product import Product

PROGRAM = """
import sys
from ghl_snapshots.definitions import composed
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.orchestration.launch import capture_now

print("ready", flush=True)
sys.stdin.readline()
launched = capture_now(
    composed, ["t00", "t01", "t02", "t03"], [SnapshotType.WORKFLOWS, SnapshotType.PIPELINES], reason="test"
)
sys.exit(0 if launched.success else str(launched.failures))
"""


def captured_at_once(processes: int) -> Sequence[int]:
    """The exit codes of processes that begin to capture the same tenants at the same moment."""
    command = [sys.executable, "-c", PROGRAM]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    for process in started:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in started:
        process.communicate(timeout=120)
    return [process.returncode for process in started]


def test_two_processes_take_turns_and_each_stores_its_own_snapshots(product: Product) -> None:
    product.simulator.latency_seconds = 0.3
    assert captured_at_once(2) == [0, 0]
    spans: dict[tuple[object, object], list[tuple[object, object]]] = {}
    for row in product.rows(
        "SELECT tenant_id, snapshot_type, correlation_id, captured_at, "
        "captured_at + duration_ms * interval '1 ms' AS ended FROM ghl.snapshot ORDER BY captured_at"
    ):
        spans.setdefault((row["tenant_id"], row["snapshot_type"]), []).append(
            (row["captured_at"], row["ended"])
        )
    assert len(spans) == 8
    for times in spans.values():
        assert len(times) == 2
        for (_, ended), (began, _) in pairwise(times):
            assert ended - began < timedelta(milliseconds=1), "a duration is kept in whole milliseconds"  # type: ignore[operator]


def test_a_tenant_whose_turn_never_comes_is_named_and_the_others_are_captured(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GHL_SNAPSHOTS_CAPTURE_TIMEOUT_SECONDS", "1")
    with open_database(product.settings) as database, SessionLocks(database) as locks:
        for tenant in ("t01", "t02"):
            assert locks.try_lock(f"capture {tenant} workflows")
        launched = capture_now(composed, product.tenant_ids, [SnapshotType.WORKFLOWS], reason="test")
    [failure] = launched.failures
    assert "t01 (busy): another run was still capturing it" in failure
    assert "t02 (busy)" in failure
    rows = product.rows("SELECT tenant_id FROM ghl_snapshot ORDER BY tenant_id")
    assert [row["tenant_id"] for row in rows] == ["t00", "t03", "t04"]
