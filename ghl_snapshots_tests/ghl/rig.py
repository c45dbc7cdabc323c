"""The GHL client and the capture engine put together for a test, with waits that are short."""

import base64
import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from ghl_snapshots.capture.engine import CaptureEngine
from ghl_snapshots.core.capture_settings import CaptureSettings
from ghl_snapshots.core.model import AccountKind, Capture, SnapshotType, Source, Tenant
from ghl_snapshots.core.tokens import StoredTokens
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.client import Fetched, GhlClient
from ghl_snapshots.ghl.credentials import Credentials
from ghl_snapshots.ghl.deadline import Deadline
from ghl_snapshots.ghl.endpoint import Endpoint
from ghl_snapshots.ghl.endpoints import ENDPOINTS as CATALOGUE
from ghl_snapshots.ghl.fetch_target import FetchTarget
from ghl_snapshots.ghl.limits import RateLimiter
from ghl_snapshots.ghl.token_exchange import OAuthApp, TokenExchange
from ghl_snapshots.ghl.token_store import TokenStore
from ghl_snapshots.ghl.transport import Transport
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.accounts import Agency, Location
from ghl_snapshots.simulator.content import CHILD_KINDS
from ghl_snapshots.simulator.paging import entity_field
from ghl_snapshots.simulator.routes import ROUTES
from ghl_snapshots.simulator.server import Simulator

PIT = "SIMULATED_TOKEN"
_QUICK = {
    "connect_timeout_seconds": 1,
    "read_timeout_seconds": 1,
    "capture_timeout_seconds": 20,
    "max_attempts": 3,
    "retry_wait_seconds": 0.001,
    "longest_retry_wait_seconds": 0.002,
    "concurrency": 8,
}
KEY = base64.urlsafe_b64encode(b"k" * 32).decode()
ENDPOINTS: Mapping[str, Endpoint] = {endpoint.name: endpoint for endpoint in CATALOGUE}


def held_by_ghl(location: Location, endpoint: Endpoint) -> list[bytes]:
    """The entities that the simulated GHL gives for an endpoint of a location, in order."""
    [route] = [route for route in ROUTES if route.template == endpoint.path]
    if route.parent_id is None:
        return list(location.entities[route.kind])
    bodies: list[bytes] = []
    for parent in location.entities[CHILD_KINDS[route.kind].parent]:
        parent_id = entity_field(parent, "id") or entity_field(parent, route.parent_field) or ""
        children = location.children[route.kind].get(parent_id, [])
        if route.lists:
            children = [body for fields in route.lists.values() for body in _with_fields(children, fields)]
        bodies += children
    return bodies


def _with_fields(bodies: Iterable[bytes], fields: Mapping[str, object]) -> Iterator[bytes]:
    return (body for body in bodies if fields.items() <= json.loads(body).items())


def now() -> datetime:
    """The present moment."""
    return datetime.now(UTC)


def tenant_of(
    holder: Location | Agency, *, credential: str = f"env:{PIT}", tenant_id: str = "acme"
) -> Tenant:
    """A tenant whose account is the simulated one."""
    if isinstance(holder, Agency):
        account_id, kind = holder.company_id, AccountKind.COMPANY
    else:
        account_id, kind = holder.location_id, AccountKind.LOCATION
    return Tenant(tenant_id=tenant_id, ghl_account_id=account_id, account_kind=kind, credential=credential)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """An engine on a simulated GHL; `environment` is where it finds tokens."""

    simulator: Simulator
    client: GhlClient
    credentials: Credentials
    engine: CaptureEngine
    settings: CaptureSettings
    environment: dict[str, str] = field(repr=False)

    def capture(
        self, tenant: Tenant, snapshot_type: SnapshotType = SnapshotType.WORKFLOWS, **given: Any
    ) -> Capture:
        """One capture."""
        named = {"source": Source.MANUAL, "correlation_id": "manual_test_1", **given}
        return self.engine.capture(tenant, snapshot_type, **named)

    def capture_all(
        self, tenants: Iterable[Tenant], snapshot_type: SnapshotType = SnapshotType.WORKFLOWS
    ) -> Generator[Capture]:
        """A capture of each tenant, several at once."""
        return self.engine.for_each(
            tenants,
            lambda tenant, cancelled: self.engine.capture(
                tenant,
                snapshot_type,
                source=Source.SCHEDULED,
                correlation_id="scheduled_1",
                cancelled=cancelled,
            ),
        )

    def pit(self, holder: Location | Agency) -> Tenant:
        """A tenant with the holder's Private Integration Token."""
        name = f"{PIT}_{len(self.environment)}"
        self.environment[name] = holder.private_integration_token
        return tenant_of(holder, credential=f"env:{name}", tenant_id=f"tenant{len(self.environment)}")

    def fetch(
        self, tenant: Tenant, endpoint: str = "/workflows/", *, seconds: float = 10.0, **query: str
    ) -> Fetched:
        """One call by the tenant's own token."""
        budget = Budget(deadline=Deadline(seconds), settings=self.settings)
        token_source = self.credentials.open(tenant, budget).account
        target = FetchTarget(endpoint=ENDPOINTS[endpoint], location_id=tenant.ghl_account_id)
        return self.client.fetch(target, query, token_source=token_source, budget=budget)


@contextmanager
def rigged(
    simulator: Simulator,
    *,
    base_url: str | None = None,
    credentials: Credentials | None = None,
    store: TokenStore | None = None,
    limiter: RateLimiter | None = None,
    **settings: float,
) -> Iterator[Rig]:
    """An engine that lives as long as the block; `settings` are some of `CaptureSettings`."""
    environment: dict[str, str] = {}
    client = GhlClient(Transport(base_url or simulator.base_url), limiter or RateLimiter(), clock=now)
    capture_settings = CaptureSettings.model_validate({**_QUICK, **settings})
    app = OAuthApp(client_id=simulator.accounts.client_id, client_secret=simulator.accounts.client_secret)
    exchange = TokenExchange(app=app, store=store, client=client, clock=now) if store else None
    credentials = credentials or Credentials(
        client, environ=environment, exchange=exchange, store=store, clock=now
    )
    engine = CaptureEngine(
        client,
        credentials,
        concurrency=capture_settings.concurrency,
        settings=lambda _: capture_settings,
        clock=now,
    )
    with engine:
        yield Rig(
            simulator=simulator,
            client=client,
            credentials=credentials,
            engine=engine,
            settings=capture_settings,
            environment=environment,
        )


@contextmanager
def token_database(server: EmbeddedPostgres) -> Iterator[Database]:
    """A migrated database of its own."""
    url = server.url(f"tokens_{uuid4().hex}")
    migrate(url)
    with Database(url) as database:
        yield database


def installed(database: Database, holder: Agency | Location, *, tenant_id: str) -> OAuthTokens:
    """The database's token store, in which the tenant has the OAuth app in the simulated account."""
    registry = TenantRegistry(database)
    if tenant_id not in {tenant.tenant_id for tenant in registry.list()}:
        registry.add(tenant_of(holder, credential="oauth", tenant_id=tenant_id))
    store = OAuthTokens(database, KEY)
    with store.locked(tenant_id) as locked:
        locked.install(StoredTokens(refresh_token=holder.refresh_token))
    return store
