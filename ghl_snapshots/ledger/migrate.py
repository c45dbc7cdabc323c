"""Bringing a database's schema up to this release: numbered migrations, forward only."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import make_conninfo
from uuid_utils import uuid7

from ghl_snapshots.core.audit_events import AuditEvent, EventType
from ghl_snapshots.core.errors import LedgerError, SchemaError
from ghl_snapshots.core.model import Source
from ghl_snapshots.ledger.audit import record
from ghl_snapshots.ledger.database import (
    AUDITOR,
    LOCK_SECONDS,
    OWNER,
    READER,
    WRITER,
    limit_lock_wait,
)
from ghl_snapshots.ledger.failures import describe_failure
from ghl_snapshots.ledger.migrations import (
    Migration,
    never_released,
    pending_migrations,
    released_migrations,
)
from ghl_snapshots.ledger.queries import query, sql_text
from ghl_snapshots.ledger.session_settings import (
    PINNED,
    connection_parameters,
    connection_string,
    prepare_session,
)

_LOCK = 4710
_OLDEST_SERVER = 160000
_SESSION = {**PINNED, "default_transaction_read_only": "off"}
_WIDE_ROLES = """
SELECT rolname, concat_ws(', ',
    CASE WHEN rolcanlogin THEN 'LOGIN' END, CASE WHEN rolsuper THEN 'SUPERUSER' END,
    CASE WHEN rolbypassrls THEN 'BYPASSRLS' END, CASE WHEN rolcreaterole THEN 'CREATEROLE' END,
    CASE WHEN rolcreatedb THEN 'CREATEDB' END, CASE WHEN rolreplication THEN 'REPLICATION' END)
FROM pg_roles
WHERE rolname = ANY(%s)
    AND (rolcanlogin OR rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication)
ORDER BY rolname
"""


def migrate(
    url: str, migrations: Sequence[Migration] | None = None, *, lock_seconds: float = LOCK_SECONDS
) -> list[str]:
    """Create the database if it is missing and apply what it lacks; names of the migrations applied.

    Without `migrations` they are those of this release.

    Safe to repeat and safe under two at once: the second waits and finds nothing to do.

    Raises:
        SchemaError: the database is newer than this release or of a state that was never released, or the
            server is older than PostgreSQL 16.
        LedgerError: the server does not answer or refuses; says why.
        ConfigurationError: the URL cannot be understood.
    """
    create_database(url)
    try:
        with psycopg.connect(connection_string(url, _SESSION)) as connection:
            prepare_session(connection, _SESSION)
            limit_lock_wait(connection, lock_seconds)
            return _migrated(connection, migrations or released_migrations())
    except psycopg.errors.LockNotAvailable as error:
        raise LedgerError(
            f"The database could not be migrated: another session locked what it waited {lock_seconds:g} s "
            f"for ({error.diag.context or 'the lock of migrations'}). Let another migration end; stop the "
            "daemon, the webserver and the API; end what else pg_stat_activity shows of this database."
        ) from error
    except psycopg.Error as error:
        raise LedgerError(f"The database could not be migrated: {str(error).strip()}") from error


def create_database(url: str) -> None:
    """Create the database that the URL names unless it exists; the login must be allowed to if it does not.

    Raises:
        LedgerError: the server does not answer or refuses; says why.
        ConfigurationError: the URL cannot be understood.
    """
    name = connection_parameters(url).get("dbname")
    try:
        _connect_or_create(url, name)
    except psycopg.Error as error:
        raise LedgerError(
            f"The database {name!r} cannot be reached or made: {describe_failure(error)}"
        ) from error


def _connect_or_create(url: str, name: str | None) -> None:
    try:
        psycopg.connect(connection_string(url)).close()
    except psycopg.OperationalError as error:
        if not name or isinstance(error, psycopg.errors.ConnectionTimeout):
            raise
        _create_if_missing(url, name)
        # It may have been there, and refuse us for another reason, which this says.
        psycopg.connect(connection_string(url)).close()


def _create_if_missing(url: str, name: str) -> None:
    maintenance = connection_string(make_conninfo(url, dbname="postgres"))
    with psycopg.connect(maintenance, autocommit=True) as connection:
        if connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).rowcount:
            return
        # Either is the answer when another process makes it at this moment.
        with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def _migrated(connection: Connection, migrations: Sequence[Migration]) -> list[str]:
    if connection.info.server_version < _OLDEST_SERVER:
        raise SchemaError("PostgreSQL 16 or newer is needed.")
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    applied = _applied(connection)
    pending = pending_migrations(applied, migrations)
    if pending or not _finds_the_schema(connection):
        _make_roles(connection)
        connection.execute("SET LOCAL ROLE ghl_snapshots_owner")
    for migration in pending:
        connection.execute(migration.text)
        named = {"version": migration.version, "digest": migration.digest}
        connection.execute(query("add_applied_migration"), named)
    names = [migration.name for migration in pending]
    if pending:
        connection.execute("SET LOCAL ROLE ghl_snapshots_writer")
        record(connection, _event(max(applied, default=0), names))
    return names


def _make_roles(connection: Connection) -> None:
    try:
        connection.execute(sql_text("roles.sql"))
    except psycopg.errors.InsufficientPrivilege as error:
        raise LedgerError(
            f"The login {connection.info.user!r} may not set up the database: {error.diag.message_primary}. "
            "Migrate with a superuser or a login with CREATEROLE, or let an administrator prepare roles and "
            "databases as docs/operations.md says."
        ) from error
    _refuse_wide_roles(connection)


def _refuse_wide_roles(connection: Connection) -> None:
    """Make sure that no group role, also one that somebody else made, bypasses what protects the ledger.

    Raises:
        SchemaError: naming each that does, why, and what to do.
    """
    wide = connection.execute(_WIDE_ROLES, [[OWNER, WRITER, READER, AUDITOR]]).fetchall()
    if wide:
        described = ", ".join(f"{name} ({attributes})" for name, attributes in wide)
        raise SchemaError(
            "The server has roles of our names with rights that would void the ledger's protection: "
            f"{described}. They must be NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB "
            "NOREPLICATION: change them by ALTER ROLE, or use another server if they are not ours."
        )


def _event(version_before: int, applied: list[str]) -> AuditEvent:
    return AuditEvent(
        event_type=EventType.MIGRATED,
        correlation_id=f"migration_{uuid7()}",
        success=True,
        source=Source.MANUAL,
        details={"fromVersion": version_before, "applied": applied},
    )


def _finds_the_schema(connection: Connection) -> bool:
    """Whether the database's search path is set, which a dump of the database does not carry over."""
    row = connection.execute("SELECT 'ghl' = ANY(current_schemas(false))").fetchone()
    return bool(row and row[0])


def _applied(connection: Connection) -> Mapping[int, bytes]:
    """Digests of the migrations that the database has, by version."""
    exists = connection.execute("SELECT to_regclass('ghl.schema_version') IS NOT NULL").fetchone()
    if not exists or not exists[0]:
        return {}
    try:
        return dict(connection.execute(query("applied_migrations")).fetchall())
    except psycopg.errors.UndefinedColumn:
        raise never_released() from None
