"""The numbered migrations that this release has, and whether a database is one of theirs."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import psycopg

from ghl_snapshots.core.errors import LedgerError, SchemaError
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.queries import query, sql_folder, sql_text
from ghl_snapshots.ledger.session_settings import connection_parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step of the schema; once it was released its text never changes."""

    version: int
    """Counted from 1 without a gap."""
    name: str
    text: str = field(repr=False)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the text, 32 bytes."""
        return hashlib.sha256(self.text.encode()).digest()


@cache
def released_migrations() -> Sequence[Migration]:
    """The migrations of this release, in order."""
    files = sorted(sql_folder().joinpath("migrations").iterdir(), key=lambda file: file.name)
    names = [file.name.removesuffix(".sql") for file in files]
    return tuple(
        Migration(version=_version(name), name=name, text=sql_text(f"migrations/{name}.sql"))
        for name in names
    )


def describe_applied(names: Sequence[str]) -> str:
    """In a line, what these migrations did, of which there is one at least: the versions before and after."""
    before, after = _version(names[0]) - 1, _version(names[-1])
    start = before or "0 (empty)"
    return f"Migrated the database from version {start} to {after}: {', '.join(names)}."


def _version(name: str) -> int:
    return int(name.split("_", maxsplit=1)[0])


def pending_migrations(applied: Mapping[int, bytes], migrations: Sequence[Migration]) -> Sequence[Migration]:
    """What a database lacks, to which migrations of these digests were applied.

    Raises:
        SchemaError: the database is newer, or was made by a state that was never released; says what to do.
    """
    if any(applied.get(migration.version, migration.digest) != migration.digest for migration in migrations):
        raise never_released()
    newest, last = max(applied, default=0), migrations[-1].version
    if newest > last:
        raise SchemaError(
            f"The database's schema is at {newest}, newer than this release's {last}: use a newer release."
        )
    return [migration for migration in migrations if migration.version > newest]


def check_schema(database: Database, *, only_to_read: bool = False) -> None:
    """Make sure that the database has the schema that this release works with, and takes writes if it has to.

    Raises:
        SchemaError: it is missing, older, newer or of a state that was never released; says what to do.
        LedgerError: the server does not answer, or takes no writes.
    """
    applied = _applied_seen_by_auditor(database)
    if pending_migrations(applied, released_migrations()):
        at = f"at version {max(applied)}" if applied else "missing"
        parameters = connection_parameters(database.url)
        raise SchemaError(
            f"The schema of database {parameters.get('dbname')} on {parameters.get('host')} is {at} and this "
            f"release needs version {released_migrations()[-1].version}: run `ghl-snapshots migrate`."
        )
    if not only_to_read:
        with database.shared_writer():
            pass


def _applied_seen_by_auditor(database: Database) -> Mapping[int, bytes]:
    """Digests of the migrations that the database has, by version."""
    try:
        with database.auditor() as connection:
            rows = connection.execute(query("applied_migrations")).fetchall()
    except psycopg.errors.UndefinedColumn:
        raise never_released() from None
    except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
        return {}
    except LedgerError as error:
        # The server says so of the database or of the role, in words only: a refused login has no code.
        if "does not exist" in str(error):
            return {}
        raise
    return {row["version"]: row["digest"] for row in rows}


def never_released() -> SchemaError:
    """The error of a database that was made before the first release."""
    return SchemaError(
        "The database was made by a version of the product that was never released, and there is no way from "
        "it to this one. Export what you need with that version (or with pg_dump), remove the home folder or "
        "the database, and run `ghl-snapshots migrate` to begin anew."
    )
