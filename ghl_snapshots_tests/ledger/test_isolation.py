"""A session sees and writes what is its tenant's, whatever the SQL; without a tenant it sees nothing."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection, sql

from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.core.tokens import StoredTokens
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.ledger.schema_integrity import drift
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots_tests.databases import copy_of
from ghl_snapshots_tests.ledger.captures import capture, tenant

Connect = Callable[..., Connection]
TABLES = ("tenant", "entity", "manifest", "provenance", "snapshot", "audit_event")
VIEWS = ("ghl_snapshot", "ghl_snapshot_raw", "ghl_snapshot_audit_event", "snapshot_record")
KEY = "8Bq2n3hWc0y3wZ1mT9yQy3vVtq1m0l8s9WqI9l3mQ2k="


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    """One database for the whole module, since its tests see what they try to do refused."""
    with copy_of(postgres, template) as url:
        yield url


@pytest.fixture(scope="module")
def stored(url: str) -> None:
    """The same content for both tenants, so that only the tenant tells their rows apart."""
    with Database(url) as database:
        for tenant_id in ("acme", "zenith"):
            Ledger(database).append(capture(tenant_id))
            with OAuthTokens(database, KEY).locked(tenant_id) as locked:
                locked.store(StoredTokens(refresh_token="refresh"))


def tenants_seen(connection: Connection, relation: str) -> set[str | None]:
    return {row[0] for row in connection.execute(f"SELECT tenant_id FROM {relation}")}


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("role", ["writer", "reader"])
def test_a_session_sees_its_tenant_in_every_relation(as_role: Connect, role: str) -> None:
    for tenant_id in ("acme", "zenith"):
        connection = as_role(role, tenant_id)
        for relation in (*TABLES, *VIEWS):
            assert tenants_seen(connection, relation) == {tenant_id}, relation


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("role", ["writer", "reader", "owner"])
@pytest.mark.parametrize("tenant_id", [None, "", "%", "nobody"])
def test_without_a_tenant_nothing_is_visible(as_role: Connect, role: str, tenant_id: str | None) -> None:
    connection = as_role(role, tenant_id)
    for relation in (*TABLES, *VIEWS):
        assert tenants_seen(connection, relation) == set(), relation


@pytest.mark.usefixtures("stored")
def test_the_auditor_reads_every_tenant_and_no_token(as_role: Connect) -> None:
    connection = as_role("auditor")
    for relation in (*TABLES, *VIEWS):
        # Events of no tenant are the auditor's too.
        assert tenants_seen(connection, relation) - {None} == {"acme", "zenith"}, relation
    for role in ("auditor", "reader"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            as_role(role, "acme").execute("SELECT * FROM oauth_token")


@pytest.mark.usefixtures("stored")
def test_tokens_are_seen_by_their_tenants_writer_only(as_role: Connect) -> None:
    assert tenants_seen(as_role("writer", "acme"), "oauth_token") == {"acme"}
    assert tenants_seen(as_role("writer"), "oauth_token") == set()


@pytest.mark.usefixtures("stored")
def test_a_tenants_session_writes_nothing_of_another(as_role: Connect, superuser: Connection) -> None:
    connection = as_role("writer", "acme")
    for statement in (
        "INSERT INTO tenant VALUES ('other', 'a', 'location', 'oauth')",
        "INSERT INTO oauth_token VALUES ('zenith', 'x')",
        "INSERT INTO entity (tenant_id, digest, endpoint, body) VALUES ('zenith', sha256('x'), '/', 'x')",
        "INSERT INTO provenance (tenant_id, digest, body) SELECT 'zenith', digest, body FROM provenance",
        (
            "INSERT INTO audit_event (event_id, event_type, tenant_id, correlation_id, success, source, "
            "details) SELECT gen_random_uuid(), 'x', 'zenith', 'c', true, 'api', '{}'"
        ),
        "UPDATE tenant SET tenant_id = 'other'",
        "UPDATE oauth_token SET tenant_id = 'zenith'",
    ):
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.IntegrityError)):
            connection.execute(statement)
    changed = connection.execute("UPDATE tenant SET enabled = false WHERE tenant_id = 'zenith'")
    assert changed.rowcount == 0
    row: Any = superuser.execute("SELECT enabled FROM tenant WHERE tenant_id = 'zenith'").fetchone()
    assert row == (True,)


@pytest.mark.usefixtures("stored")
def test_a_payload_cannot_be_made_of_another_tenants_entities(
    as_role: Connect, superuser: Connection
) -> None:
    """Nor can a snapshot point at another tenant's payload; and whether there is one does not show."""
    connection, refused = as_role("writer", "acme"), []
    foreign: Any = superuser.execute("SELECT entity_ids, digest FROM manifest WHERE tenant_id = 'zenith'")
    ids, digest = foreign.fetchone()
    for guess in (ids, [4711, 4712]):
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation) as error:
            connection.execute("INSERT INTO manifest VALUES ('acme', %s, %s)", [digest, guess])
        refused.append(error.value.diag.message_primary)
    assert refused[0] == refused[1]
    assert tenants_seen(connection, "manifest") == {"acme"}


