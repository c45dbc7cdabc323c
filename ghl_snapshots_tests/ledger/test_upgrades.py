"""A database that an earlier release filled is brought up to this one with everything that is in it."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from ghl_snapshots.core.model import SnapshotType, Status
from ghl_snapshots.ledger.audit import AuditTrail
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.migrate import check_schema, migrate
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.ledger.verification import Verification
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots_tests.ledger.captures import BODIES, capture, tenant
from ghl_snapshots_tests.ledger.earlier_versions import ADDED, MIGRATIONS, earlier_database

TENANTS = ("acme", "zeta")
KEPT = (
    "SELECT snapshot_id, correlation_id, seq, chain, row_text(snapshot) FROM snapshot ORDER BY tenant_id, seq"
)


@pytest.fixture
def earlier(postgres: EmbeddedPostgres) -> Iterator[Callable[[int], str]]:
    """A function that makes a database at a version, with data of two tenants, and gives its URL."""
    name = f"earlier_{uuid4().hex}"

    def make(version: int) -> str:
        earlier_database(postgres.url(name), version, TENANTS)
        return postgres.url(name)

    yield make
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def rows(url: str, statement: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        return connection.execute(statement).fetchall()


def assert_reads(database: Database, tenant_id: str) -> None:
    ledger = Ledger(database)
    last, again, first = ledger.of_tenant(tenant_id)
    assert [one.seq for one in (first, again, last)] == [1, 2, 3]
    assert (last.status, last.record_count, last.metadata["errors"][0]["message"]) == (
        Status.FAILED,
        0,
        "gone",
    )
    assert list(ledger.bodies(first)) == list(ledger.bodies(again)) == list(BODIES)
    assert again.metadata["requests"][0]["items"] == {"offset": 0, "count": 2}
    assert ledger.latest(tenant_id, SnapshotType.WORKFLOWS) == again
    for snapshot in (first, again, last):
        ledger.verify_snapshot(snapshot)
    [version] = ledger.entity_history(tenant_id, "a")
    assert (version.body, version.snapshots) == (BODIES[0], 2)
    assert len(AuditTrail(database).events(tenant_id=tenant_id, event_type="ghl_snapshot_capture")) == 3


def assert_goes_on(database: Database, tenant_id: str) -> None:
    """An old trigger finds its snapshot; a new one adds to the chain, with the old content and with new."""
    ledger = Ledger(database)
    assert ledger.append(capture(tenant_id, correlation_id="old-1")).already_stored
    unchanged = ledger.append(capture(tenant_id))
    assert (unchanged.snapshot.seq, unchanged.new_entities) == (4, 0)
    changed = ledger.append(capture(tenant_id, [BODIES[1], b'{"id":"new"}']))
    assert (changed.snapshot.seq, changed.new_entities) == (5, 1)
    assert list(ledger.bodies(changed.snapshot)) == [BODIES[1], b'{"id":"new"}']


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
def test_a_database_with_data_of_an_earlier_version_reads_verifies_and_grows_on(
    earlier: Callable[[int], str], version: int
) -> None:
    """The newest version is among them: its data is that of the release at work."""
    url = earlier(version)
    before = rows(url, KEPT)
    assert migrate(url) == MIGRATIONS[version:]
    assert rows(url, KEPT) == before
    assert len(before) == 3 * len(TENANTS)
    with Database(url) as database:
        check_schema(database)
        assert TenantRegistry(database).list() == [tenant(tenant_id) for tenant_id in TENANTS]
        for tenant_id in TENANTS:
            assert_reads(database, tenant_id)
        assert list(Verification(database, deep=True)) == []
        for tenant_id in TENANTS:
            assert_goes_on(database, tenant_id)
        assert list(Verification(database, deep=True)) == []


def test_the_data_of_earlier_versions_leaves_no_table_empty(earlier: Callable[[int], str]) -> None:
    """A migration that adds a table must say in `ADDED` what a database of that version holds."""
    assert ADDED.keys() <= set(MIGRATIONS)
    url = earlier(len(MIGRATIONS))
    tables = rows(
        url, "SELECT relname FROM pg_class WHERE relnamespace = 'ghl'::regnamespace AND relkind = 'r'"
    )
    empty = [name for (name,) in tables if not rows(url, f"SELECT FROM ghl.{name} LIMIT 1")]
    assert empty == []
