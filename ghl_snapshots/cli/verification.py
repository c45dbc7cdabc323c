"""`ghl-snapshots verify` and `checkpoint`: proofs that the ledger is what was captured."""

import hashlib
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ghl_snapshots.cli.completion import tenant_ids
from ghl_snapshots.cli.database import checked_database
from ghl_snapshots.core.audit_events import EventType
from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.model import SnapshotType, iso
from ghl_snapshots.core.settings import load_settings
from ghl_snapshots.core.summary import counted
from ghl_snapshots.ledger import checkpoint, findings
from ghl_snapshots.ledger.audit import AuditTrail, by_hand
from ghl_snapshots.ledger.verification import Verification
from ghl_snapshots.local.terminal import progress

commands = typer.Typer()
checkpoint_commands = typer.Typer(
    help="Sign the newest snapshots of all chains, and verify the ledger against such a checkpoint.",
    no_args_is_help=True,
)

_Key = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="Ed25519 key in PEM; GHL_SNAPSHOTS_CHECKPOINT_KEY otherwise."),
]


@commands.command()
def verify(
    *,
    tenant: Annotated[
        str | None, typer.Option(help="Only this tenant's snapshots.", autocompletion=tenant_ids)
    ] = None,
    type_: Annotated[SnapshotType | None, typer.Option("--type", help="Only this snapshot type.")] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Only snapshots stored since then (UTC), such as 2026-03-01.")
    ] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Also recompute each entity's digest.")] = False,
) -> None:
    """Recompute chains, checksums and digests and print what does not match; exit code 1 if anything."""
    console = _console()
    since = since.replace(tzinfo=UTC) if since else None
    with checked_database() as (_, database), progress("verifying", console=console) as advance:
        walk = Verification(
            database,
            tenant_id=tenant,
            snapshot_type=type_,
            since=since,
            deep=deep,
            on_progress=lambda at: advance(at.done, at.total, at.tenant_id or "entities"),
        )
        try:
            problems = _print_findings(console, walk)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"{counted(walk.checked.snapshots, 'snapshot')} verified, the others not"
            ) from None
        details = {
            "deep": deep,
            "snapshotType": type_,
            "since": iso(since) if since else None,
            "snapshots": walk.checked.snapshots,
            "problems": problems,
        }
        event = by_hand(EventType.VERIFICATION, tenant_id=tenant, success=not problems, details=details)
        AuditTrail(database).record(event)
    checked = walk.checked
    entities = f", {checked.entities:,} entities ({checked.bytes:,} bytes)" if deep else ""
    console.print(
        f"Verified {checked.snapshots:,} snapshots, {checked.payloads:,} payloads{entities}: "
        f"{_format_count(problems)}."
    )
    raise typer.Exit(1 if problems else 0)


@checkpoint_commands.command()
def keygen(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the private key goes; .pub is added.")],
) -> None:
    """Create a key pair to sign checkpoints with."""
    private, public = checkpoint.new_key()
    _write_new(file, private, 0o600)
    _write_new(file.with_name(f"{file.name}.pub"), public, 0o644)
    typer.echo(f"Wrote {file} (private: sign with it, store it off the database server) and {file}.pub.")


@checkpoint_commands.command()
def create(
    key: _Key = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the checkpoint goes; standard output otherwise."),
    ] = None,
) -> None:
    """Write a signed statement of the newest snapshot of every chain."""
    private_key = checkpoint.private_key(_key_text(key))
    with checked_database() as (_, database):
        text = checkpoint.create_checkpoint(database, private_key, database.now())
        details = {"sha256": hashlib.sha256(text.encode()).hexdigest()}
        AuditTrail(database).record(by_hand(EventType.CHECKPOINT_CREATED, details=details))
    if output is None:
        typer.echo(text, nl=False)
    else:
        _write_new(output, text.encode(), 0o644)
        typer.echo(f"Wrote {output}; store it where nobody who can write to the database can change it.")


@checkpoint_commands.command("verify")
def verify_checkpoint(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A checkpoint made by `checkpoint create`.")],
    key: _Key = None,
) -> None:
    """Print each chain that was cut off or rewritten since the checkpoint; exit code 1 if any."""
    console = _console()
    public_key = checkpoint.public_key(_key_text(key))
    text = _read(file)
    with checked_database() as (_, database):
        problems = _print_findings(console, checkpoint.verify_checkpoint(database, text, public_key))
        details = {"sha256": hashlib.sha256(text).hexdigest(), "problems": problems}
        event = by_hand(EventType.CHECKPOINT_VERIFICATION, success=not problems, details=details)
        AuditTrail(database).record(event)
    console.print(f"Verified {file}: {_format_count(problems)}.", markup=False)
    raise typer.Exit(1 if problems else 0)


def _console() -> Console:
    return Console(soft_wrap=True, highlight=False)


def _print_findings(console: Console, found: Iterable[findings.Finding]) -> int:
    """Print each finding as soon as it is found; returns how many there were."""
    count = 0
    for finding in found:
        console.print(str(finding), style="red", markup=False)
        count += 1
    return count


def _format_count(problems: int) -> str:
    return {0: "no problem found", 1: "1 problem found"}.get(problems, f"{problems:,} problems found")


def _key_text(path: Path | None) -> bytes:
    if path is not None:
        return _read(path)
    key = load_settings().checkpoint_key
    if key is None:
        raise ConfigurationError(
            "There is no key: give --key FILE or set GHL_SNAPSHOTS_CHECKPOINT_KEY to its PEM text. "
            "`ghl-snapshots checkpoint keygen FILE` creates one."
        )
    return key.get_secret_value().encode()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from None


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a file that must not exist yet."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
    except FileExistsError:
        raise ConfigurationError(f"{path} exists already, and is not overwritten.") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}.") from None
