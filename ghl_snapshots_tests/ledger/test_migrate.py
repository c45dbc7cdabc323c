"""Migrations: repeatable, safe under several at once, forward only, and equal to the readable schema."""

import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ghl_snapshots.core.errors import ConfigurationError, LedgerError, SchemaError
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.migrations import check_schema, released_migrations
from ghl_snapshots.ledger.queries import sql_text
from ghl_snapshots.ledger.schema_integrity import drift
from ghl_snapshots.ledger.session_settings import NETWORK
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.postgres import EmbeddedPostgres, program
from ghl_snapshots_tests.ledger.captures import capture, tenant

RELEASED = {"0001_ledger": "9283ce03a749cbff92e4dc1f100319d84a78ff6acaea305a2dcd5a9af1d44a39"}
"""SHA-256 of each migration of a release, by which databases are known as that release's."""
ALL = ["0001_ledger"]


@pytest.fixture
def names(postgres: EmbeddedPostgres) -> Iterator[Callable[[], str]]:
    """A function that gives names of databases that do not exist; those made of them go after the test."""
    given: list[str] = []

    def new() -> str:
        given.append(f"migrated_{uuid4().hex}")
        return given[-1]

    yield new
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        for name in given:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )


@pytest.fixture
def missing(postgres: EmbeddedPostgres, names: Callable[[], str]) -> str:
    """URL of a database that does not exist."""
    return postgres.url(names())


def test_a_migration_that_was_released_never_changes() -> None:
    """Or every database that it was applied to would be refused."""
    digests = {each.name: each.digest.hex() for each in released_migrations()}
    assert {name: digests.get(name) for name in RELEASED} == RELEASED


def test_the_first_migration_creates_the_database_and_the_second_finds_nothing_to_do(missing: str) -> None:
    assert migrate(missing) == ALL
    assert migrate(missing) == []
    with Database(missing) as database:
        check_schema(database)


def test_of_several_migrations_at_once_one_does_the_work(missing: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        applied = list(pool.map(migrate, [missing] * 6))
    assert sorted(applied) == [[]] * 5 + [ALL]


def test_several_databases_of_one_server_can_be_migrated_at_once(
    postgres: EmbeddedPostgres, names: Callable[[], str]
) -> None:
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(migrate, [postgres.url(names()) for _ in range(4)]))
    assert applied == [ALL] * 4


@pytest.mark.usefixtures("template")  # with which the server has the roles
def test_a_login_that_is_no_superuser_can_migrate_and_use_what_it_made(
    postgres: EmbeddedPostgres, missing: str
) -> None:
    role = f"deployer_{uuid4().hex}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE").format(sql.Identifier(role)))
        # The group roles belong to the whole server, where another test's migration may have made them.
        for group in ("owner", "writer", "reader", "auditor"):
            connection.execute(
                sql.SQL("GRANT {} TO {} WITH ADMIN TRUE").format(
                    sql.Identifier(f"ghl_snapshots_{group}"), sql.Identifier(role)
                )
            )
    url = make_conninfo(missing, user=role)
    assert migrate(url) == ALL
    with Database(url) as database:
        check_schema(database)
        TenantRegistry(database).add(tenant("acme"))
        assert Ledger(database).append(capture()).snapshot.seq == 1
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        database_name = psycopg.conninfo.conninfo_to_dict(missing)["dbname"]
        connection.execute(
            sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(str(database_name)))
        )
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


@pytest.fixture
def login(postgres: EmbeddedPostgres) -> Iterator[Callable[[str], str]]:
    """A function that makes a login and gives its name; it goes again, with the databases that it owns."""
    made: list[str] = []
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:

        def make(attributes: str) -> str:
            made.append(f"login_{uuid4().hex}")
            connection.execute(f"CREATE ROLE {made[-1]} LOGIN {attributes}")
            return made[-1]

        yield make
        owned = connection.execute(
            "SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = ANY(%s)",
            [made],
        ).fetchall()
        for (name,) in owned:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        for name in made:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.mark.usefixtures("template")  # with which the server has the roles
