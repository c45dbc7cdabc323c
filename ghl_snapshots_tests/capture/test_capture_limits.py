"""Captures keep to GHL's limits, leave the customer his part, and take up many tenants at a steady cost."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from ghl_snapshots.core.errors import ErrorKind
from ghl_snapshots.core.model import SnapshotType, Status, Tenant
from ghl_snapshots.ghl.account_fetch import AccountFetch
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.deadline import Deadline
from ghl_snapshots.ghl.limits import RateLimiter
from ghl_snapshots.ledger.daily_quotas import DailyQuotas
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.accounts import Location
from ghl_snapshots.simulator.faults import EndlessPages, Fault, Hang, Meanwhile, StuckPage
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.limits import SECONDS_A_DAY
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.ghl.rig import Rig, installed, rigged, tenant_of, token_database

SMALL = {"workflows": 1, "rooms": 1, "equipments": 1, "conversation_ai_agents": 1}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(generated_accounts(3, tenants=12, sizes=SMALL)) as simulator:
        yield simulator


@pytest.fixture
def locations(simulator: Simulator) -> list[Location]:
    return list(simulator.accounts.single_locations)


@pytest.fixture
def rig(simulator: Simulator) -> Iterator[Rig]:
    with rigged(simulator) as rig:
        yield rig


def test_a_location_at_its_daily_reserve_is_left_in_peace_and_says_so(
    rig: Rig, simulator: Simulator, locations: list[Location]
) -> None:
    """The first answer says that only half of the day's quota is left; nothing is sent after that."""
    spent, other = (rig.pit(location) for location in locations[:2])
    simulator.limits.daily_limit = 1000
    rig.capture(spent)
    simulator.limits.spend_daily(spent.ghl_account_id, 499)
    simulator.clear_request_log()
    rig.capture(spent)
    assert len(simulator.request_log) == 1
    capture = rig.capture(spent, SnapshotType.CALENDARS)
    assert capture.status is Status.FAILED
    assert {error.kind for error in capture.errors} == {ErrorKind.DAILY_LIMIT}
    assert {error.attempts for error in capture.errors} == {0}
    assert "50% of the day's quota is kept for the customer's own integrations" in capture.errors[0].message
    assert len(simulator.request_log) == 1
    assert rig.capture(other).status is Status.SUCCESS


@pytest.mark.parametrize("spent", [500, 1000])
def test_a_new_process_sends_nothing_to_a_location_at_its_daily_reserve(
    simulator: Simulator, locations: list[Location], postgres: EmbeddedPostgres, spent: int
) -> None:
    """What GHL said to one process holds for those that begin later; else each would send one a thread."""
    place = locations[0]
    simulator.limits.daily_limit = 1000
    simulator.limits.take(place.location_id)
    simulator.limits.spend_daily(place.location_id, spent - 2)
    asked: list[int] = []
    with token_database(postgres) as database:
        for _ in range(3):
            simulator.clear_request_log()
            with rigged(simulator, limiter=RateLimiter(quotas=DailyQuotas(database)), concurrency=1) as rig:
                capture = rig.capture(rig.pit(place), SnapshotType.CALENDARS)
            assert {error.kind for error in capture.errors} == {ErrorKind.DAILY_LIMIT}
            asked.append(len(simulator.request_log))
    assert asked == [asked[0], 0, 0]
    assert asked[0] > 0


def test_an_answer_that_crosses_midnight_leaves_the_new_day_alone(
    simulator: Simulator, locations: list[Location]
) -> None:
    days = [datetime(2026, 3, 3, tzinfo=UTC).date()]

    def midnight() -> None:
        days[0] = datetime(2026, 3, 4, tzinfo=UTC).date()

    with rigged(simulator, limiter=RateLimiter(today=lambda: days[0])) as rig:
        tenant = rig.pit(locations[0])
        simulator.limits.daily_limit = 0
        simulator.inject(Fault(effect=Meanwhile(happens=midnight), times=1))
        assert rig.capture(tenant).status is Status.FAILED
        simulator.limits.daily_limit = 1000
        simulator.limits.wall_clock = lambda: 2 * SECONDS_A_DAY
        assert rig.capture(tenant).status is Status.SUCCESS


