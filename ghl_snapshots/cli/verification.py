"""Verifying the ledger from the command line, and signing its heads."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.audit_events import EventType
from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.model import SnapshotType, iso
from ghl_snapshots.core.settings import load_settings
from ghl_snapshots.ledger import checkpoint, findings
from ghl_snapshots.ledger.audit import AuditTrail, by_hand
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.migrate import check_schema
from ghl_snapshots.ledger.verification import Verification
from ghl_snapshots.local.environment import product_environment


def verify(
    *, tenant_id: str | None, snapshot_type: SnapshotType | None, since: datetime | None, deep: bool
) -> int:
    """Recompute what the ledger says of itself, print each row that does not hold; 1 if there is any."""
    console = Console(soft_wrap=True, highlight=False)
    with _database() as database, _progress(console) as on_progress:
        walk = Verification(
            database,
            tenant_id=tenant_id,
            snapshot_type=snapshot_type,
            since=since,
            deep=deep,
            on_progress=on_progress,
        )
        found = _told(console, walk)
        details = {
            "deep": deep,
            "snapshotType": snapshot_type,
            "since": iso(since) if since else None,
            "snapshots": walk.checked.snapshots,
            "problems": found,
        }
        event = by_hand(EventType.VERIFICATION, tenant_id=tenant_id, success=not found, details=details)
        AuditTrail(database).record(event)
    checked = walk.checked
    entities = f", {checked.entities:,} entities ({checked.bytes:,} bytes)" if deep else ""
    console.print(
        f"Verified {checked.snapshots:,} snapshots, {checked.payloads:,} payloads{entities}: "
        f"{_counted(found)}."
    )
    return 1 if found else 0


def create_key(path: Path) -> None:
    """Write a new private key, readable by its owner only, and the public one beside it.

    Raises:
        ConfigurationError: one of the files is there already, or cannot be written.
    """
    private, public = checkpoint.new_key()
    _write_new(path, private, 0o600)
    _write_new(path.with_name(f"{path.name}.pub"), public, 0o644)


def create_checkpoint(key: Path | None) -> str:
    """A signed checkpoint of every chain, as JSON text."""
    signing = checkpoint.private_key(_key(key))
    with _database() as database:
        text = checkpoint.create_checkpoint(database, signing, datetime.now(UTC))
        details = {"sha256": hashlib.sha256(text.encode()).hexdigest()}
        AuditTrail(database).record(by_hand(EventType.CHECKPOINT_CREATED, details=details))
        return text


def write_checkpoint(path: Path, text: str) -> None:
    """Write a checkpoint to a file that must not be there yet.

    Raises:
        ConfigurationError: it is, or cannot be written.
    """
    _write_new(path, text.encode(), 0o644)


def verify_checkpoint(file: Path, key: Path | None) -> int:
    """Print what of the ledger contradicts a checkpoint; 1 if anything does."""
    console = Console(soft_wrap=True, highlight=False)
    verifying = checkpoint.public_key(_key(key))
    text = _read(file)
    with _database() as database:
        found = _told(console, checkpoint.verify_checkpoint(database, text, verifying))
        details = {"sha256": hashlib.sha256(text).hexdigest(), "problems": found}
        event = by_hand(EventType.CHECKPOINT_VERIFICATION, success=not found, details=details)
        AuditTrail(database).record(event)
    console.print(f"Verified {file}: {_counted(found)}.", markup=False)
    return 1 if found else 0


def _told(console: Console, told: Iterable[findings.Finding]) -> int:
    """Print each finding as it is found; their number."""
    found = 0
    for finding in told:
        console.print(str(finding), style="red", markup=False)
        found += 1
    return found


def _counted(found: int) -> str:
    return {0: "no problem found", 1: "1 problem found"}.get(found, f"{found:,} problems found")


@contextmanager
def _database() -> Iterator[Database]:
    with product_environment() as settings, open_database(settings) as database:
        check_schema(database)
        yield database


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[findings.Progress], None]]:
    """A bar on a terminal, nothing elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("verifying", total=None)
        yield lambda at: bar.update(
            task, completed=at.done, total=at.total, description=at.tenant_id or "entities"
        )


def _key(path: Path | None) -> bytes:
    if path is not None:
        return _read(path)
    key = load_settings().checkpoint_key
    if key is None:
        raise ConfigurationError(
            "There is no key: give --key FILE or set GHL_SNAPSHOTS_CHECKPOINT_KEY to its PEM text. "
            "`ghl-snapshots checkpoint keygen FILE` makes one."
        )
    return key.get_secret_value().encode()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from None


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
    except FileExistsError:
        raise ConfigurationError(f"{path} exists already, and is not overwritten.") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}.") from None
