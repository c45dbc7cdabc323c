"""The append-only audit trail."""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb
from uuid_utils import uuid7

from ghl_snapshots.core.audit_events import AuditEvent, EventType
from ghl_snapshots.core.json_text import legal_json, legal_text
from ghl_snapshots.core.model import Capture, Snapshot, Source, Status
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.queries import query

# A line for each operation; commands stay silent unless their process configures its logs (logs.py).
_log = logging.getLogger(__name__)


def record(connection: Connection[Any], event: AuditEvent) -> bool:
    """Append the event in the connection's transaction, so that it stands or falls with what it records.

    Of the full-run events of a trigger and tenant only the first is appended; returns whether this one was.
    Ids are drawn at random, since one that could be foretold could be taken by somebody else before.
    """
    parameters = {
        "event_id": str(uuid7()),
        "event_type": event.event_type,
        "tenant_id": event.tenant_id,
        "ghl_account_id": event.ghl_account_id,
        "correlation_id": legal_text(event.correlation_id),
        "success": event.success,
        "source": event.source.value,
        "details": Jsonb(event.details, dumps=legal_json),
    }
    once = event.event_type == EventType.FULL_RUN
    cursor = connection.execute(query("add_full_run_event" if once else "add_audit_event"), parameters)
    if not cursor.rowcount:
        return False
    _log.info(event.event_type, extra=_logged(event))
    return True


def by_hand(
    event_type: EventType,
    *,
    tenant_id: str | None = None,
    success: bool = True,
    details: Mapping[str, Any] | None = None,
) -> AuditEvent:
    """The event of something that a person did on the command line, with a correlation id of its own."""
    return AuditEvent(
        event_type=event_type,
        tenant_id=tenant_id,
        correlation_id=f"command_{uuid7()}",
        success=success,
        source=Source.MANUAL,
        details=details or {},
    )


def capture_event(snapshot: Snapshot) -> AuditEvent:
    """The event of a capture that was stored as this snapshot."""
    return AuditEvent(
        event_type=EventType.CAPTURE,
        tenant_id=snapshot.tenant_id,
        ghl_account_id=snapshot.ghl_account_id,
        correlation_id=snapshot.correlation_id,
        success=snapshot.status is Status.SUCCESS,
        source=snapshot.source,
        details={
            "snapshotId": snapshot.snapshot_id,
            "snapshotType": snapshot.snapshot_type.value,
            "status": snapshot.status.value,
            "recordCount": snapshot.record_count,
            "durationMs": snapshot.duration_ms,
        },
    )


def refusal_event(capture: Capture, violation: str) -> AuditEvent:
    """The event of a capture that was not stored, since it breaks the snapshot contract."""
    return AuditEvent(
        event_type=EventType.REFUSED,
        tenant_id=capture.tenant_id,
        ghl_account_id=capture.ghl_account_id,
        correlation_id=legal_text(capture.correlation_id)[:200] or "none",
        success=False,
        source=capture.source,
        details={"snapshotType": str(capture.snapshot_type), "problem": violation},
    )


def _logged(event: AuditEvent) -> Mapping[str, Any]:
    """The fields of the event's log line."""
    return {
        "correlation_id": event.correlation_id,
        "tenant_id": event.tenant_id,
        "snapshot_type": event.details.get("snapshotType"),
        "success": event.success,
        "source": event.source.value,
        "details": event.details,
    }


class AuditTrail:
    """What was done, by whom and with what result."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, event: AuditEvent) -> bool:
        """Append an event in a transaction of its own; see the function `record`.

        Raises:
            LedgerError: the server does not answer.
        """
        with self._database.writer(event.tenant_id or "") as connection:
            return record(connection, event)

    def events(
        self,
        *,
        tenant_id: str | None = None,
        correlation_id: str | None = None,
        event_type: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> list[AuditEvent]:
        """The newest events that match everything that is given; `until` is the first moment left out.

        A tenant's events are read with the reader's rights, those of all tenants with the auditor's.
        """
        parameters = {
            "tenant_id": tenant_id,
            "correlation_id": correlation_id,
            "event_type": event_type,
            "since": since,
            "until": until,
            "limit": limit,
        }
        session = self._database.auditor() if tenant_id is None else self._database.reader(tenant_id)
        with session as connection:
            # Planned anew each time, since a plan for any parameters could use no index for the ones given.
            rows = connection.execute(query("audit_events"), parameters, prepare=False)
            return [_event(row) for row in rows]


def _event(row: Mapping[str, Any]) -> AuditEvent:
    return AuditEvent(**{**row, "source": Source(row["source"])})
