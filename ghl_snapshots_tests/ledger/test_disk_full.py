"""A server that can write no more during an append: an error, nothing half there, and mended by space.

A limit on the size of files stands in for a full disk, since it needs no rights and no device of its own: the
server meets it where it would meet a full disk, when a table has to grow.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ghl_snapshots.core.errors import LedgerError
from ghl_snapshots.core.model import Capture
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.ledger.verification import Verification
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots_tests.file_sizes import largest_file
from ghl_snapshots_tests.ledger.captures import capture, tenant

pytestmark = pytest.mark.slow

# Above the 16 MiB of a segment of the write-ahead log, without which the server goes down.
LARGEST_FILE = 20 * 2**20
SEED = 4


def captures() -> Iterator[Capture]:
    """Captures of a megabyte each that no compression makes smaller."""
    drawn = random.Random(SEED)  # noqa: S311 - content, not a secret
    for number in range(40):
        yield capture(
            bodies=[drawn.randbytes(2**19), drawn.randbytes(2**19)], correlation_id=f"tick-{number}"
        )


def stored(url: str) -> dict[str, str]:
    with psycopg.connect(url) as connection:
        return dict(connection.execute("SELECT correlation_id, snapshot_id FROM ghl.snapshot").fetchall())


def rows(url: str) -> list[int]:
    tables = ("entity", "manifest", "provenance", "snapshot")
    with psycopg.connect(url) as connection:
        return [connection.execute(f"SELECT FROM ghl.{table}").rowcount for table in tables]


def test_a_table_that_cannot_grow_is_reported_and_leaves_whole_snapshots(tmp_path: Path) -> None:
    with largest_file(LARGEST_FILE):
        full = EmbeddedPostgres(tmp_path).__enter__()
    acknowledged: dict[str, str] = {}
    try:
        url = full.url("ledger")
        migrate(url)
        with Database(url) as database:
            TenantRegistry(database).add(tenant("acme"))
            ledger = Ledger(database)
            for given in captures():
                before = rows(url)
                try:
                    acknowledged[given.correlation_id] = ledger.append(given).snapshot.snapshot_id
                except LedgerError as error:
                    refused, reported = given, str(error)
                    break
            else:
                pytest.fail("the limit was never met")
            assert "could not extend file" in reported or "could not write" in reported
            assert rows(url) == before
            assert len(acknowledged) > 10
            assert ledger.append(capture(correlation_id="small")).snapshot.seq == len(acknowledged) + 1
    finally:
        full.__exit__(None, None, None)
    with EmbeddedPostgres(tmp_path) as roomy, Database(roomy.url("ledger")) as database:
        assert acknowledged.items() <= stored(roomy.url("ledger")).items()
        assert list(Verification(database, deep=True)) == []
        assert not Ledger(database).append(refused).already_stored
        assert Ledger(database).append(refused).already_stored
        assert list(Verification(database, deep=True)) == []
