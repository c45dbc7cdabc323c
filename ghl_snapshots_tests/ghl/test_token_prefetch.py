"""Tokens of locations are fetched ahead of the calls, and one that takes long to come holds up no other."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from ghl_snapshots.core.model import SnapshotType, Status, Tenant
from ghl_snapshots.ghl.endpoints import endpoints_of
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.accounts import Accounts
from ghl_snapshots.simulator.faults import Effect, Fault, Wire
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.ghl.rig import installed, rigged, tenant_of, token_database

LOCATION_CALLS = endpoints_of(SnapshotType.PIPELINES)


@pytest.fixture
def accounts() -> Accounts:
    return generated_accounts(2, tenants=1, locations_per_agency=4)


@dataclass(frozen=True, slots=True)
class Held(Effect):
    """An answer that is held back until something has happened, or for `turns` hundredths of a second."""

    until: Callable[[], bool]
    turns: int = 1000
    begun: threading.Event = field(default_factory=threading.Event)

    def deliver(self, wire: Wire, head: bytes, body: bytes) -> None:
        """Answer at last."""
        self.begun.set()
        for _ in range(self.turns):
            if self.until():
                break
            wire.pause(0.01)
        wire.send(head + body)


def test_a_location_whose_token_takes_long_holds_up_no_call_to_another(
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
            read_timeout_seconds=30,
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
        capture = rig.capture(tenant, SnapshotType.PIPELINES)
        before, after = asked()[:wanted], asked()[wanted:]
    assert capture.status is Status.SUCCESS
    assert set(before) == set(others)
    assert after == [slow] * len(LOCATION_CALLS)


def test_an_agency_whose_tokens_take_long_holds_up_no_other_agency(postgres: EmbeddedPostgres) -> None:
    """As it would if its locations took up all threads that wait for tokens, as after a long Retry-After."""
    accounts = generated_accounts(2, tenants=2, locations_per_agency=4)
    slow, other = accounts.agencies.values()
    with (
        Simulator(accounts, burst_limit=10**9) as simulator,
        token_database(postgres) as database,
    ):
        store = None
        for agency in (slow, other):
            store = installed(database, agency, tenant_id=agency.company_id)
        with rigged(
            simulator,
            store=store,
            read_timeout_seconds=30,
            capture_timeout_seconds=60,
            concurrency=4,
        ) as rig:

            def asked() -> list[str]:
                named = (request.resource_id for request in simulator.request_log)
                return [location_id for location_id in named if location_id in accounts.locations]

            wanted = len(other.location_ids) * len(LOCATION_CALLS)
            held = Held(until=lambda: len(asked()) >= wanted)
            for location_id in slow.location_ids:
                simulator.inject(Fault(effect=held, location_id=location_id, route="/oauth/locationToken"))

            def tenants() -> Iterator[Tenant]:
                yield tenant_of(slow, credential="oauth", tenant_id=slow.company_id)
                assert held.begun.wait(10)
                yield tenant_of(other, credential="oauth", tenant_id=other.company_id)

            captures = list(rig.capture_all(tenants(), SnapshotType.PIPELINES))
    assert [capture.status for capture in captures] == [Status.SUCCESS] * 2
    assert set(asked()[:wanted]) == set(other.location_ids)


def test_captures_of_the_same_locations_ask_once_for_each_token(
    accounts: Accounts, postgres: EmbeddedPostgres
) -> None:
    agency = next(iter(accounts.agencies.values()))
    with (
        Simulator(accounts, burst_limit=10**9) as simulator,
        token_database(postgres) as database,
        rigged(simulator, store=installed(database, agency, tenant_id="agency")) as rig,
    ):
        tenant = tenant_of(agency, credential="oauth", tenant_id="agency")
        with ThreadPoolExecutor(len(SnapshotType)) as pool:
            captures = list(pool.map(lambda each: rig.capture(tenant, each), SnapshotType))
        counts = simulator.request_counts()
    assert {capture.status for capture in captures} == {Status.SUCCESS}
    asked = [count for (_, route, _), count in counts.items() if route == "/oauth/locationToken"]
    assert sum(asked) == len(agency.location_ids)
