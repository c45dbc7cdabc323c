"""Nothing that was stored can be changed or removed, by whichever role and by whichever way in SQL."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots_tests.databases import copy_of
from ghl_snapshots_tests.ledger.captures import capture

APPEND_ONLY = ("entity", "manifest", "provenance", "snapshot", "audit_event")
VIEWS = ("ghl_snapshot", "ghl_snapshot_raw", "ghl_snapshot_audit_event", "snapshot_record")
ROLES = ("owner", "writer", "reader", "auditor")
Connect = Callable[..., Connection]

CHANGES: Mapping[str, str] = {
    "UPDATE": "UPDATE {table} SET tenant_id = tenant_id",
    "UPDATE of no row": "UPDATE {table} SET tenant_id = tenant_id WHERE false",
    "DELETE": "DELETE FROM {table}",
    "DELETE of no row": "DELETE FROM {table} WHERE false",
    "TRUNCATE": "TRUNCATE {table} CASCADE",
    "TRUNCATE of what it depends on": "TRUNCATE tenant CASCADE",
    "MERGE": "MERGE INTO {table} USING (VALUES (1)) AS other ON true WHEN MATCHED THEN DELETE",
    "a change in a query": "WITH gone AS (DELETE FROM {table} RETURNING *) SELECT * FROM gone",
}
SCHEMA_CHANGES: Mapping[str, str] = {
    "disabling a trigger": "ALTER TABLE {table} DISABLE TRIGGER append_only",
    "dropping a trigger": "DROP TRIGGER append_only ON {table}",
    "dropping a table": "DROP TABLE {table} CASCADE",
    "switching row security off": "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
    "walking past triggers": "SET session_replication_role = replica",
    "locking rows": "SELECT * FROM {table} FOR UPDATE",
    "another table in its place": "ALTER TABLE {table} RENAME TO something",
    "a function in the way": "CREATE FUNCTION ghl.sha256(bytea) RETURNS bytea LANGUAGE sql RETURN $1",
    "a partition of its own": "CREATE TABLE ghl.mine () INHERITS ({table})",
    "a rule": "CREATE RULE quiet AS ON INSERT TO {table} DO INSTEAD NOTHING",
}


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    """One database for the whole module, since its tests see what they try to do refused."""
    with copy_of(postgres, template) as url:
        yield url


@pytest.fixture(scope="module")
def stored(url: str) -> None:
    with Database(url) as database:
        for tenant_id in ("acme", "zenith"):
            Ledger(database).append(capture(tenant_id))


def content(superuser: Connection) -> list[Any]:
    return [superuser.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in APPEND_ONLY]


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("role", ROLES)
def test_no_role_can_change_what_is_stored(superuser: Connection, as_role: Connect, role: str) -> None:
    before, connection = content(superuser), as_role(role, "acme")
    for table in APPEND_ONLY:
        for change in CHANGES.values():
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(change.format(table=table))
    assert content(superuser) == before


@pytest.mark.usefixtures("stored")
def test_a_superuser_learns_why_and_what_to_do_instead(superuser: Connection) -> None:
    superuser.execute("SET session_replication_role = replica")
    for table in APPEND_ONLY:
        for change in CHANGES.values():
            with pytest.raises(psycopg.errors.InsufficientPrivilege) as refused:
                superuser.execute(change.format(table=table))
            assert "is refused: the ledger is append-only" in str(refused.value)
            assert "A correction is a new snapshot" in str(refused.value)


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("role", ["writer", "reader", "auditor"])
def test_no_role_of_the_product_can_take_the_protection_away(as_role: Connect, role: str) -> None:
    connection = as_role(role, "acme")
    for table in APPEND_ONLY:
        for change in SCHEMA_CHANGES.values():
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(change.format(table=table))


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("view", VIEWS)
def test_nothing_changes_through_a_view(
    superuser: Connection, as_role: Connect, role: str, view: str
) -> None:
    before, connection = content(superuser), as_role(role, "acme")
    for change in (
        "UPDATE {view} SET tenant_id = 'x'",
        "DELETE FROM {view}",
        "INSERT INTO {view} DEFAULT VALUES",
        "MERGE INTO {view} USING (VALUES (1)) AS other ON true WHEN MATCHED THEN DELETE",
        "TRUNCATE {view}",
    ):
        with pytest.raises(psycopg.Error):
            connection.execute(change.format(view=view))
    assert content(superuser) == before


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("role", ["reader", "auditor", "owner"])
def test_only_the_writer_appends(as_role: Connect, role: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(role, "acme").execute(
            "INSERT INTO entity (tenant_id, digest, endpoint, body) VALUES ('acme', sha256('x'), '/', 'x')"
        )


UNIQUE = {
    "entity": "tenant_id, digest",
    "manifest": "tenant_id, digest",
    "provenance": "tenant_id, digest",
    "snapshot": "snapshot_id",
    "audit_event": "event_id",
}


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("table", APPEND_ONLY)
def test_an_insert_turns_into_an_update_for_nobody(
    superuser: Connection, as_role: Connect, table: str
) -> None:
    key, before = UNIQUE[table], content(superuser)
    statement = (
        f"INSERT INTO {table} ({key}) SELECT {key} FROM {table} "
        f"ON CONFLICT ({key}) DO UPDATE SET tenant_id = 'other'"
    )
    for connection in (superuser, *(as_role(role, "acme") for role in ROLES)):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)
    assert content(superuser) == before


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("role", ROLES)
def test_rows_cannot_be_loaded_past_row_security(superuser: Connection, as_role: Connect, role: str) -> None:
    before, connection = content(superuser), as_role(role, "acme")
    for relation in (*APPEND_ONLY, *VIEWS):
        with (
            pytest.raises(
                (
                    psycopg.errors.FeatureNotSupported,
                    psycopg.errors.InsufficientPrivilege,
                    psycopg.errors.WrongObjectType,
                )
            ),
            connection.cursor() as cursor,
            cursor.copy(f"COPY {relation} FROM STDIN") as rows,
        ):
            rows.write("nothing")
    assert content(superuser) == before


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("role", [*ROLES, None])
def test_no_change_cascades_from_the_registry(
    superuser: Connection, as_role: Connect, role: str | None
) -> None:
    """A tenant's id is in every row; renaming or removing the tenant must not reach them."""
    before, connection = content(superuser), as_role(role, "acme") if role else superuser
    refusals = (psycopg.errors.InsufficientPrivilege, psycopg.errors.IntegrityError)
    for statement in (
        "UPDATE tenant SET tenant_id = 'other' WHERE tenant_id = 'acme'",
        "DELETE FROM tenant WHERE tenant_id = 'acme'",
        "TRUNCATE tenant CASCADE",
        "WITH gone AS (DELETE FROM tenant RETURNING *) SELECT * FROM gone",
    ):
        with suppress(*refusals):  # or no row is there to be changed: the owner has no policy to
            assert connection.execute(statement).rowcount == 0
    assert content(superuser) == before


