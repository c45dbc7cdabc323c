"""Databases for tests that must not see each other's rows: copies of one that was migrated once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol
from uuid import uuid4

import psycopg
from psycopg import sql

from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots_tests.ledger.captures import tenant


class Server(Protocol):
    """A PostgreSQL server in which a test may make databases."""

    def url(self, database: str) -> str:
        """The superuser's URL of a database."""


def ledger_template(postgres: Server, *, tenant_ids: Sequence[str]) -> str:
    """Make a migrated database with these tenants; its name."""
    name = f"ledger_template_{uuid4().hex}"
    migrate(postgres.url(name))
    with Database(postgres.url(name)) as database:
        TenantRegistry(database).import_all([tenant(tenant_id) for tenant_id in tenant_ids])
    return name


@contextmanager
def copy_of(postgres: Server, template: str, name: str | None = None) -> Iterator[str]:
    """Superuser's URL of a copy that is there until the context ends."""
    name = name or f"ledger_{uuid4().hex}"
    database, source = sql.Identifier(name), sql.Identifier(template)
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(database, source))
        # A copy has everything of the template but the settings of the database itself.
        connection.execute(sql.SQL("ALTER DATABASE {} SET search_path = ghl, public").format(database))
        yield postgres.url(name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))
