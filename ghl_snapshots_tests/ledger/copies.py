"""Copies of a migrated database, for tests that must not see each other's rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
from psycopg import sql

from ghl_snapshots.local.postgres import EmbeddedPostgres


@contextmanager
def copy_of(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    """Superuser's URL of a copy that is there until the context ends."""
    name = f"ledger_{uuid4().hex}"
    database, source = sql.Identifier(name), sql.Identifier(template)
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(database, source))
        # A copy has everything of the template but the settings of the database itself.
        connection.execute(sql.SQL("ALTER DATABASE {} SET search_path = ghl, public").format(database))
        yield postgres.url(name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))
