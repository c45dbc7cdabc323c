"""Appending a capture: the contract that it must keep, and what one transaction adds to the ledger."""

import re
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any, Final, NoReturn

import psycopg
from psycopg import Connection
from psycopg.rows import DictRow
from uuid_utils import uuid7

from ghl_snapshots.core.errors import DatabaseLostError, LedgerError, SnapshotRefusedError
from ghl_snapshots.core.model import SCHEMA_VERSION, Capture, RequestRecord, Snapshot, SnapshotType, Status
from ghl_snapshots.ledger.audit import capture_event, record, refusal_event
from ghl_snapshots.ledger.chain_locks import describe_chain_lock, is_lock_timeout
from ghl_snapshots.ledger.content import store_payload, store_provenance
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.migrations import check_schema
from ghl_snapshots.ledger.queries import query

SHOWN_BYTES: Final = 64_000_000
"""The largest payload that its JSON form shows whole; in the database `shown_bytes` is the same limit."""
_TRIES = 3
_IN_THE_WAY = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)
_CORRELATION_ID = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,200}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """What came of appending a capture."""

    snapshot: Snapshot
    already_stored: bool
    """The same trigger had led to this snapshot before; nothing was added now."""
    new_entities: int = 0
    new_bytes: int = 0
    payload_bytes: int = 0
    """The size of the capture's payload."""


def append(database: Database, capture: Capture) -> Appended:
    """Store a capture with its audit event in one transaction, unless its trigger has led to one already.

    Raises:
        SnapshotRefusedError: the capture breaks the contract; nothing was stored but an audit event.
        SchemaError: the database is not the one that this release works with; nothing was stored.
        LedgerError: the database does not answer, or another session locks the end of the chain; nothing
            was stored, or all of it was.
    """
    violation = _violation(capture)
    if violation:
        _refuse(database, capture, violation)
    try:
        return _append_with_retries(database, capture)
    except SnapshotRefusedError as error:
        _refuse(database, capture, str(error))
    except LedgerError as error:
        if not is_lock_timeout(error):
            raise
        raise describe_chain_lock(database, capture, error) from error.__cause__
    except psycopg.ProgrammingError as error:
        check_schema(database)
        raise LedgerError(f"The database does not take what this release stores: {error}.") from error
    except (psycopg.IntegrityError, psycopg.DataError) as error:
        # Of a newer schema a constraint that this release does not know says nothing against the capture.
        check_schema(database)
        _refuse(database, capture, error.diag.message_primary or str(error))


def _append_with_retries(database: Database, capture: Capture) -> Appended:
    """Append, and do so again if the server went away or two transactions were in each other's way.

    That is safe also if it went away after it was asked to commit: the second try then finds the snapshot.
    """
    for _ in range(_TRIES - 1):
        try:
            with database.writer(capture.tenant_id) as connection:
                return append_in(connection, capture)
        except LedgerError as error:
            if not isinstance(error, DatabaseLostError) and not isinstance(error.__cause__, _IN_THE_WAY):
                raise
    with database.writer(capture.tenant_id) as connection:
        return append_in(connection, capture)


def append_in(connection: Connection[DictRow], capture: Capture) -> Appended:
    """Add a capture that keeps the contract in the connection's transaction; without retries.

    Raises:
        SnapshotRefusedError: the tenant is not registered, or has another account.
        psycopg.IntegrityError: the capture breaks a constraint of the schema.
    """
    size = sum(len(entity.body) for entity in capture.entities)
    existing = _snapshot_of_trigger(connection, capture)
    if existing:
        return Appended(snapshot=existing, already_stored=True, payload_bytes=size)
    _check_account(connection, capture)
    growth = store_payload(connection, capture)
    added = _add_snapshot(connection, capture, new_bytes=growth.new_bytes)
    snapshot = _snapshot_of_trigger(connection, capture)
    if snapshot is None:
        raise LedgerError(f"The snapshot of trigger {capture.correlation_id} was stored but is not there.")
    if not added:  # the same trigger's other process was quicker, and its transaction is over by now
        return Appended(snapshot=snapshot, already_stored=True, payload_bytes=size)
    record(connection, capture_event(snapshot))
    return Appended(
        snapshot=snapshot,
        already_stored=False,
        new_entities=growth.new_entities,
        new_bytes=growth.new_bytes,
        payload_bytes=size,
    )


