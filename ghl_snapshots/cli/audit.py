"""`ghl-snapshots audit`: the audit trail."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from ghl_snapshots.cli.completion import tenant_ids
from ghl_snapshots.cli.database import checked_database
from ghl_snapshots.core.audit_events import AuditEvent, EventType
from ghl_snapshots.core.model import iso
from ghl_snapshots.ledger.audit import AuditTrail
from ghl_snapshots.local.terminal import table

commands = typer.Typer()

_HEADINGS = ("time", "type", "tenant", "result", "source", "correlation id")


@commands.command()
def audit(
    *,
    tenant: Annotated[
        str | None, typer.Option(help="Only this tenant's events.", autocompletion=tenant_ids)
    ] = None,
    type_: Annotated[
        EventType | None, typer.Option("--type", metavar="TYPE", help=f"One of: {', '.join(EventType)}.")
    ] = None,
    correlation_id: Annotated[str | None, typer.Option(help="Only events with this correlation id.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Only since then (UTC), such as 2026-03-01.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Maximum number of events.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line, with the details.")] = False,
) -> None:
    """Print the audit events that match all given options, the newest first."""
    with checked_database() as (_, database):
        events = AuditTrail(database).events(
            tenant_id=tenant,
            event_type=type_,
            correlation_id=correlation_id,
            since=since.replace(tzinfo=UTC) if since else None,
            limit=limit,
        )
    if as_json:
        lines = [json.dumps(_document(event), ensure_ascii=False) for event in events]
    elif events:
        lines = list(table([_HEADINGS, *(_row(event) for event in events)]))
    else:
        lines = ["No audit event matches."]
    for line in lines:
        typer.echo(line)


def _row(event: AuditEvent) -> tuple[str, ...]:
    return (
        _timestamp(event) or "-",
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
        "timestamp": _timestamp(event),
        "success": event.success,
        "source": event.source.value,
        "details": dict(event.details),
    }


def _timestamp(event: AuditEvent) -> str | None:
    return iso(event.occurred_at) if event.occurred_at else None
