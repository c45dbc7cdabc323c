"""What GHL answered is on disk until it is stored, where nobody else finds it and nothing of it stays."""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from ghl_snapshots.capture.capture_lock import CaptureLock
from ghl_snapshots.capture.locked_captures import CaptureFailure, LockedCaptures
from ghl_snapshots.core.model import Entity, SnapshotType, Source, Status
from ghl_snapshots.ghl.spool import Spool
from ghl_snapshots.ledger.append import Appended
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.session_locks import SessionLocks
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.file_sizes import largest_file
from ghl_snapshots_tests.ghl.rig import rigged

BODIES = (b'{"id":"a"}', b"", b'{"id":"b"}' * 110_000, b'{"id":"c"}')


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, with nothing in it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def nameless_files() -> int:
    """How many files this process has open that stand in no folder."""
    count = 0
    for descriptor in Path("/dev/fd").iterdir():
        with suppress(OSError):  # the one of the walk itself is closed by now
            found = os.fstat(int(descriptor.name))
            count += stat.S_ISREG(found.st_mode) and not found.st_nlink
    return count


def test_bytes_come_back_from_a_file_that_has_no_name_and_goes_with_them(folder: Path) -> None:
    before = nameless_files()
    given = [Entity(body=body, endpoint="/list") for body in BODIES]
    spool = Spool()
    kept = spool.keep(given[:1])
    assert nameless_files() == before, "a small capture needs no file"
    kept += [*spool.keep(given[1:3]), *spool.keep(given[3:])]
    assert nameless_files() == before + 1
    assert list(folder.iterdir()) == []
    assert kept == given
    assert [bytes(entity.body) for entity in kept] == list(BODIES)
    assert [len(entity.body) for entity in kept] == list(map(len, BODIES))
    del spool
    assert bytes(kept[0].body) == BODIES[0]
    del kept
    assert nameless_files() == before


def test_a_full_disk_costs_its_tenant_only_and_leaves_nothing(
    simulator: Simulator, database: Database, folder: Path
) -> None:
    large, small = simulator.accounts.single_locations
    large.least_bytes["workflows"] = 300_000
    before = nameless_files()
    with rigged(simulator) as rig, SessionLocks(database) as locks:
        tenants = [rig.pit(large), rig.pit(small)]
        for tenant in tenants:
            TenantRegistry(database).add(tenant)
        captures = LockedCaptures(rig.engine, CaptureLock(locks), timeout_seconds=60)
        with largest_file(1_000_000):
            results = list(
                captures.capture_all(
                    tenants,
                    SnapshotType.WORKFLOWS,
                    source=Source.MANUAL,
                    correlation_id="manual_1",
                    store=Ledger(database).append,
                )
            )
        [failure] = [result for result in results if isinstance(result, CaptureFailure)]
        assert (failure.tenant_id, failure.status) == (tenants[0].tenant_id, "not stored")
        assert "File too large. Free some room" in failure.cause
        assert "\n" not in failure.cause
        [appended] = [result for result in results if isinstance(result, Appended)]
        assert appended.snapshot.tenant_id == tenants[1].tenant_id
        assert appended.snapshot.status is Status.SUCCESS
        assert Ledger(database).of_tenant(tenants[0].tenant_id) == []
    assert nameless_files() == before
    assert list(folder.iterdir()) == []
