"""A database full of an earlier version's data is brought up to a newer one with everything that is in it."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from ghl_snapshots.core.api_keys import KeyRole
from ghl_snapshots.core.errors import LedgerError, SchemaError
from ghl_snapshots.core.model import SnapshotType, Status
from ghl_snapshots.ledger.api_keys import ApiKeys
from ghl_snapshots.ledger.audit import AuditTrail
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.migrations import Migration, check_schema, released_migrations
from ghl_snapshots.ledger.snapshot_requests import NewRequest, SnapshotRequests
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.ledger.verification import Verification
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots_tests.ledger.captures import BODIES, NOON, capture, tenant

TENANTS = ("acme", "zeta")
SECOND = Migration(
    version=len(released_migrations()) + 1,
    name="0002_second",
    text="SET LOCAL search_path = ghl, pg_catalog;"
    "ALTER TABLE tenant ADD COLUMN note text NOT NULL DEFAULT 'none';"
    "CREATE INDEX snapshot_by_moment ON snapshot (captured_at);",
)
UPGRADED = (*released_migrations(), SECOND)
STORED = (
    "SELECT snapshot_id, correlation_id, seq, chain, row_text(snapshot) FROM snapshot ORDER BY tenant_id, seq"
)
# What other rooms write, with the writer's rights.
SECRETS = """
INSERT INTO oauth_token (tenant_id, refresh_token) VALUES (current_setting('app.tenant_id'), 'encrypted');
INSERT INTO location_token (tenant_id, location_id, token, expires_at)
VALUES (current_setting('app.tenant_id'), 'location-1', 'encrypted', '2026-03-03 12:00Z');
SELECT note_quota('location-1', '2026-03-03', 1000, 200000);
"""


@pytest.fixture
def earlier(postgres: EmbeddedPostgres) -> Iterator[str]:
    """URL of a database of this release with data of two tenants in every table."""
    name = f"earlier_{uuid4().hex}"
    migrate(postgres.url(name))
    with Database(postgres.url(name)) as database:
        for tenant_id in TENANTS:
            fill(database, tenant_id)
    yield postgres.url(name)
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def fill(database: Database, tenant_id: str) -> None:
    TenantRegistry(database).add(tenant(tenant_id))
    ledger = Ledger(database)
    ledger.append(capture(tenant_id, correlation_id="old-1"))
    ledger.append(capture(tenant_id, correlation_id="old-2"))
    ledger.append(capture(tenant_id, [], correlation_id="old-3", status=Status.FAILED))
    ApiKeys(database).create([tenant_id], KeyRole.READ)
    wanted = NewRequest(tenant_id=tenant_id, ghl_account_id=f"account-{tenant_id}")
    SnapshotRequests(database).accept(wanted, now=NOON, limit=1)
    with database.writer(tenant_id) as connection:
        connection.execute(SECRETS)


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
    [version] = ledger.entity_history(tenant_id, "/workflows/", "a")
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


def test_a_database_with_data_is_upgraded_and_reads_verifies_and_grows_on(earlier: str) -> None:
    before = rows(earlier, STORED)
    assert migrate(earlier, UPGRADED) == ["0002_second"]
    assert migrate(earlier, UPGRADED) == []
    assert rows(earlier, STORED) == before
    assert len(before) == 3 * len(TENANTS)
    assert rows(earlier, "SELECT DISTINCT note FROM tenant") == [("none",)]
    with Database(earlier) as database:
        with pytest.raises(SchemaError, match="newer than this release"):
            check_schema(database)
        assert TenantRegistry(database).list() == [tenant(tenant_id) for tenant_id in TENANTS]
        for tenant_id in TENANTS:
            assert_reads(database, tenant_id)
            assert_goes_on(database, tenant_id)
        findings = [str(finding) for finding in Verification(database, deep=True)]
    assert findings == [
        "column note of table tenant is not of this release: text NOT NULL DEFAULT 'none'::text",
        (
            "index snapshot_by_moment is not of this release: CREATE INDEX snapshot_by_moment ON "
            "ghl.snapshot USING btree (captured_at)"
        ),
    ]
    [event] = [
        details
        for (details,) in rows(
            earlier,
            "SELECT details FROM audit_event WHERE event_type = 'ghl_snapshot_migrated' ORDER BY occurred_at",
        )
        if details["fromVersion"]
    ]
    assert event == {"fromVersion": 1, "applied": ["0002_second"]}


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(earlier: str) -> None:
    broken = Migration(version=3, name="0003_broken", text="SELECT 1 / 0")
    with pytest.raises(LedgerError, match="division by zero"):
        migrate(earlier, [*UPGRADED, broken])
    assert rows(earlier, "SELECT version FROM schema_version") == [(1,)]
    with Database(earlier) as database:
        check_schema(database)


def test_the_data_of_the_earlier_version_leaves_no_table_empty(earlier: str) -> None:
    """A migration that adds a table must say in `fill` what a database of that version holds."""
    tables = rows(
        earlier, "SELECT relname FROM pg_class WHERE relnamespace = 'ghl'::regnamespace AND relkind = 'r'"
    )
    empty = [name for (name,) in tables if not rows(earlier, f"SELECT FROM ghl.{name} LIMIT 1")]
    assert empty == []
