"""The database away or wrong: reported clearly, without the password, and working again once it is back."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg_pool.base import AttemptWithBackoff

from ghl_snapshots.core.errors import ConfigurationError, DatabaseLostError, LedgerError
from ghl_snapshots.ledger.database import READER, Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots_tests.ledger.captures import capture
from ghl_snapshots_tests.ledger.proxies import proxied
from ghl_snapshots_tests.waiting import eventually

LIMITS = {
    "tcp_keepalives_idle": 30,
    "tcp_keepalives_interval": 10,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 60_000,
    "lock_timeout": 150_000,
}
CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name = 'ghl_snapshots'"
)
CLIENT_LIMITS = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}


def test_constructing_a_database_connects_to_nothing() -> None:
    with Database("postgresql://nobody:hunter2@127.0.0.1:1/nothing"):
        pass


def test_a_server_that_is_away_is_reported_at_once_without_the_password() -> None:
    with (
        Database("postgresql://nobody:hunter2@127.0.0.1:1/nothing") as database,
        pytest.raises(LedgerError, match="refused") as failed,
        database.reader("acme"),
    ):
        pass
    assert "hunter2" not in str(failed.value)
    assert "hunter2" not in repr(database)


@pytest.mark.parametrize("url", ["hunter2", "mysql://u:hunter2@h/d", "postgresql://u:hunter2@h/d?nonsense=1"])
def test_a_url_that_is_none_is_refused_without_being_quoted(url: str) -> None:
    with (
        Database(url) as database,
        pytest.raises(ConfigurationError, match="has the form") as failed,
        database.auditor(),
    ):
        pass
    assert "hunter2" not in str(failed.value)


def test_a_login_without_the_role_gets_an_error_that_says_so(url: str, superuser: Connection) -> None:
    superuser.execute("CREATE ROLE outsider LOGIN")
    try:
        outsiders = url.replace("//postgres@", "//outsider@")
        with (
            Database(outsiders) as database,
            pytest.raises(LedgerError, match='permission denied to set role "ghl_snapshots_writer"'),
            database.writer("acme"),
        ):
            pass
    finally:
        superuser.execute("DROP ROLE outsider")


def test_options_in_the_url_are_kept(url: str) -> None:
    with Database(f"{url}&options=-c%20work_mem%3D5MB") as database, database.reader("acme") as connection:
        row: Any = connection.execute("SHOW work_mem").fetchone()
        role: Any = connection.execute("SELECT current_user").fetchone()
    assert row == {"work_mem": "5MB"}
    assert role == {"current_user": "ghl_snapshots_reader"}


def test_the_servers_defaults_do_not_decide_what_a_session_promises(url: str, superuser: Connection) -> None:
    """Without the first, a snapshot that was acknowledged is lost with the server."""
    for setting, value in (
        ("synchronous_commit", "off"),
        ("default_transaction_isolation", "serializable"),
        ("default_transaction_read_only", "on"),
        ("row_security", "off"),
        ("statement_timeout", "1ms"),
        ("client_encoding", "LATIN1"),
        ("datestyle", "SQL, DMY"),
        ("timezone", "Asia/Tokyo"),
        ("standard_conforming_strings", "off"),
        ("quote_all_identifiers", "on"),
        ("search_path", "public"),
        ("intervalstyle", "sql_standard"),
        ("app.tenant_id", "acme"),
        ("transaction_timeout", "1h"),
    ):
        superuser.execute(f"ALTER DATABASE {superuser.info.dbname} SET {setting} = {value!r}")
    with Database(url) as database, database.shared_writer() as connection:
        for setting, value in (
            ("synchronous_commit", "on"),
            ("transaction_isolation", "read committed"),
            ("transaction_read_only", "off"),
            ("row_security", "on"),
            ("statement_timeout", "0"),
            ("client_encoding", "UTF8"),
            ("datestyle", "ISO, MDY"),
            ("timezone", "UTC"),
            ("standard_conforming_strings", "on"),
            ("quote_all_identifiers", "off"),
            ("search_path", "ghl"),
            ("intervalstyle", "postgres"),
            ("app.tenant_id", ""),
            ("transaction_timeout", "0"),
        ):
            row: Any = connection.execute(f"SHOW {setting}").fetchone()
            assert list(row.values()) == [value], setting


@pytest.mark.parametrize(("role", "idle_seconds"), [("writer", 300), ("reader", 3600), ("auditor", 3600)])
def test_no_session_waits_without_a_limit(url: str, role: str, idle_seconds: int) -> None:
    """For the network, for a lock, or for a client that is stuck; whatever the server's defaults are."""
    with Database(url) as database:
        tenant = () if role == "auditor" else ("acme",)
        with getattr(database, role)(*tenant) as connection:
            assert limits(connection) == LIMITS | {"idle_in_transaction_session_timeout": idle_seconds * 1000}
            assert client_limits(connection) == CLIENT_LIMITS


def test_a_lasting_session_may_be_idle_and_has_the_other_limits(url: str, superuser: Connection) -> None:
    superuser.execute(f"ALTER DATABASE {superuser.info.dbname} SET idle_session_timeout = '1h'")
    with Database(url) as database, database.session() as connection:
        assert limits(connection) == LIMITS | {"idle_in_transaction_session_timeout": 300_000}
        assert client_limits(connection) == CLIENT_LIMITS
        row: Any = connection.execute("SHOW idle_session_timeout").fetchone()
        assert row == {"idle_session_timeout": "0"}


