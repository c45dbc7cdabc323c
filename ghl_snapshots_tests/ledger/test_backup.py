"""A dump that was restored is the same ledger: it verifies, and its chains go on."""

import subprocess
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ghl_snapshots.ledger.checkpoint import create_checkpoint, verify_checkpoint
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.verification import Verification
from ghl_snapshots.local.postgres import EmbeddedPostgres, program
from ghl_snapshots_tests.ledger.captures import NOON, capture

pytestmark = pytest.mark.slow


def test_a_restored_dump_verifies_and_goes_on(postgres: EmbeddedPostgres, url: str, tmp_path: Path) -> None:
    key, odd = Ed25519PrivateKey.generate(), [b'{"n":1E5}', rb'"\u0000\ud800"', b"\xff\x00", b"[" * 9000]
    with Database(url) as database:
        for hour in range(3):
            Ledger(database).append(capture(bodies=odd[hour:], captured_at=NOON + timedelta(hours=hour)))
        checkpoint = create_checkpoint(database, key, NOON)
    dump, restored = tmp_path / "ledger.dump", postgres.url("restored")
    subprocess.run([program("pg_dump"), "-Fc", "-f", dump, url], check=True)
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE restored")
        try:
            subprocess.run([program("pg_restore"), "--exit-on-error", "-d", restored, dump], check=True)
            assert migrate(restored) == []
            with psycopg.connect(restored) as reading:
                assert reading.execute("SELECT FROM ghl_snapshot").rowcount == 3
            with Database(restored) as database:
                assert list(Verification(database, deep=True)) == []
                assert list(verify_checkpoint(database, checkpoint, key.public_key())) == []
                assert Ledger(database).append(capture()).snapshot.seq == 4
                assert list(Verification(database, deep=True)) == []
        finally:
            connection.execute("DROP DATABASE restored WITH (FORCE)")


def test_a_dump_by_anyone_that_row_security_binds_is_refused_rather_than_empty(
    url: str, tmp_path: Path
) -> None:
    arguments = ["--role", "ghl_snapshots_owner", "--file", str(tmp_path / "dump"), "--dbname", url]
    done = subprocess.run([program("pg_dump"), *arguments], capture_output=True, check=False)
    assert done.returncode != 0
    assert b"row-level security" in done.stderr
