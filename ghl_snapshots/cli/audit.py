"""The audit trail on the command line."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.audit_events import AuditEvent, EventType
from ghl_snapshots.core.model import iso
from ghl_snapshots.core.summary import columns
from ghl_snapshots.ledger.audit import AuditTrail
from ghl_snapshots.ledger.migrate import check_schema
from ghl_snapshots.local.environment import product_environment

_HEADINGS = ("moment", "type", "tenant", "result", "source", "correlation id")


def events(
    *,
    tenant_id: str | None,
    event_type: EventType | None,
    correlation_id: str | None,
    since: datetime | None,
    limit: int,
) -> list[AuditEvent]:
    """The newest audit events that match everything that is given."""
    with product_environment() as settings, open_database(settings) as database:
        check_schema(database)
        return AuditTrail(database).events(
            tenant_id=tenant_id,
            event_type=event_type,
            correlation_id=correlation_id,
            since=since,
            limit=limit,
        )


def as_table(found: list[AuditEvent]) -> Iterator[str]:
    """A line for each event, without its details."""
    if not found:
        yield "No audit event matches."
        return
    yield from columns([_HEADINGS, *(_cells(event) for event in found)])


def as_json(found: list[AuditEvent]) -> Iterator[str]:
    """A JSON object for each event, with its details."""
    return (json.dumps(_document(event), ensure_ascii=False) for event in found)


def _cells(event: AuditEvent) -> tuple[str, ...]:
    return (
        _moment(event) or "-",
        event.event_type,
        event.tenant_id or "-",
        "ok" if event.success else "failed",
        event.source.value,
        event.correlation_id,
    )


def _document(event: AuditEvent) -> dict[str, Any]:
    return {
        "eventType": event.event_type,
        "tenantId": event.tenant_id,
        "ghlAccountId": event.ghl_account_id,
        "correlationId": event.correlation_id,
        "timestamp": _moment(event),
        "success": event.success,
        "source": event.source.value,
        "details": dict(event.details),
    }


def _moment(event: AuditEvent) -> str | None:
    return iso(event.occurred_at) if event.occurred_at else None
