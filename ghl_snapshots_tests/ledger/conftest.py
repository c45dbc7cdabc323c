"""A database of its own for each test, copied from one that was migrated once."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from uuid import uuid4

import psycopg
import pytest
from psycopg import Connection

from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots_tests.ledger.captures import tenant
from ghl_snapshots_tests.ledger.copies import copy_of

TENANTS = ("acme", "zenith")


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres) -> str:
    """Name of a migrated database with the tenants in it that the tests use."""
    name = f"ledger_template_{uuid4().hex}"
    migrate(postgres.url(name))
    with Database(postgres.url(name)) as database:
        TenantRegistry(database).import_all([tenant(tenant_id) for tenant_id in TENANTS])
    return name


@pytest.fixture
def url(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    """Superuser's URL of a fresh ledger that holds two tenants and no snapshot."""
    with copy_of(postgres, template) as url:
        yield url


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with Database(url) as database:
        yield database


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


@pytest.fixture
def superuser(url: str) -> Iterator[Connection]:
    """A connection that row security does not bind, each statement committed at once."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def as_role(url: str) -> Iterator[Callable[..., Connection]]:
    """A function that connects with a role's rights (`owner`, `writer`, ...), for a tenant or for none."""
    with ExitStack() as stack:

        def connect(role: str, tenant_id: str | None = None) -> Connection:
            options = f"-c role=ghl_snapshots_{role}"
            if tenant_id is not None:
                options += f" -c app.tenant_id={tenant_id}"
            connection = psycopg.connect(url, options=options, autocommit=True)
            return stack.enter_context(connection)

        yield connect
