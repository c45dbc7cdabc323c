"""`ghl-snapshots snapshot` and `show`: capturing on demand, and reading what was captured."""

import sys
from collections.abc import Sequence
from contextlib import closing
from typing import Annotated

import typer

from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.cli.database import checked_database, report
from ghl_snapshots.core.audit_events import EventType
from ghl_snapshots.core.errors import ConfigurationError, UnknownTenantError
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.core.signals import ended_by_signals
from ghl_snapshots.core.snapshot_json import document, raw_lines
from ghl_snapshots.ledger.audit import AuditTrail, by_hand
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.captures_on_demand import capture
from ghl_snapshots.local.environment import migrate_databases, product_environment

commands = typer.Typer()


@commands.command()
def snapshot(
    tenant: Annotated[list[str], typer.Option(help="Tenant to capture; may be given more than once.")],
    type_: Annotated[
        list[SnapshotType] | None,
        typer.Option("--type", help="Snapshot type to capture; may be given more than once. All by default."),
    ] = None,
) -> None:
    """Capture tenants now, in a Dagster run, and print each snapshot."""
    tenant_ids = list(dict.fromkeys(tenant))
    with ended_by_signals(), product_environment() as settings:
        migrate_databases(settings, report)
        with open_database(settings) as database:
            _check_enabled(TenantRegistry(database), tenant_ids)
        code = capture(tenant_ids, type_ or list(SnapshotType), reason="ghl-snapshots snapshot")
    raise typer.Exit(code)


@commands.command()
def show(
    snapshot_id: Annotated[
        str, typer.Argument(metavar="SNAPSHOT_ID", help="Its id in the relation ghl_snapshot.")
    ],
    *,
    raw: Annotated[
        bool, typer.Option("--raw", help="Only the entities' exact bytes, each followed by a line feed.")
    ] = False,
) -> None:
    """Verify a snapshot's checksum and print the snapshot as JSON."""
    with checked_database() as (_, database):
        ledger = Ledger(database)
        shown = ledger.get(snapshot_id)
        ledger.verify_snapshot(shown)
        details = {"snapshotId": snapshot_id, "raw": raw}
        AuditTrail(database).record(by_hand(EventType.READ, tenant_id=shown.tenant_id, details=details))
        # Closed before the database is, also where a reader such as `head` stops early.
        with closing(ledger.bodies(shown) if raw else ledger.shown_bodies(shown)) as bodies:
            for chunk in raw_lines(bodies) if raw else document(shown, bodies):
                sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


def _check_enabled(registry: TenantRegistry, tenant_ids: Sequence[str]) -> None:
    """Refuse an unknown or disabled tenant before anything is captured."""
    tenants = {tenant.tenant_id: tenant for tenant in registry.list()}
    for tenant_id in tenant_ids:
        if tenant_id not in tenants:
            raise UnknownTenantError(tenant_id)
        if not tenants[tenant_id].enabled:
            raise ConfigurationError(
                f"Tenant {tenant_id!r} is disabled; `ghl-snapshots tenants enable {tenant_id}` enables it."
            )
