"""What the rows of the capture benchmark do against a simulated GHL, each in a process of its own."""

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import astuple, dataclass, field, fields
from datetime import UTC, date, datetime
from http import HTTPStatus
from pathlib import Path
from statistics import median
from threading import Lock, local

import requests
from cryptography.fernet import Fernet

from ghl_snapshots.capture.composition import capture_engine
from ghl_snapshots.capture.engine import CaptureEngine
from ghl_snapshots.core.capture_settings import CaptureSettings
from ghl_snapshots.core.model import AccountKind, Capture, SnapshotType, Source, Tenant
from ghl_snapshots.core.settings import Settings
from ghl_snapshots.core.tokens import AccessToken, RefusedLocation, StoredTokens
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.client import GhlClient
from ghl_snapshots.ghl.credentials import Credentials
from ghl_snapshots.ghl.deadline import Deadline
from ghl_snapshots.ghl.endpoint import By
from ghl_snapshots.ghl.endpoints import ENDPOINTS, LOCATION_SEARCH
from ghl_snapshots.ghl.limits import RateLimiter
from ghl_snapshots.ghl.read_only import LOCATION_TOKEN_PATH
from ghl_snapshots.ghl.token_exchange import OAuthApp, TokenExchange
from ghl_snapshots.ghl.transport import Transport
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.accounts import Accounts
from ghl_snapshots.simulator.generation import generated_accounts

SEED = 1
ALL_TYPES = tuple(SnapshotType)
TYPICAL = {
    "templates": 6,
    "object_schemas": 3,
    "calendars": 6,
    "voice_ai_agents": 1,
    "conversation_ai_agents": 2,
    "agent_studio_agents": 2,
    "knowledge_bases": 2,
    "studio_nodes": 12,
}
"""Sizes of a typical location; its studio agents have more than 100 KB each."""
_OF_THE_COMPANY = (LOCATION_SEARCH.name, LOCATION_TOKEN_PATH)


@dataclass(frozen=True, kw_only=True)
class World:
    """What the simulated GHL of a row is like, and how many requests may be under way to it at once."""

    locations: int
    threads: int
    latency_ms: int = 0
    burst: int = 10**9
    interval_seconds: float = 10.0

    def accounts(self) -> Accounts:
        """One agency; the same in every process."""
        return generated_accounts(SEED, tenants=1, locations_per_agency=self.locations, sizes=TYPICAL)

    def ideal_seconds(self, done: "Done") -> float:
        """The shortest time for its calls: what latency, threads and order allow, or the company's limit."""
        latency_seconds = self.latency_ms / 1000
        by_limit = (max(done.company_calls, 1) - 1) // self.burst * self.interval_seconds
        return max(done.calls * latency_seconds / self.threads, done.in_a_row * latency_seconds, by_limit)


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a row's work came to.

    `company_calls` are those that count against the company's limit, `in_a_row` those of the longest chain, 0
    where that was not looked for. `began_at` is a time in seconds since 1970.
    """

    calls: int
    began_at: float
    in_a_row: int = 0
    company_calls: int = 0
    refused: int = 0
    records: int = 0
    wall_seconds: float
    cpu_seconds: float
    peak_mb: float

    @property
    def cpu_a_call(self) -> float:
        """Seconds of the client's CPU."""
        return self.cpu_seconds / self.calls


def median_of(runs: Sequence[Done]) -> Done:
    """The median of each of the runs' measurements."""
    columns = zip(*map(astuple, runs), strict=True)
    return Done(**dict(zip((one.name for one in fields(Done)), map(median, columns), strict=True)))


