"""Requests for captures: accepted durably, handed to runs once, followed to their end.

Requests are taken up like this (in Dagster, a sensor and the run itself):

    for request in requests.waiting(limit=20):
        # launch a run with run_key and correlation id request.request_id, for request.snapshot_types
    requests.queued(request_id, run_id)      # as soon as there is a run
    requests.running(request_id, run_id)     # when it begins; again when another run takes its place
    requests.ended(request_id, error=...)    # when nothing more is to come, however it ended

All of these may be repeated and come late. The request id is the run key: a request that is still waiting
after its run was launched, because the process died in between, is listed again and must not get a second
run. How a request ended does not come from the run but is read from the snapshots that carry its id.
"""

import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow

from ghl_snapshots.core.audit_events import AuditEvent, EventType
from ghl_snapshots.core.errors import (
    AccountMismatchError,
    IdempotencyConflictError,
    RequestLimitError,
    RequestNotFoundError,
    TenantDisabledError,
    UnknownTenantError,
)
from ghl_snapshots.core.model import Priority, SnapshotType, Source
from ghl_snapshots.core.snapshot_requests import SnapshotRequest
from ghl_snapshots.ledger.audit import record
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.queries import query

RATE_WINDOW = timedelta(minutes=1)
_PICK_UP_SECONDS = 5
_SECONDS_A_TYPE = 5
"""Assumed where a type was never captured."""
_ALPHABET = string.ascii_lowercase + string.digits


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRequest:
    """What a caller asks for; `reason` is at most 500 characters, `idempotency_key` at most 200."""

    tenant_id: str
    ghl_account_id: str
    snapshot_types: tuple[SnapshotType, ...] = tuple(SnapshotType)
    priority: Priority = Priority.NORMAL
    reason: str | None = None
    idempotency_key: str | None = None
    key_id: str | None = None
    """The API key that asks."""


