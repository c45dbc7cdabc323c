"""The parts that every test may stand on: a real PostgreSQL, one server for the whole session."""

from collections.abc import Iterator

import psycopg
import pytest

from ghl_snapshots.local.postgres import EmbeddedPostgres


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """An embedded server; durability is off because no test of the session's server cuts its power."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("home")) as server:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield server
