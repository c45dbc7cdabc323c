"""The same configuration gives the same files, each with the bytes that GHL sent."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.ledger.export import export_tenant
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots_tests.ledger.captures import capture

NOW = datetime.now(UTC)
# The same id twice, ids that differ in case only, and what is no file's name.
AWKWARD = (
    b'{"id":"a","n":1.10}',
    b'{"id":"a","n":1.1}',
    b'{"id":"A"}',
    b'{"id":"../../x"}',
    b'{"id":".","x":"\\ud800"}',
)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_entity_is_a_file_and_every_file_is_proved(ledger: Ledger, tmp_path: Path) -> None:
    ledger.append(capture("acme", AWKWARD, captured_at=NOW, snapshot_type=SnapshotType.WORKFLOWS))
    folder = tmp_path / "export"
    export_tenant(ledger, "acme", folder, as_of=NOW)
    exported = files(folder)
    assert sorted(exported.pop(path) for path in list(exported) if path.startswith("workflows/")) == sorted(
        AWKWARD
    )
    assert exported.keys() == {"SHA256SUMS", "entities.json"}
    lines = (line.split("  ", 1) for line in exported["SHA256SUMS"].decode().splitlines())
    sums = {path: digest for digest, path in lines}
    proved = {path: hashlib.sha256(content).hexdigest() for path, content in files(folder).items()}
    assert sums == {path: digest for path, digest in proved.items() if path != "SHA256SUMS"}
    assert len({path.lower() for path in sums}) == len(sums), "also where a file's name has no case"


def test_the_same_state_gives_the_same_bytes_whichever_capture_read_it(
    ledger: Ledger, tmp_path: Path
) -> None:
    first = capture(
        "acme", AWKWARD, captured_at=NOW - timedelta(days=1), snapshot_type=SnapshotType.WORKFLOWS
    )
    ledger.append(first)
    export_tenant(ledger, "acme", tmp_path / "one", as_of=NOW)
    ledger.append(replace(first, captured_at=NOW, correlation_id="another"))
    [snapshot] = export_tenant(ledger, "acme", tmp_path / "two", as_of=NOW)
    assert snapshot.captured_at == NOW
    assert files(tmp_path / "one") == files(tmp_path / "two")