def test_a_login_that_may_not_hand_out_the_roles_learns_what_is_needed(
    missing: str, login: Callable[[str], str]
) -> None:
    url = make_conninfo(missing, user=login("CREATEDB"))
    with pytest.raises(LedgerError, match=r"may not set up the database: .*a login with CREATEROLE, or let"):
        migrate(url)


@pytest.mark.usefixtures("template")
def test_a_login_with_no_rights_but_those_prepared_for_it_can_migrate(
    postgres: EmbeddedPostgres, missing: str, login: Callable[[str], str]
) -> None:
    """As docs/operations.md prepares it: the roles are there, and a database that belongs to it."""
    name = login(
        "IN ROLE ghl_snapshots_owner, ghl_snapshots_writer, ghl_snapshots_reader, ghl_snapshots_auditor"
    )
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        database_name = str(psycopg.conninfo.conninfo_to_dict(missing)["dbname"])
        connection.execute(f"CREATE DATABASE {database_name} OWNER {name}")
    url = make_conninfo(missing, user=name)
    assert migrate(url) == ALL
    assert migrate(url) == []
    with Database(url) as database:
        TenantRegistry(database).add(tenant("acme"))
        assert Ledger(database).append(capture()).snapshot.seq == 1


@pytest.mark.usefixtures("template")
@pytest.mark.parametrize("attribute", ["LOGIN", "SUPERUSER", "BYPASSRLS", "CREATEROLE", "CREATEDB"])
def test_a_role_of_our_name_that_voids_the_protection_is_refused(
    postgres: EmbeddedPostgres, missing: str, attribute: str
) -> None:
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"ALTER ROLE ghl_snapshots_reader {attribute}")
        try:
            with pytest.raises(SchemaError, match=rf"ghl_snapshots_reader \({attribute}\)"):
                migrate(missing)
        finally:
            connection.execute(f"ALTER ROLE ghl_snapshots_reader NO{attribute}")
    assert migrate(missing) == ALL


def test_everything_belongs_to_the_owner_role_although_a_superuser_migrated(url: str) -> None:
    with psycopg.connect(url) as connection:
        owners = connection.execute(
            "SELECT DISTINCT pg_get_userbyid(owner) FROM ("
            "SELECT relowner AS owner FROM pg_class WHERE relnamespace = 'ghl'::regnamespace UNION "
            "SELECT proowner FROM pg_proc WHERE pronamespace = 'ghl'::regnamespace UNION "
            "SELECT nspowner FROM pg_namespace WHERE nspname = 'ghl') AS every"
        ).fetchall()
    assert owners == [("ghl_snapshots_owner",)]


def test_the_relations_are_found_without_naming_their_schema(missing: str) -> None:
    migrate(missing)
    with psycopg.connect(missing) as connection:
        for relation in ("ghl_snapshot", "ghl_snapshot_raw", "ghl_snapshot_audit_event"):
            connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(relation)))


def test_a_database_newer_than_this_release_is_refused(missing: str) -> None:
    migrate(missing)
    with psycopg.connect(missing) as connection:
        connection.execute("INSERT INTO schema_version VALUES (9999, sha256(''))")
    with pytest.raises(SchemaError, match="newer than this release"):
        migrate(missing)
    with Database(missing) as database, pytest.raises(SchemaError, match="newer than this release"):
        check_schema(database)


def test_a_missing_or_older_schema_is_reported_with_what_to_do(
    postgres: EmbeddedPostgres, missing: str
) -> None:
    advice = "run `ghl-snapshots migrate`"
    with Database(missing) as database, pytest.raises(SchemaError, match=f"is missing .*{advice}"):
        check_schema(database)
    with Database(postgres.url("postgres")) as database, pytest.raises(SchemaError, match=advice):
        check_schema(database)
    migrate(missing)
    with psycopg.connect(missing) as connection:
        connection.execute("DELETE FROM schema_version")
    with Database(missing) as database, pytest.raises(SchemaError, match=advice):
        check_schema(database)