class SnapshotRequests:
    """The requests of every tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def accept(self, new_request: NewRequest, *, now: datetime, limit: int) -> SnapshotRequest:
        """Keep the request, with its audit event, in one transaction; it is durable when this returns.

        A request with the Idempotency-Key of an earlier one is that one, whose request is returned. At most
        `limit` requests of a tenant are accepted in RATE_WINDOW.

        Raises:
            UnknownTenantError: the registry does not hold the tenant.
            RequestRefusedError: the tenant's account is another, the tenant is disabled, the Idempotency-Key
                was used for another request, or the limit is reached; nothing was stored.
            LedgerError: the server does not answer; it stored nothing, unless it went away during the commit.
        """
        with self._database.writer(new_request.tenant_id) as connection:
            connection.execute(query("lock_requests"), {"tenant_id": new_request.tenant_id})
            earlier = _accepted_earlier(connection, new_request)
            if earlier:
                record(connection, _event(earlier, new_request, replayed=True))
                return earlier
            _check_tenant(connection, new_request)
            _check_limit(connection, new_request.tenant_id, limit)
            accepted = _added(connection, new_request, now)
            record(connection, _event(accepted, new_request, replayed=False))
            return accepted

    def get(self, request_id: str, *, tenant_id: str | None = None) -> SnapshotRequest:
        """One request; with a tenant only if it is that tenant's.

        Raises:
            RequestNotFoundError: there is none, or it is another tenant's.
        """
        session = self._database.auditor() if tenant_id is None else self._database.reader(tenant_id)
        with session as connection:
            row = connection.execute(query("request"), {"request_id": request_id}).fetchone()
        if row is None:
            raise RequestNotFoundError(f"There is no request {request_id!r}.")
        return SnapshotRequest.from_row(row)

    def waiting(self, *, limit: int) -> Sequence[SnapshotRequest]:
        """Requests of all tenants without a run, the most urgent first and then the oldest."""
        with self._database.auditor() as connection:
            rows = connection.execute(query("waiting_requests"), {"limit": limit})
            return [SnapshotRequest.from_row(row) for row in rows]

    def queued(self, request_id: str, run_id: str) -> None:
        """A run was launched; the first run that is noted stays. Raises RequestNotFoundError."""
        self._move("request_queued", request_id, run_id=run_id)

    def running(self, request_id: str, run_id: str) -> None:
        """The run has begun; one that takes another's place opens the request again.

        Raises:
            RequestNotFoundError: there is no such request.
        """
        self._move("request_running", request_id, run_id=run_id)

    def ended(self, request_id: str, *, error: str | None = None) -> None:
        """Nothing more is to come; `error` is for a person and says why something is missing.

        A run that another will take the place of has not ended the request. Raises RequestNotFoundError.
        """
        self._move("request_ended", request_id, error=error)

    def _move(self, name: str, request_id: str, **values: str | None) -> None:
        tenant_id = self.get(request_id).tenant_id
        with self._database.writer(tenant_id) as connection:
            connection.execute(query(name), {"request_id": request_id, **values})


def _accepted_earlier(connection: Connection[DictRow], new_request: NewRequest) -> SnapshotRequest | None:
    if new_request.idempotency_key is None:
        return None
    key = {"tenant_id": new_request.tenant_id, "idempotency_key": new_request.idempotency_key}
    row = connection.execute(query("request_of_idempotency_key"), key).fetchone()
    if row is None:
        return None
    earlier = SnapshotRequest.from_row(row)
    if _asked(earlier) != _asked(new_request):
        raise IdempotencyConflictError(
            f"The Idempotency-Key was used for request {earlier.request_id}, which asked for something else."
        )
    return earlier


def _asked(new_request: NewRequest | SnapshotRequest) -> tuple[object, ...]:
    return (
        new_request.ghl_account_id,
        sorted(new_request.snapshot_types),
        new_request.priority,
        new_request.reason,
    )


def _check_tenant(connection: Connection[DictRow], new_request: NewRequest) -> None:
    tenant = connection.execute(query("tenant"), {"tenant_id": new_request.tenant_id}).fetchone()
    if tenant is None:
        raise UnknownTenantError(new_request.tenant_id)
    if tenant["ghl_account_id"] != new_request.ghl_account_id:
        raise AccountMismatchError(
            f"GHL account {new_request.ghl_account_id!r} is not that of tenant {new_request.tenant_id!r}."
        )
    if not tenant["enabled"]:
        raise TenantDisabledError(f"Tenant {new_request.tenant_id!r} is disabled, so it is not captured.")


def _check_limit(connection: Connection[DictRow], tenant_id: str, limit: int) -> None:
    parameters = {"tenant_id": tenant_id, "limit": limit, "window": RATE_WINDOW}
    full = connection.execute(query("full_window"), parameters).fetchone()
    if full:
        raise RequestLimitError(
            f"Tenant {tenant_id!r} has asked {limit} times within {RATE_WINDOW.seconds} seconds.",
            wait_seconds=max(1, full["wait_seconds"]),
        )


def _added(connection: Connection[DictRow], new_request: NewRequest, now: datetime) -> SnapshotRequest:
    types = [str(snapshot_type) for snapshot_type in new_request.snapshot_types]
    scope = {"tenant_id": new_request.tenant_id, "snapshot_types": types}
    durations = [row["duration_ms"] for row in connection.execute(query("usual_durations"), scope)]
    parameters = {
        **scope,
        "request_id": _request_id(now),
        "ghl_account_id": new_request.ghl_account_id,
        "priority": new_request.priority.value,
        "reason": new_request.reason,
        "idempotency_key": new_request.idempotency_key,
        "key_id": new_request.key_id,
        "estimated_seconds": _estimate(durations),
    }
    row = connection.execute(query("add_request"), parameters).fetchone()
    return SnapshotRequest.from_row(row or {})


def _request_id(now: datetime) -> str:
    suffix = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    return f"manual_snapshot_{int(now.timestamp() * 1000):013}_{suffix}"


def _estimate(durations_ms: Sequence[int | None]) -> int:
    """Seconds until the captures should be there: those of one tenant are made one after the other."""
    typical = sum(_SECONDS_A_TYPE * 1000 if taken is None else taken for taken in durations_ms)
    return _PICK_UP_SECONDS + ceil(typical / 1000)


def _event(request: SnapshotRequest, new_request: NewRequest, *, replayed: bool) -> AuditEvent:
    details: Mapping[str, Any] = {
        "snapshotTypes": [str(snapshot_type) for snapshot_type in request.snapshot_types],
        "priority": request.priority.value,
        "reason": request.reason,
        "keyId": new_request.key_id,
        "replayed": replayed,
    }
    return AuditEvent(
        event_type=EventType.TRIGGER_ACCEPTED,
        tenant_id=request.tenant_id,
        ghl_account_id=request.ghl_account_id,
        correlation_id=request.request_id,
        success=True,
        source=Source.API,
        details=details,
    )