@pytest.mark.usefixtures("stored")
def test_equal_content_of_two_tenants_is_stored_for_each(superuser: Connection) -> None:
    rows = superuser.execute("SELECT tenant_id, count(*) FROM entity GROUP BY 1 ORDER BY 1").fetchall()
    assert rows == [("acme", 2), ("zenith", 2)]


@pytest.mark.usefixtures("stored")
def test_a_condition_that_leaks_what_it_sees_sees_no_foreign_row(as_role: Connect) -> None:
    """Being cheap, it would run before the condition of row security, were it allowed to."""
    connection, reported = as_role("reader", "acme"), []
    connection.add_notice_handler(lambda notice: reported.append(notice.message_primary))
    connection.execute(
        "CREATE FUNCTION pg_temp.tell(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS "
        "$$ BEGIN RAISE NOTICE '%', $1; RETURN true; END $$"
    )
    for relation in ("snapshot", "ghl_snapshot", "ghl_snapshot_raw"):
        connection.execute(f"SELECT FROM {relation} WHERE pg_temp.tell(tenant_id)")
    assert set(reported) == {"acme"}


@pytest.mark.usefixtures("stored")
def test_a_tenant_named_for_one_transaction_is_forgotten_after_it(database: Database) -> None:
    with database.reader("acme") as connection:
        assert connection.execute("SELECT FROM snapshot").rowcount == 1
        first = connection.info.backend_pid
    with database.reader("nobody") as connection:
        assert connection.info.backend_pid == first
        assert connection.execute("SELECT FROM snapshot").rowcount == 0


def test_every_table_but_those_of_versions_and_types_is_bound_by_row_security(superuser: Connection) -> None:
    unbound = superuser.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'ghl'::regnamespace "
        "AND relkind IN ('r', 'p', 'f') AND NOT (relrowsecurity AND relforcerowsecurity)"
    ).fetchall()
    assert sorted(unbound) == [("schema_version",), ("snapshot_type",)]


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("role", ["writer", "reader"])
def test_no_relation_that_knows_tenants_shows_another_one(
    as_role: Connect, superuser: Connection, role: str
) -> None:
    """Whichever relations there are."""
    relations = {
        name
        for (name,) in superuser.execute(
            "SELECT relname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid "
            "WHERE relnamespace = 'ghl'::regnamespace AND relkind IN ('r', 'v', 'm', 'p', 'f') "
            "AND attname = 'tenant_id' AND has_column_privilege(%s, attrelid, attnum, 'SELECT')",
            [f"ghl_snapshots_{role}"],
        )
    }
    assert relations >= {*TABLES, *VIEWS, "snapshot_request"}
    connection = as_role(role, "acme")
    for relation in relations:
        assert tenants_seen(connection, relation) <= {"acme"}, relation


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("owner", "seen"),
    [
        ("ghl_snapshots_owner", {"acme"}),
        # Row security does not bind a superuser. Hence the owner role for every migration.
        ("postgres", {"acme", "zenith"}),
    ],
)
def test_a_view_without_the_readers_rights_shows_what_its_owner_sees(
    as_role: Connect, superuser: Connection, owner: str, seen: set[str]
) -> None:
    superuser.execute("CREATE VIEW plain AS SELECT * FROM ghl.snapshot")
    try:
        superuser.execute(sql.SQL("ALTER VIEW plain OWNER TO {}").format(sql.Identifier(owner)))
        superuser.execute("GRANT SELECT ON plain TO ghl_snapshots_reader")
        assert tenants_seen(as_role("reader", "acme"), "plain") == seen
        assert "view plain is not of this release: permanent" in drift(superuser)
    finally:
        superuser.execute("DROP VIEW plain")


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("view", VIEWS)
def test_our_views_show_no_more_with_any_owner(as_role: Connect, superuser: Connection, view: str) -> None:
    alter = sql.SQL("ALTER VIEW {} OWNER TO {}")
    superuser.execute(alter.format(sql.Identifier(view), sql.Identifier("postgres")))
    try:
        assert tenants_seen(as_role("reader", "acme"), view) == {"acme"}
    finally:
        superuser.execute(alter.format(sql.Identifier(view), sql.Identifier("ghl_snapshots_owner")))