@pytest.mark.parametrize(
    "earlier",
    [
        pytest.param("ALTER TABLE schema_version DROP COLUMN digest", id="without digests, as most were"),
        pytest.param("UPDATE schema_version SET digest = sha256('another')", id="of another first migration"),
    ],
)
def test_a_database_of_a_state_that_was_never_released_is_refused_with_what_to_do(
    missing: str, earlier: str
) -> None:
    migrate(missing)
    with psycopg.connect(missing) as connection:
        connection.execute(earlier)
        connection.execute("CREATE TABLE public.untouched ()")
    advice = r"never released.* Export what you need .* remove the home folder or the database, and run"
    with pytest.raises(SchemaError, match=advice):
        migrate(missing)
    with Database(missing) as database, pytest.raises(SchemaError, match=advice):
        check_schema(database)
    with psycopg.connect(missing) as connection:
        connection.execute("SELECT FROM public.untouched")


@pytest.mark.usefixtures("template")  # with which the server has the roles
def test_a_migration_that_fails_leaves_nothing(missing: str, postgres: EmbeddedPostgres) -> None:
    """Something of the same name is in the way, in the middle of the schema."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        name = str(psycopg.conninfo.conninfo_to_dict(missing)["dbname"])
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with psycopg.connect(missing) as connection:
        connection.execute("CREATE SCHEMA ghl AUTHORIZATION ghl_snapshots_owner")
        connection.execute("CREATE TABLE ghl.audit_event ()")
    with pytest.raises(LedgerError, match=r'could not be migrated: .*"audit_event" already exists'):
        migrate(missing)
    with psycopg.connect(missing) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'ghl'::regnamespace"
        ).fetchall()
    assert tables == [("audit_event",)]


@pytest.mark.parametrize(
    "url", ["hunter2", "postgresql://user:hunter2@127.0.0.1:1/db", "mysql://user:hunter2@x/y"]
)
def test_a_database_that_cannot_be_reached_is_reported_without_the_password(url: str) -> None:
    with pytest.raises((LedgerError, ConfigurationError)) as failed:
        migrate(url)
    assert "hunter2" not in str(failed.value)


def test_a_server_that_accepts_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORK, "connect_timeout", 2)  # the least that PostgreSQL's library knows
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(
            LedgerError, match="'ledger' cannot be reached or made: connection timeout expired"
        ):
            migrate(f"postgresql://user:hunter2@127.0.0.1:{port}/ledger")


def test_the_databases_defaults_do_not_change_what_is_made(
    postgres: EmbeddedPostgres, names: Callable[[], str]
) -> None:
    name = names()
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        for setting, value in (
            ("default_transaction_read_only", "on"),
            ("default_transaction_isolation", "repeatable read"),
            ("standard_conforming_strings", "off"),
            ("quote_all_identifiers", "on"),
            ("statement_timeout", "1ms"),
        ):
            connection.execute(f"ALTER DATABASE {name} SET {setting} = {value!r}")
    migrate(postgres.url(name))
    with Database(postgres.url(name)) as database, database.auditor() as connection:
        assert list(drift(connection)) == []


def test_the_readable_schema_and_the_migrations_give_the_same_database(
    postgres: EmbeddedPostgres, names: Callable[[], str]
) -> None:
    migrated, readable = postgres.url(names()), postgres.url(names())
    migrate(migrated)
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        name = str(psycopg.conninfo.conninfo_to_dict(readable)["dbname"])
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with psycopg.connect(readable) as connection:
        connection.execute(sql_text("roles.sql"))
        connection.execute("SET LOCAL ROLE ghl_snapshots_owner")
        connection.execute(sql_text("schema.sql"))
    assert dump(readable) == dump(migrated)


def dump(url: str) -> list[str]:
    """The schema as pg_dump writes it, without the key that it draws for each dump."""
    command = [str(program("pg_dump")), "--schema-only", "--dbname", url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]
    assert sum(line.startswith("CREATE TABLE") for line in lines) == 15
    return lines
