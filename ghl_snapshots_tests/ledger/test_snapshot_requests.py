"""Requests for captures: durable, accepted once, and reported truly however their runs go."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import Connection

from ghl_snapshots.core.errors import (
    AccountMismatchError,
    IdempotencyConflictError,
    RequestLimitError,
    RequestNotFoundError,
    TenantDisabledError,
    UnknownTenantError,
)
from ghl_snapshots.core.model import Priority, SnapshotType, Status
from ghl_snapshots.core.snapshot_requests import RequestStatus, SnapshotRequest
from ghl_snapshots.ledger.audit import AuditTrail
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.snapshot_requests import NewRequest, SnapshotRequests
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots_tests.ledger.captures import capture

NOW = datetime(2023, 12, 21, 12, 0, 56, 789000, tzinfo=UTC)
TWO = (SnapshotType.PIPELINES, SnapshotType.WORKFLOWS)
NEW_REQUEST = NewRequest(tenant_id="acme", ghl_account_id="account-acme", snapshot_types=TWO)


@pytest.fixture
def requests(database: Database) -> SnapshotRequests:
    return SnapshotRequests(database)


def accepted(
    requests: SnapshotRequests, new_request: NewRequest = NEW_REQUEST, *, limit: int = 100
) -> SnapshotRequest:
    return requests.accept(new_request, now=NOW, limit=limit)


def test_an_accepted_request_waits_with_its_audit_event_under_its_own_id(
    requests: SnapshotRequests, database: Database
) -> None:
    request = accepted(requests, replace(NEW_REQUEST, reason="because", priority=Priority.HIGH))
    assert request.request_id.startswith("manual_snapshot_1703160056789_")
    assert requests.get(request.request_id) == request
    assert requests.waiting(limit=10) == [request]
    [event] = AuditTrail(database).events(correlation_id=request.request_id)
    assert (event.event_type, event.tenant_id, event.success) == (
        "ghl_snapshot_trigger_accepted",
        "acme",
        True,
    )


@pytest.mark.usefixtures("database")
def test_a_request_for_a_type_that_does_not_exist_is_refused_by_the_database(superuser: Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="no such snapshot types"):
        superuser.execute(
            "INSERT INTO snapshot_request (request_id, tenant_id, ghl_account_id, snapshot_types, priority, "
            "estimated_seconds) VALUES ('manual_snapshot_1703160056789_abcdef', 'acme', 'account-acme', "
            "'{pipelines,contacts}', 'normal', 1)"
        )


def test_the_most_urgent_request_comes_first_and_then_the_oldest(requests: SnapshotRequests) -> None:
    order = [Priority.LOW, Priority.NORMAL, Priority.HIGH, Priority.HIGH, Priority.NORMAL]
    made = [accepted(requests, replace(NEW_REQUEST, priority=priority)).request_id for priority in order]
    waiting = [request.request_id for request in requests.waiting(limit=10)]
    assert waiting == [made[2], made[3], made[1], made[4], made[0]]
    assert [request.request_id for request in requests.waiting(limit=2)] == waiting[:2]


def test_a_request_is_followed_from_acceptance_to_its_end(requests: SnapshotRequests, ledger: Ledger) -> None:
    request_id = accepted(requests).request_id

    def status() -> RequestStatus:
        return requests.get(request_id).status

    assert status() is RequestStatus.ACCEPTED
    requests.queued(request_id, "run-1")
    assert (status(), requests.waiting(limit=1)) == (RequestStatus.QUEUED, [])
    requests.running(request_id, "run-1")
    requests.queued(request_id, "run-1")
    assert status() is RequestStatus.RUNNING
    for snapshot_type in TWO:
        assert status() is RequestStatus.RUNNING
        ledger.append(capture(snapshot_type=snapshot_type, correlation_id=request_id))
    assert status() is RequestStatus.SUCCEEDED
    requests.ended(request_id)
    requests.running(request_id, "run-1")
    found = requests.get(request_id)
    assert found.status is RequestStatus.SUCCEEDED
    assert (found.run_id, found.error) == ("run-1", None)
    assert found.ended_at is not None


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ((), RequestStatus.FAILED),
        ((Status.FAILED,), RequestStatus.FAILED),
        ((Status.FAILED, Status.FAILED), RequestStatus.FAILED),
        ((Status.SUCCESS,), RequestStatus.PARTIAL_FAILURE),
        ((Status.PARTIAL_FAILURE, Status.SUCCESS), RequestStatus.PARTIAL_FAILURE),
        ((Status.FAILED, Status.SUCCESS), RequestStatus.PARTIAL_FAILURE),
        ((Status.SUCCESS, Status.SUCCESS), RequestStatus.SUCCEEDED),
    ],
)
def test_how_a_request_ended_is_read_from_what_is_stored(
    requests: SnapshotRequests, ledger: Ledger, stored: tuple[Status, ...], expected: RequestStatus
) -> None:
    request_id = accepted(requests).request_id
    requests.running(request_id, "run-1")
    for snapshot_type, status in zip(TWO, stored, strict=False):
        bodies = () if status is Status.FAILED else (b'{"id":"a"}',)
        ledger.append(
            capture("acme", bodies, snapshot_type=snapshot_type, status=status, correlation_id=request_id)
        )
    requests.ended(request_id, error="the run broke off")
    assert requests.get(request_id).status is expected


def test_a_run_that_takes_anothers_place_opens_the_request_again(requests: SnapshotRequests) -> None:
    request_id = accepted(requests).request_id
    requests.running(request_id, "run-1")
    requests.ended(request_id, error="killed")
    assert requests.get(request_id).status is RequestStatus.FAILED
    requests.running(request_id, "run-2")
    found = requests.get(request_id)
    assert (found.status, found.run_id, found.error) == (RequestStatus.RUNNING, "run-2", None)


def test_requests_that_cannot_be_met_are_refused_and_leave_nothing(
    requests: SnapshotRequests, database: Database
) -> None:
    with pytest.raises(UnknownTenantError):
        accepted(requests, replace(NEW_REQUEST, tenant_id="nobody"))
    with pytest.raises(AccountMismatchError):
        accepted(requests, replace(NEW_REQUEST, ghl_account_id="account-zenith"))
    TenantRegistry(database).set_enabled("acme", enabled=False)
    with pytest.raises(TenantDisabledError):
        accepted(requests)
    assert requests.waiting(limit=10) == []


def test_an_idempotency_key_stands_for_one_request_of_its_tenant(requests: SnapshotRequests) -> None:
    new_request = replace(NEW_REQUEST, idempotency_key="k1")
    first = accepted(requests, new_request)
    assert accepted(requests, replace(new_request, snapshot_types=TWO[::-1]), limit=1) == first
    with pytest.raises(IdempotencyConflictError, match=first.request_id):
        accepted(requests, replace(new_request, priority=Priority.LOW))
    other = replace(new_request, tenant_id="zenith", ghl_account_id="account-zenith")
    assert accepted(requests, other).request_id != first.request_id
    assert len(requests.waiting(limit=10)) == 2


def test_callers_at_once_with_one_idempotency_key_get_one_request(requests: SnapshotRequests) -> None:
    new_request = replace(NEW_REQUEST, idempotency_key="k1")
    with ThreadPoolExecutor(8) as pool:
        made = {
            request.request_id for request in pool.map(lambda _: accepted(requests, new_request), range(24))
        }
    assert len(made) == 1


def test_no_more_requests_than_the_limit_are_accepted_however_many_come_at_once(
    requests: SnapshotRequests,
) -> None:
    def wait(_: int) -> int:
        try:
            accepted(requests, limit=5)
        except RequestLimitError as error:
            return error.wait_seconds
        return 0

    with ThreadPoolExecutor(8) as pool:
        waits = sorted(pool.map(wait, range(20)))
    assert waits[:5] == [0] * 5
    assert all(1 <= seconds <= 60 for seconds in waits[5:])
    assert accepted(
        requests, replace(NEW_REQUEST, tenant_id="zenith", ghl_account_id="account-zenith"), limit=1
    )


def test_the_estimate_follows_from_what_captures_took_lately(
    requests: SnapshotRequests, ledger: Ledger
) -> None:
    assert (
        accepted(requests, replace(NEW_REQUEST, snapshot_types=tuple(SnapshotType))).estimated_seconds == 30
    )
    for snapshot_type in TWO:
        ledger.append(replace(capture(snapshot_type=snapshot_type), duration_ms=20_500))
    assert accepted(requests).estimated_seconds == 46


def test_a_foreign_or_unknown_request_is_not_found(requests: SnapshotRequests) -> None:
    request_id = accepted(requests).request_id
    for look in (
        lambda: requests.get(request_id, tenant_id="zenith"),
        lambda: requests.get("manual_snapshot_1703160056789_nothing"),
        lambda: requests.running("manual_snapshot_1703160056789_nothing", "run-1"),
    ):
        with pytest.raises(RequestNotFoundError):
            look()


def test_what_was_asked_for_cannot_be_changed_or_removed(
    requests: SnapshotRequests, as_role: Callable[..., Connection], superuser: Connection
) -> None:
    accepted(requests)
    writer = as_role("writer", "acme")
    for statement in ("UPDATE snapshot_request SET priority = 'low'", "DELETE FROM snapshot_request"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            writer.execute(statement)
    for statement in ("DELETE FROM snapshot_request", "TRUNCATE snapshot_request"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            superuser.execute(statement)
    assert (
        as_role("writer", "zenith")
        .execute("UPDATE snapshot_request SET run_id = 'x', queued_at = now()")
        .rowcount
        == 0
    )
    assert as_role("reader", "zenith").execute("SELECT FROM snapshot_request").rowcount == 0
