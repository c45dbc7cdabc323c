"""A run whose process dies is taken up again, and captures only what its trigger still lacks."""

import os
import signal
from collections.abc import Sequence
from functools import partial
from itertools import product as pairs

import pytest

from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.ledger.verification import Verification
from ghl_snapshots.orchestration import dagster_tags
from ghl_snapshots.orchestration.partitions import TenantRange
from ghl_snapshots.simulator.faults import Fault, Hang
from ghl_snapshots_tests.end_to_end import graphql
from ghl_snapshots_tests.end_to_end.conftest import Stack
from ghl_snapshots_tests.waiting import eventually

MOMENTS = (34, 0, 1, 17)
"""How many of the 35 snapshots are stored when the process is killed."""


def stored(stack: Stack, correlation_id: str) -> list[tuple[object, object, object]]:
    rows = stack.product.rows(
        "SELECT tenant_id, snapshot_type, status FROM ghl_snapshot WHERE correlation_id = %s "
        "ORDER BY tenant_id, snapshot_type",
        correlation_id,
    )
    return [(row["tenant_id"], row["snapshot_type"], row["status"]) for row in rows]


def audited(stack: Stack, correlation_id: str) -> list[object]:
    """The tenants of the full-run events in the audit trail, once for each event."""
    rows = stack.product.rows(
        "SELECT tenant_id FROM ghl_snapshot_audit_event WHERE event_type = 'ghl_snapshot_full_run' "
        "AND success AND correlation_id = %s ORDER BY 1",
        correlation_id,
    )
    return [row["tenant_id"] for row in rows]


def are_audited(stack: Stack, correlation_id: str, tenants: Sequence[str]) -> bool:
    return audited(stack, correlation_id) == list(tenants)


def has_stored(stack: Stack, correlation_id: str, count: int) -> bool:
    return len(stored(stack, correlation_id)) >= count


@pytest.mark.usefixtures("idle", "slow_ghl")
def test_a_run_killed_at_any_moment_is_completed_by_another_one(stack: Stack) -> None:
    tenants = stack.product.tenant_ids[:7]
    whole = TenantRange(first=tenants[0], last=tenants[-1]).tags()
    killed = {}
    last = stack.product.tenants[tenants[-1]].ghl_account_id
    # The first run waits for its last answer, or it might be over before it is killed.
    held_back = Fault(effect=Hang(seconds=3600), route="/workflows/", location_id=last, times=1)
    stack.product.simulator.inject(held_back)
    for moment in MOMENTS:
        trigger = f"scheduled_killed_{moment}"
        tags = {**whole, dagster_tags.CORRELATION_ID: trigger, dagster_tags.SOURCE: "scheduled"}
        run_id = graphql.launch(stack.webserver, list(SnapshotType), tags)
        pid = graphql.worker_pid(stack.webserver, run_id)
        eventually(partial(has_stored, stack, trigger, moment), "it is time to kill")
        os.kill(pid, signal.SIGKILL)
        killed[trigger] = run_id
    expected = [(tenant, kind, "success") for tenant, kind in pairs(tenants, sorted(SnapshotType))]
    for trigger, run_id in killed.items():
        [retry] = eventually(partial(graphql.retries, stack.webserver, run_id), f"{trigger} is retried")
        graphql.finished_run(stack.webserver, retry["runId"])
        assert stored(stack, trigger) == expected
    for trigger in killed:
        eventually(partial(are_audited, stack, trigger, tenants), "the audit trail has every tenant, once")
    with open_database(stack.product.settings) as database:
        assert not list(Verification(database, deep=True)), "nothing is half-written"
