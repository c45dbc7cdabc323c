"""Location tokens that are kept in the database save asking GHL, and cost no capture where it is away."""

import socket
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from ghl_snapshots.core.errors import ErrorKind
from ghl_snapshots.core.model import Status
from ghl_snapshots.core.tokens import AccessToken, RefusedLocation
from ghl_snapshots.ghl.location_tokens import LocationTokens
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.accounts import Agency
from ghl_snapshots.simulator.faults import Fault, Hang
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.ghl.rig import KEY, installed, now, rigged, tenant_of, token_database

EXCHANGE = "/oauth/locationToken"
LOCATIONS = 12


class CountedTokens(OAuthTokens):
    """The token store, which counts how often it is read for locations' tokens."""

    reads = 0

    def location_tokens(
        self, tenant_id: str, *, known: Collection[str] = ()
    ) -> dict[str, AccessToken | RefusedLocation]:
        """Count, and read."""
        self.reads += 1
        return super().location_tokens(tenant_id, known=known)


class Away:
    """A database's address where somebody takes ten seconds by the clock to hang up."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.seconds = 0.0
        self.connections = 0

    @property
    def url(self) -> str:
        """The database's URL."""
        port = self._listener.getsockname()[1]
        return f"postgresql://nobody@127.0.0.1:{port}/nothing?sslmode=disable&gssencmode=disable"

    def serve(self) -> None:
        """Hang up on everybody until the address is gone."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self.seconds += 10
            connection.close()


@contextmanager
def away() -> Iterator[Away]:
    """Somebody at an address for as long as the block lasts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Away(listener)
        thread = threading.Thread(target=server.serve)
        thread.start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    accounts = generated_accounts(4, tenants=1, locations_per_agency=LOCATIONS, sizes={"workflows": 1})
    with Simulator(accounts, burst_limit=10**9) as simulator:
        yield simulator


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[Database]:
    with token_database(postgres) as database:
        yield database


def test_a_database_that_is_away_is_waited_for_by_one_location_and_not_by_each() -> None:
    with away() as server, Database(server.url) as database:
        tokens = LocationTokens(OAuthTokens(database, KEY), clock=now, monotonic=lambda: server.seconds)
        assert [tokens.get("acme", f"location{number}") for number in range(5)] == [None] * 5
        assert server.connections == 1
        server.seconds += 30
        assert tokens.get("acme", "location0") is None
        assert server.connections == 2


def test_location_tokens_that_cannot_be_read_hold_a_capture_up_once(
    simulator: Simulator, agency: Agency, database: Database
) -> None:
    installed(database, agency, tenant_id="acme")
    with (
        psycopg.connect(database.url) as blocker,
        Database(database.url, lock_seconds=1.1) as hurried,
        rigged(simulator, store=(store := CountedTokens(hurried, KEY))) as rig,
    ):
        blocker.execute("LOCK TABLE ghl.location_token")
        capture = rig.capture(tenant_of(agency, credential="oauth"))
    assert (capture.status, len(capture.entities)) == (Status.SUCCESS, LOCATIONS)
    assert store.reads == 1


def test_nothing_is_read_of_the_database_for_locations_whose_captures_time_is_over(
    simulator: Simulator, agency: Agency, database: Database
) -> None:
    installed(database, agency, tenant_id="acme")
    store = CountedTokens(database, KEY)
    simulator.inject(Fault(effect=Hang(seconds=60), route=EXCHANGE))
    with rigged(
        simulator, store=store, read_timeout_seconds=60, capture_timeout_seconds=2.5, concurrency=1
    ) as rig:
        capture = rig.capture(tenant_of(agency, credential="oauth"))
    assert {error.kind for error in capture.errors} == {ErrorKind.TIMEOUT}
    assert {error.location_id for error in capture.errors} == set(agency.location_ids)
    assert store.reads == 1