def forged_snapshot(changes: str = "'correlation_id', correlation_id") -> str:
    """A copy of the stored snapshot as another, with what a writer may say of it."""
    columns = (
        "snapshot_id, tenant_id, ghl_account_id, snapshot_type, captured_at, status, record_count, checksum, "
        "provenance, sent_after_us, took_ms, trace_ids, duration_ms, api_calls, new_bytes, source, "
        "correlation_id"
    )
    return (
        f"INSERT INTO snapshot ({columns}) SELECT {columns} FROM (SELECT (json_populate_record(snapshot, "
        f"json_build_object('snapshot_id', gen_random_uuid(), {changes}))).* FROM snapshot) AS forged"
    )


FORGERIES: Mapping[str, tuple[str, type[psycopg.Error]]] = {
    "bytes with another digest": (
        "INSERT INTO entity (tenant_id, digest, endpoint, body) VALUES ('acme', sha256('x'), '/', 'y')",
        psycopg.errors.CheckViolation,
    ),
    "a payload with another digest": (
        "INSERT INTO manifest SELECT 'acme', sha256('x'), entity_ids FROM manifest",
        psycopg.errors.IntegrityConstraintViolation,
    ),
    "a payload of entities that are not there": (
        "INSERT INTO manifest VALUES ('acme', sha256('x'), '{4711}')",
        psycopg.errors.IntegrityConstraintViolation,
    ),
    "a provenance with another digest": (
        "INSERT INTO provenance SELECT 'acme', sha256('x'), body FROM provenance",
        psycopg.errors.CheckViolation,
    ),
    "a snapshot of another count": (
        forged_snapshot("'correlation_id', 'forged', 'record_count', 3"),
        psycopg.errors.IntegrityConstraintViolation,
    ),
    "a snapshot without a payload": (
        forged_snapshot("'correlation_id', 'forged', 'checksum', sha256('x')"),
        psycopg.errors.IntegrityConstraintViolation,
    ),
    "a failure without errors": (
        forged_snapshot("'correlation_id', 'forged', 'status', 'partial_failure'"),
        psycopg.errors.IntegrityConstraintViolation,
    ),
    "the same trigger again": (
        forged_snapshot(),
        psycopg.errors.UniqueViolation,
    ),
    "no correlation id": (
        forged_snapshot("'correlation_id', ''"),
        psycopg.errors.CheckViolation,
    ),
    "an unknown type": (
        forged_snapshot("'snapshot_type', 'contacts'"),
        psycopg.errors.ForeignKeyViolation,
    ),
    "an infinite moment": (
        forged_snapshot("'correlation_id', 'forged', 'captured_at', '-infinity'"),
        psycopg.errors.IntegrityConstraintViolation,
    ),
}


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(("statement", "error"), FORGERIES.values(), ids=FORGERIES)
def test_the_database_refuses_rows_that_contradict_themselves(
    as_role: Connect, statement: str, error: type[psycopg.Error]
) -> None:
    with pytest.raises(error):
        as_role("writer", "acme").execute(statement)


