"""Writing to the append-only audit trail."""

from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from uuid_utils import uuid7

from ghl_snapshots.ledger.queries import query
from ghl_snapshots.model import AuditEvent, legal_json


def record(connection: Connection[DictRow], event: AuditEvent) -> None:
    """Append the event in the connection's transaction, so that it stands or falls with what it tells."""
    connection.execute(
        query("add_audit_event"),
        {
            "event_id": str(uuid7()),
            "event_type": event.event_type,
            "tenant_id": event.tenant_id,
            "ghl_account_id": event.ghl_account_id,
            "correlation_id": event.correlation_id,
            "occurred_at": event.occurred_at,
            "success": event.success,
            "source": event.source.value,
            "details": Jsonb(legal_json(dict(event.details))),
        },
    )