def test_what_the_url_says_of_the_network_stays(url: str) -> None:
    with (
        Database(f"{url}&connect_timeout=3&tcp_user_timeout=5000") as database,
        database.session() as session,
    ):
        reported = client_limits(session)
    assert reported == CLIENT_LIMITS | {"connect_timeout": "3", "tcp_user_timeout": "5000"}


def limits(connection: Connection[Any]) -> dict[str, int]:
    """The session's limits in the server; what SHOW tells of TCP on a unix socket is always 0."""
    rows = connection.execute(
        "SELECT name, reset_val::int AS value FROM pg_settings WHERE name = ANY(%s)",
        [[*LIMITS, "idle_in_transaction_session_timeout"]],
    )
    return {row["name"]: row["value"] for row in rows}


def client_limits(connection: Connection[Any]) -> dict[str, str]:
    given = connection.info.get_parameters()
    return {name: given[name] for name in CLIENT_LIMITS if name in given}


@pytest.fixture
def cut(database: Database, superuser: Connection) -> None:
    """Every connection of the pool is open, and cut by the server."""
    with database.writer("acme"), database.reader("acme"), database.auditor():
        pass
    superuser.execute(CUT)


def test_the_first_broken_connection_empties_the_pool(database: Database, superuser: Connection) -> None:
    """After a restart of the server all are broken; to try them one by one takes a minute."""
    with ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(database.reader("acme"))
    superuser.execute(CUT)
    with database.reader("acme") as connection:
        assert connection.execute("SELECT 1").fetchone()


def test_a_server_that_was_away_is_used_as_soon_as_it_is_back(
    url: str, superuser: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each use meanwhile says what is wrong, and is not told that all connections are busy."""
    monkeypatch.setattr("ghl_snapshots.ledger.database._WAIT_SECONDS", 0.5)
    with proxied(url, tmp_path / "way", lambda _data, _servers: True) as by_proxy:
        database = Database(by_proxy)
        with database.reader("acme"):
            pass
    superuser.execute(CUT)
    with database:
        for _ in range(3):
            with pytest.raises(LedgerError, match="connection to server"), database.reader("acme"):
                pass
        shutil.rmtree(tmp_path / "way")
        with (
            proxied(url, tmp_path / "way", lambda _data, _servers: True),
            database.reader("acme") as connection,
        ):
            assert connection.execute("SELECT 1").fetchone()


def test_a_pool_that_failed_to_connect_is_left_and_not_waited_for(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tries again at ever longer intervals, here in an hour, although the server is back."""
    monkeypatch.setattr(AttemptWithBackoff, "INITIAL_DELAY", 3600)
    monkeypatch.setattr("ghl_snapshots.ledger.database._WAIT_SECONDS", 3600)
    open_ = threading.Event()
    open_.set()

    def answer() -> object:
        with suppress(DatabaseLostError), database.reader("acme") as connection:
            return connection.execute("SELECT 1 AS one").fetchone()
        return None

    with (
        ThreadPoolExecutor(1) as threads,
        proxied(url, tmp_path / "way", lambda _data, _servers: open_.is_set()) as by_proxy,
        Database(by_proxy) as database,
        database.reader("acme"),  # so that the next one needs another connection
    ):
        pool = database._pools[READER]
        open_.clear()
        asked = threads.submit(eventually, answer, "the server answers")
        eventually(lambda: pool.get_stats().get("connections_errors"), "the pool failed to connect")
        open_.set()
        assert asked.result(timeout=60) == {"one": 1}


def test_a_writer_that_would_skip_foreign_keys_is_refused(url: str, superuser: Connection) -> None:
    superuser.execute(f"ALTER DATABASE {superuser.info.dbname} SET session_replication_role = replica")
    with Database(url) as database:
        with (
            pytest.raises(LedgerError, match="session_replication_role is 'replica', not 'origin'"),
            database.writer("acme"),
        ):
            pass
        with database.auditor():
            pass


def test_a_writer_that_began_to_skip_foreign_keys_is_refused(database: Database) -> None:
    """As a reload of the server's configuration does to every session that there is."""
    with database.writer("acme") as connection:
        connection.execute(
            "SET ROLE NONE; SET session_replication_role = replica; SET ROLE ghl_snapshots_writer"
        )
    with pytest.raises(LedgerError, match="session_replication_role is 'replica'"), database.writer("acme"):
        pass
    with database.writer("acme"):
        pass  # by another connection


@pytest.mark.usefixtures("cut")
def test_connections_that_were_cut_while_idle_are_made_anew(ledger: Ledger) -> None:
    stored = ledger.append(capture()).snapshot
    assert ledger.get(stored.snapshot_id, tenant_id="acme") == stored


def test_a_connection_that_is_cut_in_use_is_reported_as_the_ledgers_failure(
    database: Database, superuser: Connection
) -> None:
    def read() -> None:
        with database.reader("acme") as connection:
            superuser.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
            connection.execute("SELECT 1")

    with pytest.raises(LedgerError, match="The database failed"):
        read()


def test_what_a_transaction_did_is_undone_when_it_fails(database: Database, superuser: Connection) -> None:
    def fail() -> None:
        with database.writer("acme") as connection:
            connection.execute(
                "INSERT INTO ghl.entity (tenant_id, digest, endpoint, body) "
                "VALUES ('acme', sha256('x'), '/', 'x')"
            )
            connection.execute("SELECT 1 / 0")

    with pytest.raises(psycopg.errors.DivisionByZero):
        fail()
    row: Any = superuser.execute("SELECT count(*) FROM entity").fetchone()
    assert row == (0,)
