"""`ghl-snapshots snapshot` and `show`: capturing on demand, and reading what was captured."""

import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.cli.completion import tenant_ids
from ghl_snapshots.cli.database import checked_database, report
from ghl_snapshots.cli.history import AsOf, in_utc, latest
from ghl_snapshots.cli.selection import selected
from ghl_snapshots.core.audit_events import EventType
from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.core.snapshot_json import document, raw_lines, raw_sequence
from ghl_snapshots.ledger.audit import AuditTrail, by_hand
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.captures_on_demand import capture
from ghl_snapshots.local.environment import migrate_databases, product_environment

commands = typer.Typer()


@commands.command()
def snapshot(
    *,
    tenant: Annotated[
        list[str] | None,
        typer.Option(
            help="Tenant to capture, or a pattern such as 'customer-*'; may be given more than once.",
            autocompletion=tenant_ids,
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A tenant or pattern a line; - for standard input.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every enabled tenant.")] = False,
    type_: Annotated[
        list[SnapshotType] | None,
        typer.Option("--type", help="Snapshot type to capture; may be given more than once. All by default."),
    ] = None,
) -> None:
    """Capture tenants now, in a Dagster run, and print each snapshot."""
    with product_environment() as settings:
        migrate_databases(settings, report)
        with open_database(settings) as database:
            tenant_ids = selected(TenantRegistry(database), tenant or (), file, all_enabled=all_)
        code = capture(tenant_ids, type_ or list(SnapshotType), reason="ghl-snapshots snapshot")
    raise typer.Exit(code)


@commands.command()
def show(
    snapshot_id: Annotated[
        str | None,
        typer.Argument(metavar="[SNAPSHOT_ID]", help="Its id, as `ghl-snapshots snapshots list` prints it."),
    ] = None,
    *,
    tenant: Annotated[
        str | None,
        typer.Option(
            help="Instead of an id: the latest snapshot of this tenant and --type.", autocompletion=tenant_ids
        ),
    ] = None,
    type_: Annotated[SnapshotType | None, typer.Option("--type", help="With --tenant.")] = None,
    as_of: AsOf = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Only the entities' exact bytes, each followed by a line feed.")
    ] = False,
    sequence: Annotated[
        bool,
        typer.Option(
            "--seq",
            help="The same, each behind a record separator (RFC 7464), so that one may have several lines.",
        ),
    ] = False,
) -> None:
    """Verify a snapshot's checksum and print the snapshot as JSON."""
    if (snapshot_id is None) != (tenant is not None and type_ is not None):
        raise ConfigurationError(
            "Name a snapshot by its SNAPSHOT_ID, or the latest one by --tenant and --type."
        )
    with checked_database() as (_, database):
        ledger = Ledger(database)
        if tenant is not None and type_ is not None:
            TenantRegistry(database).get(tenant)
            shown = latest(ledger, tenant, type_, in_utc(as_of))
        else:
            shown = ledger.get(str(snapshot_id))
        ledger.verify_snapshot(shown)
        exact = raw or sequence
        details = {"snapshotId": shown.snapshot_id, "raw": exact}
        AuditTrail(database).record(by_hand(EventType.READ, tenant_id=shown.tenant_id, details=details))
        # Closed before the database is, also where a reader such as `head` stops early.
        with closing(ledger.bodies(shown) if exact else ledger.shown_bodies(shown)) as bodies:
            chunks = (
                raw_sequence(bodies) if sequence else raw_lines(bodies) if raw else document(shown, bodies)
            )
            for chunk in chunks:
                sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
