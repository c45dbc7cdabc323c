"""A company's token that GHL does not accept costs one refresh and ends the tenant, however large it is."""

import re
from collections.abc import Iterator

import pytest

from ghl_snapshots.core.errors import ErrorKind
from ghl_snapshots.core.model import SnapshotType, Status, Tenant
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.accounts import Agency
from ghl_snapshots.simulator.faults import Fault, ReplaceBody, Respond
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.ghl.rig import Rig, rigged, token_database

REFRESH = "/oauth/token"
EXCHANGE = "/oauth/locationToken"
INVALID = Respond(status=401, body=b'{"statusCode":401,"message":"Invalid JWT"}')
SPENT = Respond(status=401, body=b'{"statusCode":401,"message":"Invalid refresh token"}')
LOCATIONS = 40
CONCURRENCY = 8


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    accounts = generated_accounts(4, tenants=1, locations_per_agency=LOCATIONS, sizes={"workflows": 1})
    with Simulator(accounts, burst_limit=10**9) as simulator:
        yield simulator


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[Database]:
    with token_database(postgres) as database:
        yield database


@pytest.fixture
def rig(simulator: Simulator, store: OAuthTokens, database: Database, company: Tenant) -> Iterator[Rig]:
    """The company has a token, its locations have none; nothing was asked with it yet."""
    with rigged(simulator, store=store) as first:
        assert first.capture(company).status is Status.SUCCESS
    with database.writer("acme") as connection:
        connection.execute("UPDATE ghl.location_token SET expires_at = 'epoch'")
    simulator.clear_request_log()
    with rigged(simulator, store=store, concurrency=CONCURRENCY) as rig:
        yield rig


def asked(simulator: Simulator, path: str) -> int:
    """How many requests to a path came."""
    return sum(request.route == path for request in simulator.request_log)


def test_a_companys_token_that_lists_its_locations_is_good_whatever_the_exchange_answers(
    rig: Rig, simulator: Simulator, company: Tenant
) -> None:
    """Each renewal spends a refresh token; so none is spent for a token that GHL accepts in other calls."""
    simulator.inject(Fault(effect=INVALID, route=EXCHANGE))
    capture = rig.capture(company, SnapshotType.PIPELINES)
    assert capture.status is Status.FAILED
    assert {error.kind for error in capture.errors} == {ErrorKind.FORBIDDEN}
    assert "although it accepts the same token in others" in capture.errors[0].message
    assert len(capture.errors) == 2 * LOCATIONS
    assert asked(simulator, REFRESH) == 0
    assert asked(simulator, EXCHANGE) == LOCATIONS


@pytest.mark.parametrize("place", [0, LOCATIONS // 2, LOCATIONS - 1])
def test_a_company_token_that_is_refused_for_one_location_costs_no_other(
    rig: Rig, simulator: Simulator, agency: Agency, company: Tenant, place: int
) -> None:
    """It is good, since GHL lists the locations for it; so the refusal is that one location's."""
    lost = agency.location_ids[place]
    simulator.inject(Fault(effect=INVALID, route=EXCHANGE, location_id=lost))
    capture = rig.capture(company)
    assert capture.status is Status.PARTIAL_FAILURE
    assert {(error.location_id, error.kind) for error in capture.errors} == {(lost, ErrorKind.FORBIDDEN)}
    assert {entity.location_id for entity in capture.entities} == set(agency.location_ids) - {lost}
    assert asked(simulator, REFRESH) == 0


def refuse_the_company(simulator: Simulator) -> None:
    """Refuse the company's own token in every call that is made with it."""
    for route in (EXCHANGE, "/locations/search", "/oauth/installedLocations"):
        simulator.inject(Fault(effect=INVALID, route=route))


def test_a_company_token_that_is_refused_in_every_call_is_renewed_once(
    rig: Rig, simulator: Simulator, company: Tenant
) -> None:
    refuse_the_company(simulator)
    capture = rig.capture(company)
    assert capture.entities == ()
    assert {error.kind for error in capture.errors} == {ErrorKind.INVALID_CREDENTIAL}
    assert asked(simulator, REFRESH) == 1


def test_a_refused_refresh_token_is_not_sent_again(rig: Rig, simulator: Simulator, company: Tenant) -> None:
    refuse_the_company(simulator)
    simulator.inject(Fault(effect=SPENT, route=REFRESH))
    capture = rig.capture(company)
    assert capture.entities == ()
    assert {error.kind for error in capture.errors} == {ErrorKind.INVALID_CREDENTIAL}
    assert asked(simulator, REFRESH) == 1


def test_a_refresh_that_ghl_does_not_answer_is_not_begun_anew_for_each_call(
    rig: Rig, simulator: Simulator, company: Tenant
) -> None:
    refuse_the_company(simulator)
    simulator.inject(Fault(effect=Respond(status=503), route=REFRESH))
    capture = rig.capture(company)
    assert {error.kind for error in capture.errors} == {ErrorKind.SERVER_ERROR}
    assert asked(simulator, REFRESH) == rig.settings.max_attempts


def test_a_token_that_ghl_gives_without_a_life_is_used_all_the_same(
    simulator: Simulator, store: OAuthTokens, company: Tenant
) -> None:
    """Else each call would spend a refresh token."""
    lifeless = ReplaceBody(change=lambda body: re.sub(rb'"expires_in":[0-9]+', b'"expires_in":0', body))
    simulator.inject(Fault(effect=lifeless, route=REFRESH))
    with rigged(simulator, store=store) as rig:
        capture = rig.capture(company)
    assert capture.status is Status.SUCCESS
    assert asked(simulator, REFRESH) == 1


def test_who_waits_for_another_process_that_refreshes_keeps_to_the_captures_time(
    simulator: Simulator, store: OAuthTokens, company: Tenant
) -> None:
    with (
        rigged(simulator, store=store, capture_timeout_seconds=0.3) as rig,
        store.locked("acme"),
    ):
        capture = rig.capture(company)
    assert capture.status is Status.FAILED
    assert {error.kind for error in capture.errors} == {ErrorKind.TIMEOUT}
    assert "the capture's total time of 0.3 s was over" in capture.errors[0].message
    assert asked(simulator, REFRESH) == 0
