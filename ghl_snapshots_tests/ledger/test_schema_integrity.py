"""Whatever of the schema is altered is named; what an administrator may decide is left alone."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from psycopg import Connection

from ghl_snapshots.ledger import schema_integrity
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.queries import sql_text
from ghl_snapshots.ledger.schema_integrity import drift, objects_text
from ghl_snapshots.ledger.verification import Verification
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots_tests.databases import copy_of
from ghl_snapshots_tests.ledger.alterations import ALLOWED, ALTERED
from ghl_snapshots_tests.waiting import eventually

WRITE_ANEW = "python -m ghl_snapshots_tests.ledger.objects > ghl_snapshots/ledger/sql/objects.txt"


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    """One database for the whole module, since what its tests alter they roll back."""
    with copy_of(postgres, template) as url:
        yield url


def test_the_listed_objects_are_those_that_the_migrations_make(database: Database) -> None:
    with database.auditor() as connection:
        assert objects_text(connection) == sql_text("objects.txt"), f"If that is meant: {WRITE_ANEW}"


def test_the_oldest_supported_server_describes_the_objects_alike() -> None:
    """The package of the embedded server brings PostgreSQL 16 as well."""
    command = [sys.executable, "-m", "ghl_snapshots_tests.ledger.objects"]
    environment = {**os.environ, "PGSERVER_POSTGRES_VERSION": "16"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == sql_text("objects.txt")


@pytest.mark.parametrize(("statements", "expected"), ALTERED.values(), ids=ALTERED)
def test_an_altered_object_is_named_and_no_other(
    superuser: Connection, statements: str, expected: list[str]
) -> None:
    with superuser.transaction(force_rollback=True):
        superuser.execute(statements)
        found = list(drift(superuser))
    assert len(found) == len(expected), found
    assert all(problem.startswith(start) for problem, start in zip(found, expected, strict=True)), found


@pytest.mark.parametrize("statements", ALLOWED.values(), ids=ALLOWED)
def test_what_an_administrator_may_decide_is_no_alarm(superuser: Connection, statements: str) -> None:
    with superuser.transaction(force_rollback=True):
        superuser.execute(statements)
        assert list(drift(superuser)) == []


@pytest.mark.parametrize(
    "setting", ["quote_all_identifiers = on", "standard_conforming_strings = off", "search_path = public"]
)
def test_what_a_login_may_set_is_no_alarm(superuser: Connection, setting: str) -> None:
    superuser.execute(f"SET {setting}")
    assert list(drift(superuser)) == []
    superuser.execute("RESET ALL")


def test_a_server_whose_sessions_check_no_foreign_keys_is_named(url: str, superuser: Connection) -> None:
    def found() -> list[str]:
        with Database(url) as database, database.auditor() as connection:
            return list(drift(connection))

    named = ["setting session_replication_role of the server is not of this release: replica"]
    superuser.execute("ALTER SYSTEM SET session_replication_role = replica")
    try:
        superuser.execute("SELECT pg_reload_conf()")
        eventually(lambda: found() == named, "the server has read its settings")
    finally:
        superuser.execute("ALTER SYSTEM RESET session_replication_role")
        superuser.execute("SELECT pg_reload_conf()")
    eventually(lambda: not found(), "the server has read its settings")


def test_a_server_newer_than_the_release_knows_is_named_instead_of_objects(
    superuser: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server at hand is taken for a newer one by a release that knows older ones only."""
    monkeypatch.setattr(schema_integrity, "_NEWEST_SERVER", 15)
    with superuser.transaction(force_rollback=True):
        superuser.execute("DROP TRIGGER append_only ON snapshot")
        [finding] = drift(superuser)
    version = superuser.info.server_version // 10_000
    assert finding.startswith(f"the server is PostgreSQL {version} and this release knows what 15 says")


def test_a_verification_says_what_is_altered_of_the_ledger_as_a_whole(
    database: Database, superuser: Connection
) -> None:
    superuser.execute("GRANT UPDATE (status) ON snapshot TO ghl_snapshots_writer")
    [finding] = Verification(database)
    superuser.execute("REVOKE UPDATE (status) ON snapshot FROM ghl_snapshots_writer")
    assert str(finding) == (
        "right of ghl_snapshots_writer on column status of table snapshot is altered: INSERT, UPDATE instead "
        "of INSERT"
    )
    assert finding.tenant_id is None