PARTS = {
    "relation": st.sampled_from([*TABLES, *VIEWS]),
    "condition": st.sampled_from(
        [
            "true",
            "tenant_id <> 'acme'",
            "tenant_id = 'zenith' OR true",
            "tenant_id IN (SELECT tenant_id FROM ghl.tenant)",
            "EXISTS (SELECT FROM ghl.snapshot AS other WHERE other.tenant_id > 'a')",
            "current_setting('app.tenant_id', true) IS NOT NULL",
        ]
    ),
    "shape": st.sampled_from(
        [
            "SELECT tenant_id FROM {relation} WHERE {condition}",
            "SELECT max(tenant_id) FROM {relation} WHERE {condition} HAVING count(*) > 0",
            "SELECT a.tenant_id FROM {relation} AS a JOIN {other} AS b ON a.tenant_id <> b.tenant_id",
            "SELECT b.tenant_id FROM {relation} AS a RIGHT JOIN {other} AS b USING (tenant_id)",
            "SELECT tenant_id FROM {relation} UNION SELECT tenant_id FROM {other} WHERE {condition}",
            (
                "WITH RECURSIVE r AS (SELECT tenant_id FROM {relation} UNION SELECT o.tenant_id "
                "FROM {other} AS o, r) SELECT * FROM r"
            ),
            "SELECT s.tenant_id FROM {relation} AS s, LATERAL (SELECT FROM {other} WHERE {condition}) AS l",
            "SELECT tenant_id FROM (TABLE {relation}) AS t WHERE {condition} OFFSET 0",
            "SELECT first_value(tenant_id) OVER (ORDER BY tenant_id DESC) FROM {relation} WHERE {condition}",
        ]
    ),
}


@pytest.fixture(scope="module")
def shared(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    """A database for all examples, with snapshots of three tenants."""
    with copy_of(postgres, template) as url, Database(url) as database:
        TenantRegistry(database).add(tenant("middle"))
        for tenant_id in ("acme", "middle", "zenith"):
            for snapshot_type in SnapshotType:
                Ledger(database).append(capture(tenant_id, snapshot_type=snapshot_type))
        yield url


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    role=st.sampled_from(["writer", "reader"]),
    tenant_id=st.sampled_from(["acme", "middle", "zenith", "nobody"]),
    other=PARTS["relation"],
    **{name: PARTS[name] for name in ("relation", "condition", "shape")},
)
def test_no_query_returns_a_row_of_another_tenant(
    shared: str, role: str, tenant_id: str, relation: str, condition: str, shape: str, other: str
) -> None:
    options = f"-c role=ghl_snapshots_{role} -c app.tenant_id={tenant_id} -c search_path=ghl"
    statement = shape.format(relation=relation, other=other, condition=condition)
    with psycopg.connect(shared, options=options) as connection:
        seen = {row[0] for row in connection.execute(statement)}
    assert seen <= {tenant_id}, statement


MOVED = (
    "UPDATE tenant SET tenant_id = set_config('app.tenant_id', 'zenith', true)",
    "UPDATE tenant SET tenant_id = set_config('app.tenant_id', 'renamed', true)",
    "UPDATE oauth_token SET tenant_id = set_config('app.tenant_id', 'zenith', true)",
    "UPDATE location_token SET tenant_id = set_config('app.tenant_id', 'zenith', true)",
    "UPDATE snapshot_request SET tenant_id = set_config('app.tenant_id', 'zenith', true)",
)


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("statement", MOVED)
def test_a_row_stays_its_tenants_though_a_statement_names_another(as_role: Connect, statement: str) -> None:
    """Row security checks the row as it was for the one tenant, and the row as it is to be for the other."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
        as_role("writer", "acme").execute(statement)


def test_no_role_may_change_what_row_security_goes_by(superuser: Connection) -> None:
    changeable = superuser.execute(
        """
        SELECT relation.relname, role.rolname FROM pg_attribute
        JOIN pg_class AS relation ON relation.oid = attrelid AND relnamespace = 'ghl'::regnamespace
        CROSS JOIN pg_roles AS role
        WHERE attname IN ('tenant_id', 'resource_id', 'key_id') AND relkind = 'r'
            AND role.rolname IN ('ghl_snapshots_writer', 'ghl_snapshots_reader', 'ghl_snapshots_auditor')
            AND has_column_privilege(role.oid, attrelid, attnum, 'UPDATE')
        """
    )
    assert changeable.fetchall() == []