@pytest.mark.usefixtures("stored")
def test_a_session_cannot_choose_its_place_in_the_chain(superuser: Connection) -> None:
    """Not even a superuser's, which no missing right keeps from saying one."""
    superuser.execute("SET app.tenant_id = 'acme'")
    superuser.execute(
        "INSERT INTO snapshot SELECT (json_populate_record(snapshot, json_build_object('snapshot_id', "
        "gen_random_uuid(), 'correlation_id', 'other', 'seq', 1000, 'created_at', '2001-01-01', "
        "'chain', sha256('x')))).* FROM snapshot LIMIT 1"
    )
    row: Any = superuser.execute(
        "SELECT seq < 100, created_at > now() - interval '1 minute', chain <> sha256('x') FROM snapshot "
        "WHERE correlation_id = 'other'"
    ).fetchone()
    assert row == (True, True, True)


@pytest.mark.parametrize(
    "column",
    [
        "entity.id",
        "entity.first_seen",
        "snapshot.seq",
        "snapshot.created_at",
        "snapshot.created_by",
        "snapshot.chain",
        "audit_event.occurred_at",
        "tenant.created_at",
        "api_key.created_at",
        "snapshot_request.created_at",
        "snapshot_request.ended_at",
    ],
)
def test_what_the_server_knows_is_not_a_writers_to_say(superuser: Connection, column: str) -> None:
    """An id from far ahead would be somebody else's next one; a request from the future stops all others."""
    row: Any = superuser.execute(
        "SELECT has_column_privilege('ghl_snapshots_writer', split_part(%(column)s, '.', 1), "
        "split_part(%(column)s, '.', 2), 'INSERT')",
        {"column": column},
    ).fetchone()
    assert row == (False,)


def test_a_tenant_is_never_removed_from_the_registry(superuser: Connection, as_role: Connect) -> None:
    for connection in (as_role("writer", "acme"), as_role("owner", "acme"), superuser):
        for change in ("DELETE FROM tenant", "TRUNCATE tenant CASCADE"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(change)


def test_a_login_that_is_only_the_writer_can_run_the_product_and_nothing_more(
    url: str, superuser: Connection
) -> None:
    """Another login, given as the auditor's, reads across tenants."""
    for login, role in (("only_writer", "writer"), ("only_auditor", "auditor")):
        superuser.execute(f"DROP ROLE IF EXISTS {login}")
        superuser.execute(f"CREATE ROLE {login} LOGIN IN ROLE ghl_snapshots_{role}")
    superuser.execute("GRANT ghl_snapshots_reader TO only_writer")
    writers = url.replace("//postgres@", "//only_writer@")
    auditors = url.replace("//postgres@", "//only_auditor@")
    with Database(writers, auditors) as database:
        ledger = Ledger(database)
        appended = ledger.append(capture(correlation_id="tick"))
        assert ledger.of_trigger("tick") == [appended.snapshot]
    with psycopg.connect(writers, autocommit=True) as connection:
        for statement in (
            "SET ROLE ghl_snapshots_auditor",
            "SET ROLE ghl_snapshots_owner",
            "SET ROLE postgres",
            "SET session_replication_role = replica",
            "SET row_security = off; SELECT * FROM snapshot",
            "UPDATE snapshot SET seq = 1",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
        assert connection.execute("SELECT * FROM ghl_snapshot").fetchall() == []
    for login in ("only_writer", "only_auditor"):
        superuser.execute(f"DROP ROLE {login}")
