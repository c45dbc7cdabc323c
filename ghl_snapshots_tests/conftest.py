"""The parts that every test may stand on: a real PostgreSQL for the whole session, and a simulated GHL."""

from collections.abc import Iterator

import psycopg
import pytest

from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.accounts import Agency
from ghl_snapshots.simulator.generation import demo_accounts
from ghl_snapshots.simulator.server import Simulator


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """An embedded server; durability is off because no test of the session's server cuts its power."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("home")) as server:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield server


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """The demo's accounts, without a limit that tests would have to wait for."""
    with Simulator(demo_accounts(seed=1), burst_limit=10**9) as simulator:
        yield simulator


@pytest.fixture
def agency(simulator: Simulator) -> Agency:
    """The simulated GHL's one agency."""
    return next(iter(simulator.accounts.agencies.values()))
