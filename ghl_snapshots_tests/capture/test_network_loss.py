"""GHL goes away in the middle of a large capture: what was captured is stored, what is missing is named."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from uuid import uuid4

import pytest

from ghl_snapshots.capture.composition import capture_engine
from ghl_snapshots.core.errors import ErrorKind
from ghl_snapshots.core.model import SnapshotType, Source, Status
from ghl_snapshots.core.settings import Settings
from ghl_snapshots.core.tokens import AccessToken, StoredTokens
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.accounts import Accounts, Agency
from ghl_snapshots.simulator.faults import Effect, Fault, Wire
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots.simulator.tokens import Tokens
from ghl_snapshots_tests.ghl.rig import KEY, installed, now, tenant_of

pytestmark = pytest.mark.slow

LOCATIONS = 50
TIMEOUT_SECONDS = 4.0


def accounts() -> Accounts:
    """One agency of fifty locations, the same in every process."""
    return generated_accounts(1, tenants=1, locations_per_agency=LOCATIONS)


@dataclass(frozen=True, slots=True)
class SignalServer(Effect):
    """The process that serves gets a signal while it answers."""

    number: signal.Signals

    def deliver(self, wire: Wire, head: bytes, body: bytes) -> None:
        """Answer no more."""
        os.kill(os.getpid(), self.number)
        wire.pause(60)


def serve(channel: Connection, number: signal.Signals) -> None:
    """Serve until, after a third of the workflows, the signal comes."""
    with Simulator(accounts(), latency_seconds=0.02, burst_limit=10**9) as simulator:
        simulator.inject(Fault(effect=SignalServer(number), route="/workflows/", after=LOCATIONS // 3))
        channel.send(simulator.base_url)
        channel.recv()


@pytest.fixture
def ghl() -> Iterator[Callable[[signal.Signals], str]]:
    """A function that starts a GHL which the signal will take away, and gives its URL."""
    started: list[tuple[BaseProcess, Connection]] = []

    def start(number: signal.Signals) -> str:
        spawn = multiprocessing.get_context("spawn")
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=serve, args=(theirs, number))
        process.start()
        started.append((process, ours))
        base_url: str = ours.recv()
        return base_url

    yield start
    for process, channel in started:
        process.kill()
        process.join()
        channel.close()


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[Database]:
    url = postgres.url(f"network_{uuid4().hex}")
    migrate(url)
    with Database(url) as database:
        yield database


def fresh_tokens(agency: Agency) -> StoredTokens:
    """What a refresh would have given a moment ago."""
    return StoredTokens(
        refresh_token=agency.refresh_token,
        access=AccessToken(
            value=Tokens(accounts()).issue_access_token(agency.company_id),
            expires_at=now() + timedelta(hours=12),
        ),
    )


@pytest.mark.parametrize(
    ("number", "kind"),
    [(signal.SIGKILL, ErrorKind.CONNECTION), (signal.SIGSTOP, ErrorKind.TIMEOUT)],
    ids=["connections are refused", "nothing answers"],
)
def test_what_was_captured_is_stored_and_the_missing_locations_are_named(
    ghl: Callable[[signal.Signals], str], database: Database, number: signal.Signals, kind: ErrorKind
) -> None:
    agency = next(iter(accounts().agencies.values()))
    store = installed(database, agency, tenant_id="agency")
    with store.locked("agency") as locked:
        # So that the capture's time is spent on what is lost, and none on a refresh.
        locked.store(fresh_tokens(agency))
    settings = Settings.model_validate(
        {
            "ghl_base_url": ghl(number),
            "oauth_client_id": accounts().client_id,
            "oauth_client_secret": accounts().client_secret,
            "encryption_keys": KEY,
            "capture_timeout_seconds": TIMEOUT_SECONDS,
            "retry_wait_seconds": 0.1,
        }
    )
    tenant = tenant_of(agency, credential="oauth", tenant_id="agency")
    with capture_engine(settings, database) as engine:
        capture = engine.capture(
            tenant, SnapshotType.WORKFLOWS, source=Source.SCHEDULED, correlation_id="scheduled_hourly_1"
        )
    snapshot = Ledger(database).append(capture).snapshot
    errors = snapshot.metadata["errors"]
    captured = {request["locationId"] for request in snapshot.metadata["requests"]} - {None}
    assert snapshot.status is Status.PARTIAL_FAILURE
    assert snapshot.metadata["hasMore"]
    assert snapshot.record_count > 0
    assert {error["locationId"] for error in errors} == set(agency.location_ids) - captured
    assert 0 < len(captured) < LOCATIONS
    assert kind in {error["kind"] for error in errors}
    # The capture's own time ends it; the rest is for a machine that is busy with other things.
    assert capture.duration_ms < (TIMEOUT_SECONDS + 5) * 1000
