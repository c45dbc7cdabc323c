"""A location's token is shared by all processes, and several processes may capture one account at once."""

import base64
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from ghl_snapshots.capture.composition import capture_engine
from ghl_snapshots.core.model import SnapshotType, Source, Status, Tenant
from ghl_snapshots.core.settings import Settings
from ghl_snapshots.core.tokens import AccessToken, StoredTokens
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.generation import demo_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.ghl.rig import KEY, installed, tenant_of

PROCESSES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A tenant, the GHL that it is captured from, and the database that all processes share."""

    database_url: str
    base_url: str
    client_id: str
    client_secret: str
    tenant: Tenant

    def settings(self) -> Settings:
        """The settings of each of its processes."""
        return Settings.model_validate(
            {
                "database_url": self.database_url,
                "ghl_base_url": self.base_url,
                "oauth_client_id": self.client_id,
                "oauth_client_secret": self.client_secret,
                "encryption_keys": KEY,
            }
        )


def capture_all(deployment: Deployment) -> list[tuple[Status, int]]:
    """All five types one after the other, put together as the product does it: statuses and calls."""
    settings = deployment.settings()
    with Database(deployment.database_url) as database, capture_engine(settings, database) as engine:
        captures = [
            engine.capture(deployment.tenant, snapshot_type, source=Source.MANUAL, correlation_id="manual_1")
            for snapshot_type in SnapshotType
        ]
    return [(capture.status, capture.api_call_count) for capture in captures]


@pytest.fixture
def url(postgres: EmbeddedPostgres) -> str:
    """The URL of a migrated database of the test's own."""
    url = postgres.url(f"shared_{uuid4().hex}")
    migrate(url)
    return url


def exchanges(simulator: Simulator) -> int:
    """How often a location's token was asked for."""
    counts = simulator.request_counts().items()
    return sum(count for (_, route, _), count in counts if route == "/oauth/locationToken")


def deployed(simulator: Simulator, url: str, tenant: Tenant) -> Deployment:
    """A deployment that captures the tenant from the simulated GHL."""
    return Deployment(
        database_url=url,
        base_url=simulator.base_url,
        client_id=simulator.accounts.client_id,
        client_secret=simulator.accounts.client_secret,
        tenant=tenant,
    )


@pytest.mark.slow
def test_eight_processes_at_once_all_capture_one_location(url: str, tmp_path: Path) -> None:
    """Together they need more than a burst, and each learns of the others by GHL's answers only."""
    accounts = demo_accounts(seed=1)
    location = accounts.single_locations[0]
    token = tmp_path / "token"
    token.write_text(location.private_integration_token)
    with Simulator(accounts, burst_window_seconds=2) as simulator:
        deployment = deployed(simulator, url, tenant_of(location, credential=f"file:{token}"))
        processes = multiprocessing.get_context("forkserver")
        processes.set_forkserver_preload([__name__])
        with ProcessPoolExecutor(PROCESSES, mp_context=processes) as pool:
            captures = [
                capture
                for done in [pool.submit(capture_all, deployment) for _ in range(PROCESSES)]
                for capture in done.result()
            ]
        burst = simulator.limits.burst_limit
    assert [status for status, _ in captures] == [Status.SUCCESS] * PROCESSES * len(SnapshotType)
    assert sum(calls for _, calls in captures) > burst


def test_a_locations_token_is_asked_for_once_by_all_processes(url: str) -> None:
    accounts = demo_accounts(seed=1)
    agency = next(iter(accounts.agencies.values()))
    tenant = tenant_of(agency, credential="oauth")
    with Simulator(accounts, burst_limit=10**9) as simulator, Database(url) as database:
        installed(database, agency, tenant_id=tenant.tenant_id)
        deployment = deployed(simulator, url, tenant)
        for _ in range(2):
            assert {status for status, _ in capture_all(deployment)} == {Status.SUCCESS}
        assert exchanges(simulator) == len(agency.location_ids)


def test_a_new_installation_brings_new_location_tokens(url: str) -> None:
    """The old ones would lack the scopes that the new installation grants."""
    accounts = demo_accounts(seed=1)
    agency = next(iter(accounts.agencies.values()))
    tenant = tenant_of(agency, credential="oauth")
    with Simulator(accounts, burst_limit=10**9) as simulator, Database(url) as database:
        deployment = deployed(simulator, url, tenant)
        tokens = installed(database, agency, tenant_id=tenant.tenant_id)
        capture_all(deployment)
        before = tokens.load(tenant.tenant_id)
        assert before is not None
        with tokens.locked(tenant.tenant_id) as locked:
            locked.install(StoredTokens(refresh_token=before.refresh_token))
        capture_all(deployment)
        assert exchanges(simulator) == 2 * len(agency.location_ids)


def test_location_tokens_are_neither_in_the_clear_nor_readable_with_a_lost_key(url: str) -> None:
    """A lost key costs no capture: the tokens are asked for again."""
    accounts = demo_accounts(seed=1)
    agency = next(iter(accounts.agencies.values()))
    tenant = tenant_of(agency, credential="oauth")
    with Simulator(accounts, burst_limit=10**9) as simulator, Database(url) as database:
        store = installed(database, agency, tenant_id=tenant.tenant_id)
        capture_all(deployed(simulator, url, tenant))
        given = store.location_tokens(tenant.tenant_id)[agency.location_ids[0]]
        assert isinstance(given, AccessToken)
        with database.writer(tenant.tenant_id) as connection:
            rows = connection.execute("SELECT token FROM ghl.location_token").fetchall()
        assert len(rows) == len(agency.location_ids)
        assert not any(given.value.encode() in row["token"] for row in rows)
        other_key = OAuthTokens(database, base64.urlsafe_b64encode(b"o" * 32).decode())
        assert other_key.location_tokens(tenant.tenant_id) == {}
