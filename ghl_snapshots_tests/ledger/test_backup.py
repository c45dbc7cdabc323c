"""A back-up made as docs/operations.md says is a ledger that verifies."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.verification import Verification
from ghl_snapshots.local.postgres import EmbeddedPostgres, program
from ghl_snapshots.model import SnapshotType
from ghl_snapshots_tests.ledger.captures import BODIES, capture


def run(name: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program(name), *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def dump(ledger: Ledger, url: str, tmp_path: Path) -> Path:
    """A dump of a ledger with snapshots of two tenants in it."""
    for tenant_id in ("acme", "zenith"):
        for extra in range(3):
            ledger.append(capture(tenant_id, [*BODIES, b'{"id":"c","v":%d}' % extra]))
    file = tmp_path / "ledger.dump"
    done = run("pg_dump", ["--format", "custom", "--file", str(file), "--dbname", url])
    assert done.returncode == 0, done.stderr
    return file


def test_a_restored_ledger_holds_the_same_bytes_and_chains(
    postgres: EmbeddedPostgres, ledger: Ledger, dump: Path
) -> None:
    name = f"restored_{uuid4().hex}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    restored = run("pg_restore", ["--exit-on-error", "--dbname", postgres.url(name), str(dump)])
    assert restored.returncode == 0, restored.stderr
    with Database(postgres.url(name)) as database:
        walk = Verification(database, deep=True)
        assert list(walk) == []
        assert walk.checked.snapshots == 6
        copy = Ledger(database)
        for tenant_id in ("acme", "zenith"):
            original = ledger.latest(tenant_id, SnapshotType.WORKFLOWS)
            assert original
            assert copy.latest(tenant_id, SnapshotType.WORKFLOWS) == original
            assert list(copy.bodies(original)) == list(ledger.bodies(original))
        assert copy.append(capture("acme")).snapshot.seq == 4


def test_a_dump_by_anyone_that_row_security_binds_is_refused_rather_than_partial(
    url: str, tmp_path: Path
) -> None:
    """A dump that silently left out every row would be found out when it is needed."""
    arguments = ["--role", "ghl_snapshots_owner", "--file", str(tmp_path / "dump"), "--dbname", url]
    done = run("pg_dump", arguments)
    assert done.returncode != 0
    assert "row-level security" in done.stderr
