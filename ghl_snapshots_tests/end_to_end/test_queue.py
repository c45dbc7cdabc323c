"""Who is in a hurry goes first."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import pytest

from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.model import Priority, SnapshotType
from ghl_snapshots.core.snapshot_requests import RequestStatus, SnapshotRequest
from ghl_snapshots.ledger.session_locks import SessionLocks
from ghl_snapshots.ledger.snapshot_requests import NewRequest, SnapshotRequests
from ghl_snapshots.orchestration.partitions import TenantRange
from ghl_snapshots.orchestration.schedules import scheduled_trigger
from ghl_snapshots.orchestration.trigger import trigger_tags
from ghl_snapshots_tests.end_to_end import graphql
from ghl_snapshots_tests.end_to_end.conftest import Stack
from ghl_snapshots_tests.waiting import eventually

PLACES = 4
"""How many runs may work at once."""


@pytest.fixture
def locks(stack: Stack) -> Iterator[SessionLocks]:
    with open_database(stack.product.settings) as database, SessionLocks(database) as locks:
        yield locks


def in_status(stack: Stack, run_id: str, status: str) -> bool:
    found: str = graphql.run_of(stack.webserver, run_id)["status"]
    return found == status


def request_in_status(stack: Stack, request_id: str, status: RequestStatus) -> SnapshotRequest | None:
    with open_database(stack.product.settings) as database:
        request = SnapshotRequests(database).get(request_id)
    return request if request.status is status else None


@pytest.mark.usefixtures("idle")
def test_an_urgent_request_overtakes_the_batches_that_wait(stack: Stack, locks: SessionLocks) -> None:
    """All places are taken by runs that wait for a tenant whom this test keeps to itself."""
    assert locks.try_lock("capture t08 calendars")
    single = {"dagster/partition": "t08"}
    working = [graphql.launch(stack.webserver, ["calendars"], single) for _ in range(PLACES)]
    for run_id in working:
        eventually(partial(in_status, stack, run_id, "STARTED"), "the places are taken")
    batch = TenantRange(first="t10", last="t12").tags()
    tags = trigger_tags(scheduled_trigger("queue_test", datetime.now(UTC)), priority=Priority.LOW) | batch
    batches = [graphql.launch(stack.webserver, ["calendars"], tags) for _ in range(2)]
    for run_id in batches:
        eventually(partial(in_status, stack, run_id, "QUEUED"), "the batches wait")
    new_request = NewRequest(
        tenant_id="t09",
        ghl_account_id=stack.product.tenants["t09"].ghl_account_id,
        snapshot_types=(SnapshotType.WORKFLOWS,),
        priority=Priority.HIGH,
    )
    with open_database(stack.product.settings) as database:
        request_id = (
            SnapshotRequests(database).accept(new_request, now=datetime.now(UTC), limit=10).request_id
        )
    request = eventually(
        partial(request_in_status, stack, request_id, RequestStatus.QUEUED), "the request has a run"
    )
    locks.unlock("capture t08 calendars")
    assert request.run_id
    urgent = graphql.finished_run(stack.webserver, request.run_id)
    assert urgent["status"] == "SUCCESS"
    for run_id in batches:
        assert graphql.finished_run(stack.webserver, run_id)["startTime"] > urgent["startTime"]
    for run_id in working:
        assert graphql.finished_run(stack.webserver, run_id)["status"] == "SUCCESS"
    rows = stack.product.rows("SELECT source, status FROM ghl_snapshot WHERE correlation_id = %s", request_id)
    assert [(row["source"], row["status"]) for row in rows] == [("api", "success")]
