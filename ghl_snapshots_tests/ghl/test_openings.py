"""Locations are opened ahead of the calls to them, and one that takes long to open holds up no other."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from ghl_snapshots.ghl.endpoints import endpoints_of
from ghl_snapshots.ghl.openings import Openings
from ghl_snapshots.ghl.transport import Timeouts
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.model import SnapshotType, Status
from ghl_snapshots.simulator.accounts import Accounts
from ghl_snapshots.simulator.faults import Effect, Fault, Wire
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.ghl.rig import installed, rigged, tenant_of, token_database

LOCATION_CALLS = endpoints_of(SnapshotType.LOCATIONS)


@pytest.fixture
def accounts() -> Accounts:
    return generated_accounts(2, tenants=1, locations_per_agency=4)


@pytest.fixture
def openings() -> Iterator[Openings]:
    openings = Openings(2)
    yield openings
    openings.close()


@dataclass(frozen=True, slots=True)
class Held(Effect):
    """An answer that is held back until something has happened, or for `turns` hundredths of a second."""

    until: Callable[[], bool]
    turns: int = 1000

    def deliver(self, wire: Wire, head: bytes, body: bytes) -> None:
        """Answer at last."""
        for _ in range(self.turns):
            if self.until():
                break
            wire.pause(0.01)
        wire.send(head + body)


def test_a_location_that_takes_long_to_open_holds_up_no_call_to_another(
    accounts: Accounts, postgres: EmbeddedPostgres
) -> None:
    """As its calls would if each took up a thread to wait for the token."""
    agency = next(iter(accounts.agencies.values()))
    slow, *others = agency.location_ids
    with (
        Simulator(accounts, burst_limit=10**9) as simulator,
        token_database(postgres) as database,
        rigged(
            simulator,
            store=installed(database, agency, tenant_id="agency"),
            timeouts=Timeouts(read_seconds=30),
            capture_timeout_seconds=60,
            concurrency=4,
        ) as rig,
    ):

        def asked() -> list[str]:
            named = (request.resource_id for request in simulator.request_log)
            return [location_id for location_id in named if location_id in agency.location_ids]

        wanted = len(others) * len(LOCATION_CALLS)
        held = Held(until=lambda: len(asked()) >= wanted)
        simulator.inject(Fault(effect=held, location_id=slow, route="/oauth/locationToken"))
        tenant = tenant_of(agency, credential="oauth", tenant_id="agency")
        capture = rig.capture(tenant, SnapshotType.LOCATIONS)
        before, after = asked()[:wanted], asked()[wanted:]
    assert capture.status is Status.SUCCESS
    assert set(before) == set(others)
    assert after == [slow] * len(LOCATION_CALLS)


def test_captures_that_open_the_same_location_at_once_share_it(openings: Openings) -> None:
    answered = threading.Event()
    asked: list[str] = []

    def ask() -> None:
        asked.append("acme")
        answered.wait(10)

    first, begun = openings.begin(("acme", "location-1"), ask)
    second, begun_again = openings.begin(("acme", "location-1"), ask)
    assert (begun, begun_again) == (True, False)
    assert second is first
    answered.set()
    first.result(10)
    assert asked == ["acme"]


def test_a_location_of_two_tenants_is_opened_for_each(openings: Openings) -> None:
    """A token that GHL gives to one is not the other's."""
    answered = threading.Event()

    def hold() -> None:
        answered.wait(10)

    futures = [openings.begin((tenant, "location-1"), hold) for tenant in "ab"]
    assert [begun for _, begun in futures] == [True, True]
    answered.set()


def test_what_is_over_is_begun_anew(openings: Openings) -> None:
    for _ in range(2):
        future, begun = openings.begin(("acme", "location-1"), lambda: None)
        future.result(10)
        assert begun