def _snapshot_of_trigger(connection: Connection[DictRow], capture: Capture) -> Snapshot | None:
    """What the capture's trigger has led to, as it is read."""
    key = {
        "correlation_id": capture.correlation_id,
        "tenant_id": capture.tenant_id,
        "snapshot_type": str(capture.snapshot_type),
    }
    row = connection.execute(query("snapshot_of_trigger"), key).fetchone()
    return Snapshot.from_row(row) if row else None


def _check_account(connection: Connection[DictRow], capture: Capture) -> None:
    row = connection.execute(query("tenant"), {"tenant_id": capture.tenant_id}).fetchone()
    if row is None:
        raise SnapshotRefusedError("the registry holds no such tenant")
    if row["ghl_account_id"] != capture.ghl_account_id:
        raise SnapshotRefusedError(
            f"account {capture.ghl_account_id} is not the tenant's, which is {row['ghl_account_id']}"
        )


def _add_snapshot(connection: Connection[DictRow], capture: Capture, *, new_bytes: int) -> bool:
    """Add the row at the end of its chain; False if the trigger has led to a snapshot meanwhile."""
    provenance = store_provenance(connection, capture)
    row = {**_columns(capture), "provenance": provenance, "new_bytes": new_bytes}
    return connection.execute(query("add_snapshot"), row).rowcount == 1


def _columns(capture: Capture) -> dict[str, Any]:
    return {
        "snapshot_id": str(uuid7()),
        "tenant_id": capture.tenant_id,
        "ghl_account_id": capture.ghl_account_id,
        "snapshot_type": str(capture.snapshot_type),
        "captured_at": capture.captured_at.astimezone(UTC),
        "version": SCHEMA_VERSION,
        "status": capture.status.value,
        "record_count": capture.record_count,
        "checksum": bytes.fromhex(capture.checksum),
        "sent_after_us": [_sent_after_us(capture, request) for request in capture.requests],
        "took_ms": [request.duration_ms for request in capture.requests],
        "trace_ids": [request.trace_uuid for request in capture.requests],
        "duration_ms": capture.duration_ms,
        "api_calls": capture.api_call_count,
        "source": capture.source.value,
        "correlation_id": capture.correlation_id,
    }


def _sent_after_us(capture: Capture, request: RequestRecord) -> int:
    return (request.requested_at - capture.captured_at) // timedelta(microseconds=1)


def _refuse(database: Database, capture: Capture, violation: str) -> NoReturn:
    with database.writer(capture.tenant_id) as connection:
        record(connection, refusal_event(capture, violation))
    raise SnapshotRefusedError(
        f"The capture of {capture.snapshot_type} of tenant {capture.tenant_id} was not stored: {violation}."
    )


def _violation(capture: Capture) -> str | None:
    """How the capture breaks the contract that the schema's constraints hold too; None if it does not."""
    if capture.snapshot_type not in list(SnapshotType):
        return f"its type {capture.snapshot_type!r} is none of {', '.join(SnapshotType)}"
    if not capture.correlation_id:
        return "its correlation id is empty"
    if not _CORRELATION_ID.fullmatch(capture.correlation_id):
        return "its correlation id is longer than 200 characters or holds a control character"
    if capture.captured_at.tzinfo is None:
        return f"its moment {capture.captured_at.isoformat()} has no time zone"
    if min(capture.duration_ms, capture.api_call_count) < 0:
        return "its duration or its number of API calls is negative"
    return _status_violation(capture) or _request_violation(capture)


def _status_violation(capture: Capture) -> str | None:
    if capture.status is Status.FAILED and capture.entities:
        return f"it failed and yet holds {capture.record_count} entities"
    if (capture.status is Status.SUCCESS) == bool(capture.errors):
        return f"its status is {capture.status} with {len(capture.errors)} errors"
    return None


def _request_violation(capture: Capture) -> str | None:
    """Every entity must have come from exactly one recorded request."""
    expected = 0
    for request in sorted(capture.requests, key=lambda request: request.offset):
        if request.requested_at.tzinfo is None:
            return f"the moment of its request to {request.endpoint} has no time zone"
        if request.count and request.offset != expected:
            return f"its requests account for entity {request.offset} where entity {expected} is next"
        expected += request.count
    if expected != capture.record_count:
        return f"its requests account for {expected} entities and it holds {capture.record_count}"
    return None
