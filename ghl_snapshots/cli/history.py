"""`ghl-snapshots snapshots list`, `history` and `entities`: what was captured when, how an entity changed."""

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import typer

from ghl_snapshots.cli.completion import tenant_ids
from ghl_snapshots.cli.database import checked_database
from ghl_snapshots.core.audit_events import EventType
from ghl_snapshots.core.errors import ConfigurationError, SnapshotNotFoundError
from ghl_snapshots.core.model import Snapshot, SnapshotType, Status, iso
from ghl_snapshots.core.snapshot_json import raw_lines
from ghl_snapshots.core.summary import counted
from ghl_snapshots.ghl.endpoint import Endpoint
from ghl_snapshots.ghl.endpoints import ENDPOINTS
from ghl_snapshots.ledger.audit import AuditTrail, by_hand
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import EntityVersion, Ledger
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.terminal import table

commands = typer.Typer()
list_commands = typer.Typer(help="List what was captured.", no_args_is_help=True)

_HEADINGS = ("captured (UTC)", "tenant", "type", "status", "records", "snapshot")
_VERSION_HEADINGS = ("first seen (UTC)", "last seen (UTC)", "snapshots", "bytes", "sha256", "endpoint", "of")

_ENDPOINT_HELP = "As in docs/endpoints.md, such as '/conversation-ai/agents/{agentId}'."
_Tenant = Annotated[str, typer.Argument(metavar="TENANT", autocompletion=tenant_ids)]
AsOf = Annotated[
    datetime | None,
    typer.Option(help="As captured by then (UTC), such as 2026-03-01; now by default."),
]
Moment = Annotated[datetime | None, typer.Option(help="In UTC, such as 2026-03-01 or 2026-03-01T12:00:00.")]


@list_commands.command("list")
def list_(
    *,
    tenant: Annotated[
        str | None,
        typer.Option(help="Only this tenant's; all tenants' by default.", autocompletion=tenant_ids),
    ] = None,
    type_: Annotated[SnapshotType | None, typer.Option("--type", help="Only this snapshot type.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only those with this status.")] = None,
    since: Moment = None,
    until: Moment = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Maximum number of snapshots.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line.")] = False,
) -> None:
    """List snapshots, the newest first."""
    with checked_database() as (_, database):
        if tenant is not None:
            TenantRegistry(database).get(tenant)
        found = Ledger(database).newest(
            tenant_id=tenant,
            snapshot_type=type_,
            status=status,
            since=in_utc(since),
            until=in_utc(until),
            limit=limit,
        )
    if as_json:
        lines = [json.dumps(snapshot.as_json()["metadata"], ensure_ascii=False) for snapshot in found]
    elif found:
        rows = [
            (
                iso(snapshot.captured_at)[:19],
                snapshot.tenant_id,
                snapshot.snapshot_type.value,
                snapshot.status.value,
                f"{snapshot.record_count:,}",
                snapshot.snapshot_id,
            )
            for snapshot in found
        ]
        lines = list(table([_HEADINGS, *rows]))
    else:
        lines = ["No snapshot matches."]
    for line in lines:
        typer.echo(line)


@commands.command()
def history(
    tenant: _Tenant,
    entity_id: Annotated[str, typer.Argument(metavar="ENTITY_ID", help="The entity's id in GHL.")],
    *,
    endpoint: Annotated[
        str | None,
        typer.Option(metavar="ENDPOINT", help=f"Only its contents from this endpoint. {_ENDPOINT_HELP}"),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON object a line, with the entity's text as GHL sent it.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Only the exact bytes of each content, followed by a line feed.")
    ] = False,
) -> None:
    """Print every content that an entity has had, by endpoint and first sighting."""
    path = _known(endpoint).path if endpoint else None
    with checked_database() as (_, database):
        TenantRegistry(database).get(tenant)
        versions = Ledger(database).entity_history(tenant, path, entity_id)
        _note_reading(database, tenant, entityId=entity_id, endpoint=path)
    if not versions:
        of = f" of {path}" if path else ""
        raise SnapshotNotFoundError(f"No snapshot of tenant {tenant!r} has an entity {entity_id!r}{of}.")
    if raw:
        _write(raw_lines(version.body for version in versions))
        return
    lines = [_document(version) for version in versions] if as_json else _table(versions)
    for line in lines:
        typer.echo(line)


@commands.command()
def entities(
    tenant: _Tenant,
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT", help=_ENDPOINT_HELP)],
    *,
    as_of: AsOf = None,
) -> None:
    """Print the exact bytes of an endpoint's entities in a tenant's latest snapshot, each on a line."""
    asked = _known(endpoint)
    with checked_database() as (_, database):
        ledger = Ledger(database)
        TenantRegistry(database).get(tenant)
        snapshot = latest(ledger, tenant, asked.snapshot_type, in_utc(as_of))
        ledger.verify_snapshot(snapshot)
        _note_reading(database, tenant, snapshotId=snapshot.snapshot_id, endpoint=asked.path)
        with closing(ledger.bodies(snapshot, endpoint=asked.path)) as bodies:
            _write(raw_lines(bodies))


def in_utc(moment: datetime | None) -> datetime | None:
    """A moment as it was typed, which is in UTC."""
    return moment.replace(tzinfo=UTC) if moment else None


def latest(ledger: Ledger, tenant_id: str, snapshot_type: SnapshotType, as_of: datetime | None) -> Snapshot:
    """The latest snapshot captured by then.

    Raises:
        SnapshotNotFoundError: there is none.
    """
    found = ledger.latest(tenant_id, snapshot_type, as_of=as_of)
    if found is None:
        then = f" captured by {as_of:%Y-%m-%d %H:%M} UTC" if as_of else ""
        raise SnapshotNotFoundError(f"There is no snapshot of {snapshot_type} of tenant {tenant_id!r}{then}.")
    return found


def _known(path: str) -> Endpoint:
    found = next((endpoint for endpoint in ENDPOINTS if endpoint.path == path), None)
    if found is None:
        raise ConfigurationError(f"{path!r} is no endpoint that is captured; docs/endpoints.md lists them.")
    return found


def _note_reading(database: Database, tenant_id: str, **details: str | None) -> None:
    given = {name: value for name, value in details.items() if value is not None}
    AuditTrail(database).record(by_hand(EventType.READ, tenant_id=tenant_id, details=given))


def _write(chunks: Iterable[bytes]) -> None:
    for chunk in chunks:
        sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def _table(versions: Sequence[EntityVersion]) -> Sequence[str]:
    rows = [
        (
            iso(version.first_captured_at)[:19],
            iso(version.last_captured_at)[:19],
            f"{version.snapshots:,}",
            f"{len(version.body):,}",
            version.digest[:12],
            version.endpoint,
            version.parent_id or "-",
        )
        for version in versions
    ]
    return [
        *table([_VERSION_HEADINGS, *rows]),
        f"{counted(len(versions), 'version')}; --json prints the texts",
    ]


def _document(version: EntityVersion) -> str:
    return json.dumps(
        {
            "sha256": version.digest,
            "endpoint": version.endpoint,
            "locationId": version.location_id,
            "parentId": version.parent_id,
            "firstCapturedAt": iso(version.first_captured_at),
            "firstSnapshotId": version.first_snapshot_id,
            "lastCapturedAt": iso(version.last_captured_at),
            "lastSnapshotId": version.last_snapshot_id,
            "snapshots": version.snapshots,
            "body": version.body.decode("utf-8", errors="surrogatepass"),
        }
    )