@dataclass
class Stopwatch:
    """Time and CPU of this process while `running`, without a database's start and stop."""

    began_at: float = 0.0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure the block."""
        self.began_at = time.time()
        wall, cpu = time.perf_counter(), _cpu_seconds()
        yield
        self.wall_seconds, self.cpu_seconds = time.perf_counter() - wall, _cpu_seconds() - cpu


@dataclass(frozen=True, kw_only=True)
class PlainLoop:
    """The first page of every list of every location, by a thread pool and nothing else."""

    def __call__(self, base_url: str, world: World) -> Done:
        """Do it."""
        asked = [
            (location, endpoint)
            for endpoint in ENDPOINTS
            if endpoint.parent is None and endpoint.account is AccountKind.LOCATION
            for location in world.accounts().locations.values()
        ]
        threads = local()

        def ask(number: int) -> int:
            location, endpoint = asked[number]
            if not hasattr(threads, "session"):
                threads.session = requests.Session()
                threads.session.trust_env = False
            paging: dict[str, str] = {}
            if endpoint.paging is not None:
                paging = {endpoint.paging.limit: str(endpoint.paging.size)}
                if endpoint.paging.by is By.POSITION:
                    paging[endpoint.paging.start] = "0"
            reply = threads.session.get(
                base_url + endpoint.path.format(locationId=location.location_id),
                params={
                    **{name: value.format(locationId=location.location_id) for name, value in endpoint.query},
                    **paging,
                },
                headers={
                    "Authorization": f"Bearer {location.private_integration_token}",
                    "Version": endpoint.api_version,
                },
            )
            reply.raise_for_status()
            return len(reply.json())

        stopwatch = Stopwatch()
        with stopwatch.running(), ThreadPoolExecutor(world.threads) as pool:
            calls = len(list(pool.map(ask, range(len(asked)))))
        return _done(stopwatch, calls=calls)


@dataclass(frozen=True, kw_only=True)
class Capturing:
    """The agency's snapshot types by the product's engine, one type after the other or all `at_once`."""

    limited: bool = True
    at_once: bool = False
    types: tuple[SnapshotType, ...] = ALL_TYPES

    def __call__(self, base_url: str, world: World) -> Done:
        """Do it with tokens and limits kept in the process."""
        with _engine(base_url, world, limited=self.limited) as engine:
            return _captured(engine, world, self.types, lambda _: None, at_once=self.at_once)


@dataclass(frozen=True, kw_only=True)
class Storing:
    """All types at once, stored in PostgreSQL, put together as the product does it.

    What has been stored before, if `again`, are the same captures, so that the locations' tokens are known.
    The company's own token is valid in any case, as it is after its daily refresh.
    """

    again: bool = False

    def __call__(self, base_url: str, world: World) -> Done:
        """Do it with tokens and limits kept in the database."""
        with ExitStack() as stack:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            server = stack.enter_context(EmbeddedPostgres(home))
            migrate(server.url("ledger"))
            database = stack.enter_context(Database(server.url("ledger")))
            settings = _settings(base_url, world)
            _install(database, settings, world.accounts(), base_url)
            ledger = Ledger(database)
            for _ in range(1 + self.again):
                with capture_engine(settings, database) as engine:
                    done = _captured(engine, world, ALL_TYPES, ledger.append, at_once=True)
            return done


def _captured(
    engine: CaptureEngine,
    world: World,
    types: tuple[SnapshotType, ...],
    store: Callable[[Capture], object],
    *,
    at_once: bool,
) -> Done:
    tenant, stopwatch, trigger = _tenant_of(world.accounts()), Stopwatch(), f"benchmark_{time.time_ns()}"

    def capture(snapshot_type: SnapshotType) -> Capture:
        made = engine.capture(tenant, snapshot_type, source=Source.MANUAL, correlation_id=trigger)
        if made.errors:
            sys.stderr.write(f"{snapshot_type}: {len(made.errors)} errors: {made.errors[0]}\n")
        store(made)
        return made

    with stopwatch.running(), ThreadPoolExecutor(len(types) if at_once else 1) as pool:
        captures = list(pool.map(capture, types))
    return _done(
        stopwatch,
        calls=sum(capture.api_call_count for capture in captures),
        company_calls=_calls(captures, lambda endpoint, _: endpoint in _OF_THE_COMPANY),
        refused=_calls(captures, lambda _, status: status == HTTPStatus.TOO_MANY_REQUESTS),
        records=sum(capture.record_count for capture in captures),
    )


def _engine(base_url: str, world: World, *, limited: bool) -> CaptureEngine:
    """An engine that needs no database."""
    accounts = world.accounts()
    agency = next(iter(accounts.agencies.values()))
    client = GhlClient(Transport(base_url), RateLimiter() if limited else _NoLimiter(), clock=_now)
    app = OAuthApp(client_id=accounts.client_id, client_secret=accounts.client_secret)
    store = _MemoryTokens(StoredTokens(refresh_token=agency.refresh_token))
    exchange = TokenExchange(app=app, store=store, client=client, clock=_now)
    credentials = Credentials(client, environ={}, exchange=exchange, store=store, clock=_now)
    settings = CaptureSettings(max_attempts=10, capture_timeout_seconds=600, concurrency=world.threads)
    return CaptureEngine(
        client, credentials, concurrency=world.threads, settings=lambda _: settings, clock=_now
    )


def _settings(base_url: str, world: World) -> Settings:
    return Settings.model_validate(
        {
            "ghl_base_url": base_url,
            "oauth_client_id": world.accounts().client_id,
            "oauth_client_secret": world.accounts().client_secret,
            "encryption_keys": Fernet.generate_key().decode(),
            "concurrency": world.threads,
        }
    )


def _install(database: Database, settings: Settings, accounts: Accounts, base_url: str) -> None:
    """Register the agency, with the OAuth app installed in it and a token for today."""
    tenant = _tenant_of(accounts)
    TenantRegistry(database).add(tenant)
    store = OAuthTokens(database, settings.encryption_keys_text)
    with store.locked(tenant.tenant_id) as locked:
        locked.install(StoredTokens(refresh_token=next(iter(accounts.agencies.values())).refresh_token))
    app = OAuthApp(client_id=accounts.client_id, client_secret=accounts.client_secret)
    with closing(GhlClient(Transport(base_url), _NoLimiter(), clock=_now)) as client:
        exchange = TokenExchange(app=app, store=store, client=client, clock=_now)
        exchange.refresh(tenant, budget=Budget(deadline=Deadline(60)))


class _NoLimiter(RateLimiter):
    """Lets everything through at once."""

    def acquire(self, resource_id: str, deadline: Deadline, *, daily_reserve: float = 0.5) -> date:
        """Never wait."""
        return _now().date()

    def observe(
        self, resource_id: str, headers: Mapping[str, str], status: int | None, *, day: date | None = None
    ) -> None:
        """Learn nothing."""


@dataclass
class _MemoryTokens:
    """A token store without a database, for one process."""

    tokens: StoredTokens | None = field(repr=False)
    _lock: Lock = field(default_factory=Lock)

    def load(self, tenant_id: str) -> StoredTokens | None:
        """The tokens."""
        return self.tokens

    @contextmanager
    def locked(self, tenant_id: str, *, timeout_seconds: float = 600) -> Iterator["_MemoryTokens"]:
        """The tokens, to be replaced by one thread at a time."""
        with self._lock:
            yield self

    def store(self, tokens: StoredTokens, *, timeout_seconds: float = 0) -> None:
        """Replace the tokens."""
        self.tokens = tokens

    def install(self, tokens: StoredTokens, *, timeout_seconds: float = 0) -> None:
        """Replace the tokens."""
        self.tokens = tokens

    def set_aside(self, tokens: StoredTokens, account_id: str, *, timeout_seconds: float = 0) -> None:
        """Forget them."""

    def location_tokens(
        self, tenant_id: str, *, known: Collection[str] = ()
    ) -> dict[str, AccessToken | RefusedLocation]:
        """None are kept here: an engine keeps them itself."""
        return {}

    def store_location_tokens(
        self, tenant_id: str, tokens: Mapping[str, AccessToken | RefusedLocation]
    ) -> None:
        """Leave it to the engine."""


def _tenant_of(accounts: Accounts) -> Tenant:
    """The agency as a tenant."""
    return Tenant(
        tenant_id="agency",
        ghl_account_id=next(iter(accounts.agencies)),
        account_kind=AccountKind.COMPANY,
        credential="oauth",
    )


def _calls(captures: list[Capture], counted: Callable[[str, int | None], bool]) -> int:
    return sum(
        count
        for capture in captures
        for (endpoint, status), count in capture.api_calls.items()
        if counted(endpoint, status)
    )


def _done(
    stopwatch: Stopwatch, *, calls: int, company_calls: int = 0, refused: int = 0, records: int = 0
) -> Done:
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return Done(
        calls=calls,
        began_at=stopwatch.began_at,
        company_calls=company_calls,
        refused=refused,
        records=records,
        wall_seconds=stopwatch.wall_seconds,
        cpu_seconds=stopwatch.cpu_seconds,
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit,
    )


def _now() -> datetime:
    return datetime.now(UTC)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