def test_a_spent_day_is_not_taken_for_a_burst(
    rig: Rig, simulator: Simulator, locations: list[Location]
) -> None:
    """Both are a 429; retrying would go on until midnight."""
    tenant = rig.pit(locations[0])
    simulator.limits.daily_limit = 0
    capture = rig.capture(tenant, SnapshotType.LOCATIONS)
    assert {error.kind for error in capture.errors} == {ErrorKind.DAILY_LIMIT}
    assert capture.status is Status.FAILED
    assert 1 <= len(simulator.request_log) <= 4, "one try for each call that was under way at once"
    simulator.clear_request_log()
    assert rig.capture(tenant).status is Status.FAILED
    assert simulator.request_log == ()


def test_the_day_after_the_location_is_asked_again(simulator: Simulator, locations: list[Location]) -> None:
    days = [datetime(2026, 3, 3, tzinfo=UTC).date()]
    with rigged(simulator, limiter=RateLimiter(today=lambda: days[0])) as rig:
        tenant = rig.pit(locations[0])
        simulator.limits.daily_limit = 0
        assert rig.capture(tenant).status is Status.FAILED
        simulator.limits.daily_limit = 1000
        simulator.limits.wall_clock = lambda: 2 * SECONDS_A_DAY
        days[0] = datetime(2026, 3, 4, tzinfo=UTC).date()
        assert rig.capture(tenant).status is Status.SUCCESS


def test_one_location_of_an_agency_at_its_quota_costs_no_other_location(postgres: EmbeddedPostgres) -> None:
    """Each location has a quota of its own, so the others' captures take nothing from it."""
    accounts = generated_accounts(4, tenants=1, locations_per_agency=4, sizes=SMALL)
    agency = next(iter(accounts.agencies.values()))
    spent = agency.location_ids[1]
    with (
        Simulator(accounts, daily_limit=1000) as simulator,
        token_database(postgres) as database,
        rigged(simulator, store=installed(database, agency, tenant_id="agency")) as rig,
    ):
        company = tenant_of(agency, credential="oauth", tenant_id="agency")
        simulator.limits.take(spent)
        simulator.limits.spend_daily(spent, 999)
        capture = rig.capture(company, SnapshotType.PIPELINES)
        asked = [request for request in simulator.request_log if request.resource_id == spent]
    assert capture.status is Status.PARTIAL_FAILURE
    assert {error.location_id for error in capture.errors} == {spent}
    assert {error.kind for error in capture.errors} == {ErrorKind.DAILY_LIMIT}
    assert {entity.location_id for entity in capture.entities} == set(agency.location_ids) - {spent}
    assert len(asked) <= 2, "one try for each call that was under way at once"


def test_a_tight_burst_limit_is_kept_without_a_429() -> None:
    """Thirty agents have a list of actions each, and only ten requests may be made in half a second."""
    sizes = {"conversation_ai_agents": 30}
    with (
        Simulator(
            generated_accounts(5, tenants=1, sizes=sizes), burst_limit=10, burst_window_seconds=0.4
        ) as simulator,
        rigged(simulator, concurrency=4) as rig,
    ):
        location = next(iter(simulator.accounts.single_locations))
        capture = rig.capture(rig.pit(location), SnapshotType.AI_WORKERS)
        assert capture.status is Status.SUCCESS
        assert {status for _, _, status in simulator.request_counts()} == {200}


def test_a_list_that_never_ends_costs_its_endpoint_only(
    rig: Rig, simulator: Simulator, locations: list[Location]
) -> None:
    simulator.limits.burst_limit = 10**9
    simulator.inject(Fault(effect=EndlessPages(), route="/calendars/resources/rooms"))
    capture = rig.capture(rig.pit(locations[0]), SnapshotType.CALENDARS)
    assert capture.status is Status.PARTIAL_FAILURE
    [error] = capture.errors
    assert (error.endpoint, error.kind) == ("/calendars/resources/rooms", ErrorKind.PAGING)
    assert error.cursor == capture.next_cursor
    assert {entity.endpoint for entity in capture.entities} >= {"/calendars/", "/calendars/groups"}


