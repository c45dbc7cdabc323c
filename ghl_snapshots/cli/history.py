"""`ghl-snapshots history` and `entities`: how one entity changed, and what there was at a moment."""

import sys
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import typer

from ghl_snapshots.cli.database import checked_database
from ghl_snapshots.core.audit_events import EventType
from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.model import iso
from ghl_snapshots.core.snapshot_json import raw_lines
from ghl_snapshots.core.summary import columns
from ghl_snapshots.ghl.endpoint import Endpoint
from ghl_snapshots.ghl.endpoints import ENDPOINTS
from ghl_snapshots.ledger.audit import AuditTrail, by_hand
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger

commands = typer.Typer()

_HEADINGS = ("first captured", "last captured", "snapshots", "bytes", "digest")

_Tenant = Annotated[str, typer.Argument(metavar="TENANT")]
_Path = Annotated[
    str,
    typer.Argument(
        metavar="ENDPOINT", help="As in docs/endpoints.md, such as '/conversation-ai/agents/{agentId}'."
    ),
]


@commands.command()
def history(
    tenant: _Tenant,
    endpoint: _Path,
    entity_id: Annotated[str, typer.Argument(metavar="ID", help="The entity's id in GHL.")],
    *,
    raw: Annotated[
        bool, typer.Option("--raw", help="Only the exact bytes of each content, followed by a line feed.")
    ] = False,
) -> None:
    """Print when an entity's content changed: each content with the captures that saw it, the first first."""
    path = _known(endpoint).path
    with checked_database() as (_, database):
        versions = Ledger(database).entity_history(tenant, path, entity_id)
        _note_reading(database, tenant, path, entityId=entity_id)
    if not versions:
        raise ConfigurationError(f"No snapshot of tenant {tenant!r} has an entity {entity_id!r} of {path}.")
    if raw:
        for chunk in raw_lines(version.body for version in versions):
            sys.stdout.buffer.write(chunk)
        return
    rows = [
        (
            iso(version.first_captured_at),
            iso(version.last_captured_at),
            f"{version.snapshots:,}",
            f"{len(version.body):,}",
            version.digest[:12],
        )
        for version in versions
    ]
    for line in columns([_HEADINGS, *rows]):
        typer.echo(line)


@commands.command()
def entities(
    tenant: _Tenant,
    endpoint: _Path,
    *,
    at: Annotated[
        datetime | None,
        typer.Option(help="As captured until then (UTC), such as 2026-03-03. Now by default."),
    ] = None,
) -> None:
    """Print the exact bytes of an endpoint's entities in a tenant's newest snapshot, each on a line."""
    asked = _known(endpoint)
    as_of = at.replace(tzinfo=UTC) if at else None
    with checked_database() as (_, database):
        ledger = Ledger(database)
        snapshot = ledger.latest(tenant, asked.snapshot_type, as_of=as_of)
        if snapshot is None:
            raise ConfigurationError(f"Tenant {tenant!r} has no snapshot of {asked.snapshot_type} so far.")
        ledger.verify_snapshot(snapshot)
        _note_reading(database, tenant, asked.path, snapshotId=snapshot.snapshot_id)
        with closing(ledger.bodies(snapshot, endpoint=asked.path)) as bodies:
            for chunk in raw_lines(bodies):
                sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


def _known(path: str) -> Endpoint:
    found = next((endpoint for endpoint in ENDPOINTS if endpoint.path == path), None)
    if found is None:
        raise ConfigurationError(f"{path!r} is no endpoint that is captured; docs/endpoints.md lists them.")
    return found


def _note_reading(database: Database, tenant_id: str, path: str, **details: str) -> None:
    AuditTrail(database).record(
        by_hand(EventType.READ, tenant_id=tenant_id, details={"endpoint": path, **details})
    )
