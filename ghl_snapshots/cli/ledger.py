"""`ghl-snapshots verify` and `ghl-snapshots checkpoint`: proofs that the ledger is what was captured."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ghl_snapshots.cli import audit as auditing
from ghl_snapshots.cli import verification as verifying
from ghl_snapshots.core.audit_events import EventType
from ghl_snapshots.core.model import SnapshotType

checkpoint = typer.Typer(
    help="Sign the heads of all chains, to be kept outside the database, and verify the ledger against them.",
    no_args_is_help=True,
)

_Key = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="Ed25519 key in PEM; GHL_SNAPSHOTS_CHECKPOINT_KEY otherwise."),
]


def verify(
    *,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's snapshots.")] = None,
    type_: Annotated[SnapshotType | None, typer.Option("--type", help="Only this snapshot type.")] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Only snapshots stored since then (UTC), such as 2026-03-01.")
    ] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Also recompute each entity's digest.")] = False,
) -> None:
    """Recompute chains, checksums and digests; name every row that does not hold, and exit with 1 then."""
    moment = since.replace(tzinfo=UTC) if since else None
    raise typer.Exit(verifying.verify(tenant_id=tenant, snapshot_type=type_, since=moment, deep=deep))


def audit(
    *,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's events.")] = None,
    type_: Annotated[
        EventType | None, typer.Option("--type", metavar="TYPE", help=f"One of: {', '.join(EventType)}.")
    ] = None,
    correlation_id: Annotated[str | None, typer.Option(help="Only what this trigger led to.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Only since then (UTC), such as 2026-03-01.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Most events to print.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line, with the details.")] = False,
) -> None:
    """Print the newest audit events that match everything that is given."""
    found = auditing.events(
        tenant_id=tenant,
        event_type=type_,
        correlation_id=correlation_id,
        since=since.replace(tzinfo=UTC) if since else None,
        limit=limit,
    )
    for line in auditing.as_json(found) if as_json else auditing.as_table(found):
        typer.echo(line)


@checkpoint.command()
def keygen(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the private key goes; .pub is added.")],
) -> None:
    """Make a key pair to sign checkpoints with."""
    verifying.create_key(file)
    typer.echo(f"Wrote {file} (private: sign with it, keep it off the database server) and {file}.pub.")


@checkpoint.command()
def create(
    key: _Key = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the checkpoint goes; standard output otherwise."),
    ] = None,
) -> None:
    """Write a signed statement of the newest snapshot of every chain."""
    text = verifying.create_checkpoint(key)
    if output is None:
        typer.echo(text, nl=False)
    else:
        verifying.write_checkpoint(output, text)
        typer.echo(f"Wrote {output}; keep it where nobody who can write to the database can.")


@checkpoint.command("verify")
def verify_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A checkpoint made by `checkpoint create`.")],
    key: _Key = None,
) -> None:
    """Name every chain that was cut off or rewritten since the checkpoint, and exit with 1 then."""
    raise typer.Exit(verifying.verify_checkpoint(file, key))
