"""OAuth: a refresh token is spent once however many need it, and its successor is never lost."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import psycopg
import pytest

from ghl_snapshots.core.errors import DatabaseLostError, ErrorKind, GhlError
from ghl_snapshots.core.model import SnapshotType, Status, Tenant
from ghl_snapshots.core.tokens import AccessToken, StoredTokens
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.credentials import Credentials
from ghl_snapshots.ghl.deadline import Deadline
from ghl_snapshots.ghl.token_exchange import OAuthApp, TokenExchange
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.accounts import Agency
from ghl_snapshots.simulator.faults import Effect, Fault, Hang, ReplaceBody, Respond, Wire
from ghl_snapshots.simulator.generation import demo_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.ghl.rig import KEY, Rig, installed, now, rigged, tenant_of

REFRESH = "/oauth/token"
EXCHANGE = "/oauth/locationToken"
INVALID = Respond(status=401, body=b'{"statusCode":401,"message":"Invalid JWT"}')


@dataclass(frozen=True, slots=True)
class LoseDatabase(Effect):
    """The database breaks off our sessions while GHL's answer is on its way."""

    url: str

    def deliver(self, wire: Wire, head: bytes, body: bytes) -> None:
        """Break off, then send."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'ghl_snapshots'"
            )
        wire.send(head + body)


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres) -> str:
    url = postgres.url("oauth_tests")
    migrate(url)
    return url


@pytest.fixture
def rig(simulator: Simulator, store: OAuthTokens) -> Iterator[Rig]:
    with rigged(simulator, store=store) as rig:
        yield rig


def posts(simulator: Simulator, path: str) -> int:
    """How many requests to a token path were answered."""
    return sum(request.route == path and request.status == 200 for request in simulator.request_log)


def test_one_refresh_serves_all_threads_and_the_captures_after(
    rig: Rig, store: OAuthTokens, agency: Agency, company: Tenant
) -> None:
    for snapshot_type in SnapshotType:
        assert rig.capture(company, snapshot_type).status is Status.SUCCESS
    assert posts(rig.simulator, REFRESH) == 1
    assert posts(rig.simulator, EXCHANGE) == len(agency.location_ids)
    stored = store.load("acme")
    assert stored
    assert stored.refresh_token != agency.refresh_token
    assert stored.access
    assert timedelta(hours=23) < stored.access.expires_at - now() < timedelta(hours=24)


def test_another_process_uses_the_stored_access_token(
    simulator: Simulator, store: OAuthTokens, company: Tenant
) -> None:
    for _ in range(2):
        with rigged(simulator, store=store) as rig:
            assert rig.capture(company).status is Status.SUCCESS
    assert posts(simulator, REFRESH) == 1


def capture_elsewhere(base_url: str, app: tuple[str, str], database_url: str, company: Tenant) -> Status:
    """How one capture ends that another process makes."""
    simulated = Simulator(demo_accounts(seed=1))
    assert (simulated.accounts.client_id, simulated.accounts.client_secret) == app
    with (
        Database(database_url) as database,
        rigged(simulated, store=OAuthTokens(database, KEY), base_url=base_url) as rig,
    ):
        return rig.capture(company).status


def test_eight_processes_at_once_spend_one_refresh_token(
    simulator: Simulator, url: str, store: OAuthTokens, company: Tenant
) -> None:
    app = (simulator.accounts.client_id, simulator.accounts.client_secret)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([rigged.__module__])
    with ProcessPoolExecutor(8, mp_context=processes) as pool:
        captures = [pool.submit(capture_elsewhere, simulator.base_url, app, url, company) for _ in range(8)]
        assert {capture.result() for capture in captures} == {Status.SUCCESS}
    assert posts(simulator, REFRESH) == 1
    assert store.load("acme")


def test_a_refused_company_token_is_refreshed_once(rig: Rig, company: Tenant) -> None:
    rig.capture(company)
    rig.simulator.tokens.revoke_access_tokens()
    capture = rig.capture(company, SnapshotType.PIPELINES)
    assert capture.status is Status.SUCCESS
    assert posts(rig.simulator, REFRESH) == 2
    assert capture.api_calls["/locations/search", 401] == 1
    assert capture.api_calls["/opportunities/pipelines", 401] == 3
    assert capture.api_calls[EXCHANGE, 200] == 3


def test_a_token_refused_again_ends_the_tenant(rig: Rig, company: Tenant) -> None:
    for route in ("/locations/search", "/oauth/installedLocations"):
        rig.simulator.inject(Fault(effect=INVALID, route=route))
    capture = rig.capture(company)
    assert capture.status is Status.FAILED
    assert {error.kind for error in capture.errors} == {ErrorKind.INVALID_CREDENTIAL}
    assert capture.api_calls[REFRESH, 200] == 1, "none for a token that this very capture has fetched"


def test_a_refused_location_token_costs_no_other_location(
    simulator: Simulator, store: OAuthTokens, agency: Agency, company: Tenant
) -> None:
    lost = agency.location_ids[0]
    simulator.inject(Fault(effect=INVALID, route="/workflows/", location_id=lost))
    with rigged(simulator, store=store, concurrency=1) as rig:
        capture = rig.capture(company)
    assert capture.status is Status.PARTIAL_FAILURE
    assert {error.location_id for error in capture.errors} == {lost}
    assert {entity.location_id for entity in capture.entities} == set(agency.location_ids) - {lost}


def test_a_token_near_its_end_is_not_used(rig: Rig, store: OAuthTokens, company: Tenant) -> None:
    rig.capture(company)
    with store.locked("acme") as locked:
        assert locked.tokens
        locked.store(
            StoredTokens(
                refresh_token=locked.tokens.refresh_token,
                access=AccessToken(value="expiring", expires_at=now() + timedelta(minutes=1)),
            )
        )
    capture = rig.capture(company, SnapshotType.PIPELINES)
    assert {status for _, status in capture.api_calls} == {200}
    assert posts(rig.simulator, REFRESH) == 2


def test_tokens_with_a_short_life_are_good_for_most_of_it(rig: Rig, company: Tenant) -> None:
    rig.simulator.tokens.access_token_seconds = 60
    assert rig.capture(company, SnapshotType.LOCATIONS).status is Status.SUCCESS
    assert posts(rig.simulator, REFRESH) == 1


def test_a_single_location_asks_as_a_location(simulator: Simulator, database: Database) -> None:
    location = simulator.accounts.single_locations[0]
    store = installed(database, location, tenant_id="solo")
    with rigged(simulator, store=store) as rig:
        capture = rig.capture(tenant_of(location, credential="oauth", tenant_id="solo"))
    assert capture.status is Status.SUCCESS
    assert posts(simulator, EXCHANGE) == 0


def test_a_database_that_fails_before_the_store_loses_no_token(
    rig: Rig, store: OAuthTokens, url: str, agency: Agency, company: Tenant
) -> None:
    rig.simulator.inject(Fault(effect=LoseDatabase(url), route=REFRESH, times=1))
    assert rig.capture(company).status is Status.SUCCESS
    stored = store.load("acme")
    assert stored
    assert stored.refresh_token != agency.refresh_token
    rig.simulator.tokens.revoke_access_tokens()
    assert rig.capture(company, SnapshotType.PIPELINES).status is Status.SUCCESS


def test_a_capture_whose_time_is_up_still_stores_the_next_refresh_token(
    simulator: Simulator, store: OAuthTokens, agency: Agency, company: Tenant
) -> None:
    simulator.inject(Fault(effect=Hang(seconds=0.5), route=REFRESH))
    with rigged(simulator, store=store, read_timeout_seconds=5, capture_timeout_seconds=0.1) as rig:
        capture = rig.capture(company)
    assert {error.kind for error in capture.errors} == {ErrorKind.TIMEOUT}
    stored = store.load("acme")
    assert stored
    assert stored.refresh_token != agency.refresh_token


def test_a_refresh_token_is_kept_even_if_its_answer_is_odd(
    rig: Rig, store: OAuthTokens, agency: Agency, company: Tenant
) -> None:
    odd = ReplaceBody(change=lambda body: body.replace(b'"access_token"', b'"other"'))
    rig.simulator.inject(Fault(effect=odd, route=REFRESH, times=1))
    capture = rig.capture(company)
    assert {error.kind for error in capture.errors} == {ErrorKind.MALFORMED_RESPONSE}
    stored = store.load("acme")
    assert stored
    assert stored.refresh_token != agency.refresh_token
    assert rig.capture(company, SnapshotType.PIPELINES).status is Status.SUCCESS


def test_a_spent_refresh_token_says_how_to_get_a_new_one(
    rig: Rig, store: OAuthTokens, agency: Agency, company: Tenant
) -> None:
    rig.simulator.tokens.spend_refresh_token(agency.refresh_token)
    capture = rig.capture(company)
    assert capture.status is Status.FAILED
    assert {error.kind for error in capture.errors} == {ErrorKind.INVALID_CREDENTIAL}
    assert "`ghl-snapshots tenants authorize acme --code`" in capture.errors[0].message
    assert agency.refresh_token not in str(capture.provenance())
    assert store.load("acme") == StoredTokens(refresh_token=agency.refresh_token)


def test_a_wrong_app_is_named(rig: Rig, store: OAuthTokens, company: Tenant) -> None:
    wrong = OAuthApp(client_id=rig.simulator.accounts.client_id, client_secret="wrong-secret")
    exchange = TokenExchange(app=wrong, store=store, client=rig.client, clock=now)
    credentials = Credentials(rig.client, environ={}, exchange=exchange, store=store, clock=now)
    with rigged(rig.simulator, credentials=credentials) as other:
        capture = other.capture(company)
    assert "GHL_OAUTH_CLIENT_SECRET" in capture.errors[0].message
    assert "wrong-secret" not in str(capture.provenance())


def test_a_tenant_without_tokens_says_how_to_store_them(rig: Rig, agency: Agency) -> None:
    capture = rig.capture(tenant_of(agency, credential="oauth", tenant_id="newcomer"))
    assert capture.status is Status.FAILED
    assert "`ghl-snapshots tenants authorize newcomer`" in capture.errors[0].message
    assert "`ghl-snapshots tenants authorize newcomer --code`" in capture.errors[0].message
    assert not rig.simulator.request_log


@pytest.mark.parametrize(
    ("keys", "text"),
    [(None, "GHL_SNAPSHOTS_ENCRYPTION_KEYS is not set"), ("A" * 43 + "=", "encrypted with a key")],
)
def test_a_token_that_cannot_be_decrypted_costs_its_tenant_only(
    simulator: Simulator, database: Database, store: OAuthTokens, company: Tenant, keys: str | None, text: str
) -> None:
    with rigged(simulator, store=OAuthTokens(database, keys)) as rig:
        lost, fine = sorted(
            rig.capture_all([company, rig.pit(simulator.accounts.single_locations[0])]),
            key=lambda capture: capture.tenant_id != company.tenant_id,
        )
    assert (lost.status, fine.status) == (Status.FAILED, Status.SUCCESS)
    assert text in lost.errors[0].message


def test_a_database_that_is_away_makes_no_failed_capture_of_an_oauth_tenant(
    simulator: Simulator, company: Tenant
) -> None:
    """It says nothing about the credential, and what is stored is not captured again by a retried run."""
    nowhere = Database("postgresql://nobody@127.0.0.1:1/nothing")
    with rigged(simulator, store=OAuthTokens(nowhere, KEY)) as rig:
        with pytest.raises(DatabaseLostError):
            rig.capture(company)
        fine = rig.capture(rig.pit(simulator.accounts.single_locations[0]))
    assert fine.status is Status.SUCCESS


def exchange_of(rig: Rig, store: OAuthTokens) -> tuple[TokenExchange, Budget]:
    """What redeems codes at the simulated GHL, and a budget that counts it."""
    accounts = rig.simulator.accounts
    app = OAuthApp(client_id=accounts.client_id, client_secret=accounts.client_secret)
    exchange = TokenExchange(app=app, store=store, client=rig.client, clock=now)
    return exchange, Budget(deadline=Deadline(10), settings=rig.settings)


def test_an_authorization_code_brings_back_a_lost_account(
    rig: Rig, store: OAuthTokens, agency: Agency, company: Tenant
) -> None:
    rig.simulator.tokens.spend_refresh_token(agency.refresh_token)
    assert rig.capture(company).status is Status.FAILED
    exchange, budget = exchange_of(rig, store)
    code = rig.simulator.tokens.issue_authorization_code(agency.company_id)
    token = exchange.redeem(company, code, budget=budget)
    stored = store.load("acme")
    assert stored
    assert stored.access
    assert stored.access.value == token.value
    assert budget.calls() == {(REFRESH, 200): 1}
    assert rig.capture(company).status is Status.SUCCESS
    rig.simulator.tokens.revoke_access_tokens()
    assert rig.capture(company).status is Status.SUCCESS


def test_a_code_that_was_used_before_leaves_the_tokens_as_they_are(
    rig: Rig, store: OAuthTokens, agency: Agency, company: Tenant
) -> None:
    exchange, budget = exchange_of(rig, store)
    code = rig.simulator.tokens.issue_authorization_code(agency.company_id)
    exchange.redeem(company, code, budget=budget)
    before = store.load("acme")
    with pytest.raises(GhlError, match="the code was used before") as refused:
        exchange.redeem(company, code, budget=budget)
    assert refused.value.kind is ErrorKind.INVALID_CREDENTIAL
    assert code not in str(refused.value)
    assert store.load("acme") == before


def test_a_code_of_another_account_is_refused(simulator: Simulator, database: Database) -> None:
    """Its snapshots would be one customer's in the name of another."""
    ours, foreign = simulator.accounts.single_locations[:2]
    store = installed(database, ours, tenant_id="solo")
    tenant = tenant_of(ours, credential="oauth", tenant_id="solo")
    with rigged(simulator, store=store) as rig:
        exchange, budget = exchange_of(rig, store)
        code = simulator.tokens.issue_authorization_code(foreign.location_id)
        with pytest.raises(GhlError, match=f"opens .{foreign.location_id}.") as refused:
            exchange.redeem(tenant, code, budget=budget)
    assert refused.value.kind is ErrorKind.FORBIDDEN_LOCATION
    assert store.load("solo") == StoredTokens(refresh_token=ours.refresh_token)


def test_a_database_that_fails_after_a_code_was_redeemed_loses_no_token(
    rig: Rig, store: OAuthTokens, url: str, agency: Agency, company: Tenant
) -> None:
    exchange, budget = exchange_of(rig, store)
    rig.simulator.inject(Fault(effect=LoseDatabase(url), route=REFRESH, times=1))
    code = rig.simulator.tokens.issue_authorization_code(agency.company_id)
    token = exchange.redeem(company, code, budget=budget)
    stored = store.load("acme")
    assert stored
    assert stored.access
    assert stored.access.value == token.value


def test_an_answer_to_a_code_without_a_refresh_token_is_not_stored(
    rig: Rig, store: OAuthTokens, agency: Agency, company: Tenant
) -> None:
    exchange, budget = exchange_of(rig, store)
    odd = ReplaceBody(change=lambda body: body.replace(b'"refresh_token"', b'"other"'))
    rig.simulator.inject(Fault(effect=odd, route=REFRESH))
    code = rig.simulator.tokens.issue_authorization_code(agency.company_id)
    with pytest.raises(GhlError, match="no refresh_token"):
        exchange.redeem(company, code, budget=budget)
    assert store.load("acme") == StoredTokens(refresh_token=agency.refresh_token)
