"""One append: what a transaction adds to the ledger for a capture."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any, NoReturn

from psycopg import Connection
from psycopg.rows import DictRow
from uuid_utils import uuid7

from ghl_snapshots.core.audit_events import AuditEvent, EventType
from ghl_snapshots.core.errors import LedgerError, SnapshotRefusedError
from ghl_snapshots.core.model import SCHEMA_VERSION, Capture, Snapshot, Status
from ghl_snapshots.ledger.audit import record
from ghl_snapshots.ledger.entities import store_payload
from ghl_snapshots.ledger.provenance import provenance_of
from ghl_snapshots.ledger.queries import query
from ghl_snapshots.ledger.records import snapshot_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """What came of appending a capture."""

    snapshot: Snapshot
    already_stored: bool
    """The same trigger had led to this snapshot before; nothing was added now."""
    new_entities: int = 0
    new_bytes: int = 0


def append(connection: Connection[DictRow], capture: Capture) -> Appended:
    """Add a valid capture in the connection's transaction, or find what its trigger has already led to.

    Raises:
        SnapshotRefusedError: the tenant is not registered, or has another account.
        psycopg.IntegrityError: the capture breaks a constraint of the schema.
    """
    found = _stored_before(connection, capture)
    if found:
        return found
    _check_account(connection, capture)
    growth = store_payload(connection, capture)
    snapshot = _add_snapshot(connection, capture)
    if snapshot is None:  # the same trigger's other process was quicker, and its transaction is over by now
        return _stored_before(connection, capture) or _vanished(capture)
    record(connection, _event(snapshot))
    return Appended(
        snapshot=snapshot,
        already_stored=False,
        new_entities=growth.new_entities,
        new_bytes=growth.new_bytes,
    )


def _stored_before(connection: Connection[DictRow], capture: Capture) -> Appended | None:
    row = connection.execute(
        query("snapshot_of_trigger"),
        {
            "correlation_id": capture.correlation_id,
            "tenant_id": capture.tenant_id,
            "snapshot_type": str(capture.snapshot_type),
        },
    ).fetchone()
    return Appended(snapshot=snapshot_of(row), already_stored=True) if row else None


def _vanished(capture: Capture) -> NoReturn:
    raise LedgerError(
        f"The snapshot of trigger {capture.correlation_id} was refused as stored already but is not there."
    )


def _check_account(connection: Connection[DictRow], capture: Capture) -> None:
    row = connection.execute(query("tenant"), {"tenant_id": capture.tenant_id}).fetchone()
    if row is None:
        raise SnapshotRefusedError("the registry holds no such tenant")
    if row["ghl_account_id"] != capture.ghl_account_id:
        raise SnapshotRefusedError(
            f"account {capture.ghl_account_id} is not the tenant's, which is {row['ghl_account_id']}"
        )


def _add_snapshot(connection: Connection[DictRow], capture: Capture) -> Snapshot | None:
    """Add the row at the end of its chain; None if the trigger has led to a snapshot meanwhile."""
    metadata = capture.metadata()
    provenance = provenance_of(capture, metadata)
    key = {"tenant_id": capture.tenant_id, "digest": provenance.digest}
    connection.execute(query("add_provenance"), {**key, "body": provenance.body})
    own = {
        "provenance": provenance.digest,
        "sent_after_us": provenance.sent_after_us,
        "took_ms": provenance.took_ms,
        "trace_ids": provenance.trace_ids,
    }
    row = _columns(capture)
    binary = {"checksum": bytes.fromhex(row["checksum"])}
    set_by_server = connection.execute(query("add_snapshot"), {**row, **binary, **own}).fetchone()
    if set_by_server is None:
        return None
    return snapshot_of({**row, **set_by_server, "metadata": metadata})


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
        "checksum": capture.checksum,
        "duration_ms": capture.duration_ms,
        "api_calls": capture.api_call_count,
        "source": capture.source.value,
        "correlation_id": capture.correlation_id,
    }


def _event(snapshot: Snapshot) -> AuditEvent:
    details: Mapping[str, Any] = {
        "snapshotId": snapshot.snapshot_id,
        "snapshotType": snapshot.snapshot_type.value,
        "status": snapshot.status.value,
        "recordCount": snapshot.record_count,
        "durationMs": snapshot.duration_ms,
    }
    return AuditEvent(
        event_type=EventType.CAPTURE,
        tenant_id=snapshot.tenant_id,
        ghl_account_id=snapshot.ghl_account_id,
        correlation_id=snapshot.correlation_id,
        success=snapshot.status is Status.SUCCESS,
        source=snapshot.source,
        details=details,
    )
