"""A tenant's configuration at a moment as files: one for each entity, named by what it is.

`<type>/<location>/<endpoint>/<id>.json` holds an entity's bytes exactly as GHL sent them. `entities.json`
lists them in the payloads' order with what each snapshot says of itself, and `SHA256SUMS` proves every file.
None of it depends on when or by which capture the same configuration was read.
"""

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.parse import quote

from ghl_snapshots.core.errors import ConfigurationError, SnapshotNotFoundError
from ghl_snapshots.core.model import Entity, Snapshot, SnapshotType
from ghl_snapshots.core.signals import deferred_signals
from ghl_snapshots.ledger.ledger import Ledger

SUMS, LIST = "SHA256SUMS", "entities.json"
_OURS = {SUMS, LIST, *SnapshotType}
_NO_LOCATION = "_"
_MAX_NAME = 120


def export_tenant(ledger: Ledger, tenant_id: str, folder: Path, *, as_of: datetime) -> list[Snapshot]:
    """Write what was captured of the tenant by that moment, in the place of an earlier export; the snapshots.

    The folder changes only when all is written and verified, and as a whole; what is not ours in it stays.

    Raises:
        SnapshotNotFoundError: nothing was captured by then.
        SnapshotCorruptError: stored bytes do not match their checksum; nothing was written.
        ConfigurationError: the folder holds other things, or cannot be written.
    """
    newest = (ledger.latest(tenant_id, kind, as_of=as_of) for kind in SnapshotType)
    snapshots = [snapshot for snapshot in newest if snapshot is not None]
    if not snapshots:
        raise SnapshotNotFoundError(
            f"Nothing of tenant {tenant_id!r} was captured by {as_of:%Y-%m-%d %H:%M} UTC."
        )
    try:
        _check_folder(folder)
        folder.mkdir(parents=True, exist_ok=True)
        fresh = Path(mkdtemp(prefix=".export-", dir=folder))
        try:
            _write(ledger, snapshots, fresh)
            with deferred_signals():
                _replace(folder, fresh)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written: {error}.") from None
    return snapshots


def _check_folder(folder: Path) -> None:
    """Refuse a folder that is neither empty nor an earlier export."""
    present = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if SUMS not in present and any(not name.startswith(".") for name in present):
        raise ConfigurationError(f"{folder} holds other things than an export; name a new folder.")


def _write(ledger: Ledger, snapshots: list[Snapshot], folder: Path) -> None:
    listed, sums = [], []
    for snapshot in snapshots:
        ledger.verify_snapshot(snapshot)
        entities = []
        with closing(ledger.entities(snapshot)) as found:
            for path, entity in _named(snapshot.snapshot_type, found):
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as file:
                    file.write(bytes(entity.body))
                sums.append((path, entity.digest.hex()))
                entities.append({"path": path, **_document(entity)})
        listed.append(
            {
                "snapshotType": snapshot.snapshot_type.value,
                "status": snapshot.status.value,
                "recordCount": snapshot.record_count,
                "checksum": snapshot.checksum,
                "entities": entities,
            }
        )
    text = json.dumps({"tenantId": snapshots[0].tenant_id, "snapshots": listed}, indent=1, ensure_ascii=False)
    (folder / LIST).write_text(f"{text}\n", encoding="utf-8")
    sums.append((LIST, hashlib.sha256(f"{text}\n".encode()).hexdigest()))
    lines = "".join(f"{digest}  {path}\n" for path, digest in sorted(sums))
    (folder / SUMS).write_text(lines, encoding="utf-8")


def _named(kind: SnapshotType, entities: Iterator[Entity]) -> Iterator[tuple[str, Entity]]:
    """Each entity with its path; the second of a name, whatever the letters' case, has a number."""
    taken: Counter[str] = Counter()
    for entity in entities:
        endpoint = _name(re.sub(r"[{}]", "", entity.endpoint.strip("/")).replace("/", "."))
        name = _name(entity.entity_id) if entity.entity_id else entity.digest.hex()[:16]
        path = f"{kind}/{_name(entity.location_id or _NO_LOCATION)}/{endpoint}/{name}"
        taken[path.lower()] += 1
        number = taken[path.lower()]
        yield (f"{path}.json" if number == 1 else f"{path}~{number}.json"), entity


def _name(text: str) -> str:
    """The text as a file's name on any system; `%` begins a byte that is not allowed in one."""
    name = quote(text, safe=" ").replace("~", "%7E")
    name = f"%2E{name[1:]}" if name.startswith(".") else name
    return name if len(name) <= _MAX_NAME else f"{name[:80]}~{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _document(entity: Entity) -> dict[str, Any]:
    return {
        "endpoint": entity.endpoint,
        "locationId": entity.location_id,
        "entityId": entity.entity_id,
        "sha256": entity.digest.hex(),
    }


def _replace(folder: Path, fresh: Path) -> None:
    """Put the new files in the place of the old ones; the sums go first and come last."""
    for name in (SUMS, *(_OURS - {SUMS})):
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for path in sorted(fresh.iterdir(), key=lambda path: path.name == SUMS):
        path.rename(folder / path.name)