def test_a_repeated_page_of_locations_costs_the_locations_after_it_only() -> None:
    """The locations of the first page are captured, and the error says from where on they are missing."""
    accounts = generated_accounts(6, tenants=1, locations_per_agency=130, sizes=SMALL)
    with Simulator(accounts, burst_limit=10**9) as simulator, rigged(simulator) as rig:
        simulator.inject(Fault(effect=StuckPage(), route="/locations/search"))
        capture = rig.capture(rig.pit(next(iter(accounts.agencies.values()))), SnapshotType.LOCATIONS)
    assert capture.record_count == 100
    assert capture.status is Status.PARTIAL_FAILURE
    first = capture.errors[0]
    assert (first.endpoint, first.kind, first.cursor) == ("/locations/search", ErrorKind.PAGING, "100")


def _all(rig: Rig, tenants: list[Tenant]) -> Iterator[str]:
    for capture in rig.capture_all(tenants):
        assert capture.status is Status.SUCCESS
        yield capture.tenant_id


def test_many_tenants_are_captured_each_once(rig: Rig, locations: list[Location]) -> None:
    tenants = [rig.pit(location) for location in locations]
    assert sorted(_all(rig, tenants)) == sorted(tenant.tenant_id for tenant in tenants)
    assert list(_all(rig, [])) == []


def test_a_slow_tenant_holds_up_no_other(rig: Rig, simulator: Simulator, locations: list[Location]) -> None:
    slow, *others = (rig.pit(location) for location in locations)
    simulator.inject(Fault(effect=Hang(seconds=0.6), location_id=slow.ghl_account_id))
    assert list(_all(rig, [slow, *others]))[-1] == slow.tenant_id


def test_tenants_are_taken_up_only_as_far_ahead_as_requests_may_be_made(
    simulator: Simulator, locations: list[Location]
) -> None:
    """Captures do not pile up in memory ahead of what stores them."""
    with rigged(simulator, concurrency=3) as rig:
        tenants = [rig.pit(location) for location in locations]
        taken: list[Tenant] = []

        def coming() -> Iterator[Tenant]:
            for tenant in tenants:
                taken.append(tenant)
                yield tenant

        captures = rig.capture_all(coming())
        for number in range(1, 6):
            next(captures)
            assert len(taken) <= number + 3
        captures.close()


def test_closing_the_generator_breaks_off_what_is_under_way(
    simulator: Simulator, locations: list[Location]
) -> None:
    """A run that is stopped must not wait for a GHL that hangs."""
    with rigged(simulator, capture_timeout_seconds=600) as rig:
        tenants = [rig.pit(location) for location in locations]
        simulator.inject(Fault(effect=Hang(seconds=600), location_id=tenants[1].ghl_account_id))
        captures = rig.capture_all(tenants[:2])
        next(captures)
        closing = threading.Thread(target=captures.close)
        closing.start()
        closing.join(10)
        assert not closing.is_alive()


def test_an_endpoint_that_hangs_costs_no_more_than_the_captures_time(
    simulator: Simulator, locations: list[Location]
) -> None:
    with rigged(simulator, capture_timeout_seconds=0.4, max_attempts=2) as rig:
        simulator.inject(Fault(effect=Hang(seconds=600), route="/calendars/groups"))
        capture = rig.capture(rig.pit(locations[0]), SnapshotType.CALENDARS)
    assert capture.status is Status.PARTIAL_FAILURE
    assert [(error.endpoint, error.kind) for error in capture.errors] == [
        ("/calendars/groups", ErrorKind.TIMEOUT)
    ]
    assert capture.duration_ms < 5000


@pytest.mark.slow
def test_a_large_account_has_the_time_that_its_calls_take(database: Database) -> None:
    """For 201 locations with a token and four calls each, 1,005 calls are planned."""
    accounts = generated_accounts(1, tenants=1, locations_per_agency=201)
    [agency] = accounts.agencies.values()
    with (
        Simulator(accounts, burst_limit=10**9) as simulator,
        rigged(simulator, store=installed(database, agency, tenant_id="acme")) as rig,
        ThreadPoolExecutor(8) as pool,
        ThreadPoolExecutor(2) as prefetch_pool,
    ):
        tenant, budget = tenant_of(agency, credential="oauth"), Budget(deadline=Deadline(600))
        AccountFetch(
            tenant,
            SnapshotType.CALENDARS,
            access=rig.credentials.open(tenant, budget),
            client=rig.client,
            budget=budget,
            pool=pool,
            prefetch_pool=prefetch_pool,
            max_concurrency=8,
        ).run()
    assert budget.deadline.seconds >= 600 * 1.005
