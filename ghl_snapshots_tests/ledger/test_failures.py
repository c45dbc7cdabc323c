"""Which failures say that the server is gone and may come back: those are waited for, others reported."""

from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from ghl_snapshots.core.errors import DatabaseLostError, LedgerError
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.migrations import check_schema
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots_tests.ledger.captures import capture, tenant

RAISE = "DO $$ BEGIN RAISE EXCEPTION 'it says so' USING ERRCODE = '{}'; END $$"


@pytest.mark.parametrize(
    ("code", "lost"),
    [
        ("08006", True),
        ("57P01", True),
        ("57P03", True),
        ("57P05", True),
        ("53300", True),
        ("25006", True),
        ("53100", False),  # the disk is full
        ("53200", False),
        ("57014", False),  # somebody cancelled the statement
        ("25P03", False),  # it was idle in a transaction for too long
        ("25P04", False),
        ("40P01", False),
        ("XX001", False),
    ],
)
def test_only_a_server_that_is_gone_is_lost(database: Database, code: str, *, lost: bool) -> None:
    with pytest.raises(LedgerError, match="The database failed: it says so") as failed:
        fail(database, RAISE.format(code))
    assert isinstance(failed.value, DatabaseLostError) is lost


def fail(database: Database, statement: str) -> None:
    with database.writer("acme") as connection:
        connection.execute(statement.encode())


@pytest.mark.parametrize("wrong", [{"user": "nobody"}, {"dbname": "nowhere"}, {"options": "-c nonsense=1"}])
def test_a_login_that_is_refused_is_not_waited_for(url: str, wrong: dict[str, str]) -> None:
    with Database(make_conninfo(url, **wrong)) as database, pytest.raises(LedgerError) as failed:
        fail(database, "SELECT 1")
    assert not isinstance(failed.value, DatabaseLostError)


def test_a_server_that_is_away_is_lost() -> None:
    with Database("postgresql://127.0.0.1:1/nothing") as database, pytest.raises(DatabaseLostError):
        fail(database, "SELECT 1")


@pytest.mark.slow
def test_a_standby_is_a_lost_database_until_it_is_promoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failover that leads to it early, and a server that was replaced: its settings say nothing of it."""
    monkeypatch.setattr("ghl_snapshots.ledger.database._WAIT_SECONDS", 0.5)
    with EmbeddedPostgres(tmp_path) as primary:
        url, data = primary.url("ledger"), primary.data
        migrate(url)
        with Database(url) as database:
            TenantRegistry(database).add(tenant("acme"))
            stored = Ledger(database).append(capture()).snapshot
    (data / "standby.signal").touch()
    with EmbeddedPostgres(tmp_path), Database(url) as database:
        for use in (
            lambda: Ledger(database).append(capture()),
            lambda: check_schema(database),
            database.session,
        ):
            with pytest.raises(DatabaseLostError, match="takes no writes: its server is a standby"):
                use()
        check_schema(database, only_to_read=True)
        assert Ledger(database).get(stored.snapshot_id, tenant_id="acme") == stored
        with psycopg.connect(url) as connection:
            connection.execute("SELECT pg_promote()")
        assert Ledger(database).append(capture()).snapshot.seq == 2
