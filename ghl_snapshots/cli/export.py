"""`ghl-snapshots export`: a tenant's configuration at a moment as a folder of files."""

from pathlib import Path
from typing import Annotated

import typer

from ghl_snapshots.cli.completion import tenant_ids
from ghl_snapshots.cli.database import checked_database, report
from ghl_snapshots.cli.history import AsOf, in_utc
from ghl_snapshots.core.audit_events import EventType
from ghl_snapshots.core.model import SnapshotType, iso
from ghl_snapshots.ledger.audit import AuditTrail, by_hand
from ghl_snapshots.ledger.export import export_tenant
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.terminal import progress, table

commands = typer.Typer()

_HEADINGS = ("type", "captured (UTC)", "status", "files", "snapshot")


@commands.command()
def export(
    tenant: Annotated[
        str, typer.Argument(metavar="TENANT", help="Whose configuration.", autocompletion=tenant_ids)
    ],
    *,
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="A new folder, or that of an earlier export.")],
    as_of: AsOf = None,
) -> None:
    """Write a tenant's configuration at a moment into a folder: one file an entity, exactly as GHL sent it.

    The same configuration gives the same files, so that the folder can be put under git and compared.
    `sha256sum --check SHA256SUMS` proves them.
    """
    with checked_database() as (_, database):
        moment = in_utc(as_of) or database.now()
        TenantRegistry(database).get(tenant)
        with progress("exporting"):
            exported = export_tenant(Ledger(database), tenant, to, as_of=moment)
        details = {"exported": [snapshot.snapshot_id for snapshot in exported], "asOf": iso(moment)}
        AuditTrail(database).record(by_hand(EventType.READ, tenant_id=tenant, details=details))
    rows = [
        (
            snapshot.snapshot_type.value,
            iso(snapshot.captured_at)[:19],
            snapshot.status.value,
            f"{snapshot.record_count:,}",
            snapshot.snapshot_id,
        )
        for snapshot in exported
    ]
    for line in table([_HEADINGS, *rows]):
        typer.echo(line)
    missing = [kind for kind in SnapshotType if kind not in {one.snapshot_type for one in exported}]
    if missing:
        report(f"Not captured by then: {', '.join(missing)}.")
