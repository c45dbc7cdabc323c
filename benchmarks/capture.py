"""How fast and how lean captures are: `python benchmarks/capture.py`, about two minutes on two cores.

Each row runs in a process of its own against a simulated GHL in another. `ideal` is calls x latency over
threads, `CPU` the client's alone. The first row of each latency is a plain loop that neither checks nor
stores: the same `requests` library, as many threads, each location's token in hand.
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from threading import local
from typing import Any

import requests
from rich.console import Console
from rich.table import Table

from ghl_snapshots.capture import CaptureEngine
from ghl_snapshots.ghl.client import GhlClient
from ghl_snapshots.ghl.credentials import Credentials
from ghl_snapshots.ghl.deadline import Deadline
from ghl_snapshots.ghl.endpoints import LOCATION_ENDPOINTS
from ghl_snapshots.ghl.limits import RateLimiter
from ghl_snapshots.ghl.oauth import OAuthApp
from ghl_snapshots.ghl.retries import Retries
from ghl_snapshots.ghl.transport import Timeouts, Transport
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.model import AccountKind, Capture, SnapshotType, Source, StoredTokens, Tenant
from ghl_snapshots.simulator.accounts import Accounts
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.server import Simulator

SEED = 1
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True, kw_only=True)
class World:
    """What the simulated GHL of a row is like."""

    locations: int
    threads: int
    latency_ms: int = 0
    burst: int = 10**9
    interval_seconds: float = 10.0

    def accounts(self) -> Accounts:
        """One agency; the same in every process."""
        return generated_accounts(SEED, tenants=1, locations_per_agency=self.locations)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a row took."""

    calls: int
    refused: int
    records: int
    wall_seconds: float
    cpu_seconds: float
    peak_mb: float


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    name: str
    world: World
    work: Callable[[str, World], tuple[int, int, int]]
    """Does the work against a base URL; gives calls, 429s and records."""


class NoLimiter(RateLimiter):
    """Lets everything through at once."""

    def acquire(self, resource_id: str, deadline: Deadline) -> None:
        """Never wait."""

    def observe(self, resource_id: str, headers: Mapping[str, str], status: int | None) -> None:
        """Learn nothing."""


@dataclass
class MemoryTokens:
    """A token store without a database; it is its own lock, because one capture runs at a time."""

    tokens: StoredTokens | None = field(repr=False)

    def load(self, _tenant_id: str) -> StoredTokens | None:
        """The tokens."""
        return self.tokens

    @contextmanager
    def locked(self, _tenant_id: str) -> Iterator["MemoryTokens"]:
        """The tokens, to be replaced."""
        yield self

    def store(self, tokens: StoredTokens) -> None:
        """Replace the tokens."""
        self.tokens = tokens


def plain_loop(base_url: str, world: World) -> tuple[int, int, int]:
    """The first page of every list of every location, by a thread pool and nothing else."""
    asked = [
        (location, endpoint)
        for endpoint in LOCATION_ENDPOINTS
        if endpoint.parent is None
        for location in world.accounts().locations.values()
    ]
    threads = local()

    def ask(number: int) -> int:
        location, endpoint = asked[number]
        if not hasattr(threads, "session"):
            threads.session = requests.Session()
            threads.session.trust_env = False
        paging = {"SKIP": {"skip": "0"}, "OFFSET": {"offset": "0"}}.get(endpoint.paging.name, {})
        size = {"PAGE": "pageSize", "NONE": ""}.get(endpoint.paging.name, "limit")
        reply = threads.session.get(
            base_url + endpoint.path.format(locationId=location.location_id),
            params={
                **{name: value.format(locationId=location.location_id) for name, value in endpoint.query},
                **paging,
                **({size: str(endpoint.page_size)} if size else {}),
            },
            headers={
                "Authorization": f"Bearer {location.private_integration_token}",
                "Version": endpoint.api_version,
            },
        )
        reply.raise_for_status()
        return len(reply.json())

    with _stopwatch.running(), ThreadPoolExecutor(world.threads) as pool:
        return len(list(pool.map(ask, range(len(asked))))), 0, 0


def capture_all(base_url: str, world: World) -> tuple[int, int, int]:
    """All five types of the agency, one after the other."""
    return _captured(base_url, world, RateLimiter(), tuple(SnapshotType), lambda _: None)


def capture_unlimited(base_url: str, world: World) -> tuple[int, int, int]:
    """The same without the limiter."""
    return _captured(base_url, world, NoLimiter(), tuple(SnapshotType), lambda _: None)


def capture_locations(base_url: str, world: World) -> tuple[int, int, int]:
    """The type `locations` of the agency."""
    return _captured(base_url, world, RateLimiter(), (SnapshotType.LOCATIONS,), lambda _: None)


def capture_and_store(base_url: str, world: World) -> tuple[int, int, int]:
    """All five types, each appended to a ledger in an embedded PostgreSQL that runs already."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(EmbeddedPostgres(home))
        migrate(server.url("ledger"))
        database = stack.enter_context(Database(server.url("ledger")))
        TenantRegistry(database).add(tenant_of(world.accounts()))
        ledger = Ledger(database)
        return _captured(base_url, world, RateLimiter(), tuple(SnapshotType), ledger.append)


def tenant_of(accounts: Accounts) -> Tenant:
    """The agency as a tenant."""
    return Tenant(
        tenant_id="agency",
        ghl_account_id=next(iter(accounts.agencies)),
        account_kind=AccountKind.COMPANY,
        credential="oauth",
    )


def _captured(
    base_url: str,
    world: World,
    limiter: RateLimiter,
    types: tuple[SnapshotType, ...],
    store: Callable[[Capture], object],
) -> tuple[int, int, int]:
    accounts = world.accounts()
    agency = next(iter(accounts.agencies.values()))
    client = GhlClient(Transport(base_url, Timeouts()), limiter, Retries(max_attempts=10), clock=_now)
    credentials = Credentials(
        client,
        environ={},
        app=OAuthApp(client_id=accounts.client_id, client_secret=accounts.client_secret),
        store=MemoryTokens(StoredTokens(refresh_token=agency.refresh_token)),
        clock=_now,
    )
    calls = refused = records = 0
    with (
        _stopwatch.running(),
        CaptureEngine(
            client, credentials, concurrency=world.threads, capture_timeout_seconds=600, clock=_now
        ) as engine,
    ):
        for snapshot_type in types:
            capture = engine.capture(
                tenant_of(accounts), snapshot_type, source=Source.MANUAL, correlation_id="benchmark"
            )
            if capture.errors:
                sys.stderr.write(f"{snapshot_type}: {len(capture.errors)} errors: {capture.errors[0]}\n")
            store(capture)
            calls += capture.api_call_count
            refused += sum(count for (_, status), count in capture.api_calls.items() if status == 429)
            records += capture.record_count
    return calls, refused, records


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Stopwatch:
    """Time and CPU of this process while `running`, without a database's start and stop."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure the block."""
        wall, cpu = time.perf_counter(), _cpu_seconds()
        yield
        self.wall_seconds, self.cpu_seconds = time.perf_counter() - wall, _cpu_seconds() - cpu


_stopwatch = Stopwatch()


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _measure(answer: Connection, base_url: str, row: Row) -> None:
    """Do a row's work in this process and send what it took."""
    calls, refused, records = row.work(base_url, row.world)
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    answer.send(
        Measured(
            calls=calls,
            refused=refused,
            records=records,
            wall_seconds=_stopwatch.wall_seconds,
            cpu_seconds=_stopwatch.cpu_seconds,
            peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit,
        )
    )


def _serve(channel: Connection, world: World) -> None:
    """Serve a world in this process until the other end hangs up."""
    with Simulator(
        world.accounts(),
        latency_seconds=world.latency_ms / 1000,
        burst_limit=world.burst,
        burst_window_seconds=world.interval_seconds,
        daily_limit=10**9,
    ) as simulator:
        channel.send(simulator.base_url)
        try:
            channel.recv()
        except EOFError:
            return


def _run(row: Row) -> Measured:
    channel, far = _SPAWN.Pipe()
    server = _SPAWN.Process(target=_serve, args=(far, row.world))
    server.start()
    far.close()
    base_url = channel.recv()
    answer, sender = _SPAWN.Pipe(duplex=False)
    client = _SPAWN.Process(target=_measure, args=(sender, base_url, row))
    client.start()
    sender.close()
    try:
        measured: Measured = answer.recv()
    finally:
        client.join()
        channel.close()
        server.join()
    return measured


def _rows(locations: int, large: int, threads: int) -> list[Row]:
    rows = []
    for latency in (0, 20, 100):
        world = World(locations=locations, threads=threads, latency_ms=latency)
        rows += [
            Row(name="plain requests loop", world=world, work=plain_loop),
            Row(name="capture, limiter off", world=world, work=capture_unlimited),
            Row(name="capture, limiter on", world=world, work=capture_all),
            Row(name="capture and store", world=world, work=capture_and_store),
        ]
    tight = World(locations=locations, threads=threads, latency_ms=20, burst=20, interval_seconds=1.0)
    rows.append(Row(name="limit 20 a second, limiter off", world=tight, work=capture_unlimited))
    rows.append(Row(name="limit 20 a second, limiter on", world=tight, work=capture_all))
    if large:
        rows.append(
            Row(name="type locations", world=World(locations=large, threads=threads), work=capture_locations)
        )
    return rows


def main() -> None:
    """Run every row and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--locations", type=int, default=50, help="locations of the agency (50)")
    parser.add_argument("--large", type=int, default=2000, help="of the large agency; 0 leaves it out (2000)")
    parser.add_argument("--threads", type=int, default=16, help="requests under way at once (16)")
    options = parser.parse_args()
    table = Table(title=f"{options.threads} threads; five snapshot types of one agency")
    for heading in ("locations", "latency", "what", "calls", "429s", "records", "wall s", "calls/s"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for heading in ("ideal s", "wall/ideal", "CPU ms a call", "CPU/plain", "peak MB"):
        table.add_column(heading, justify="right")
    plain: dict[int, float] = {}
    for row in _rows(options.locations, options.large, options.threads):
        measured = _run(row)
        cost = measured.cpu_seconds * 1000 / measured.calls
        if row.work is plain_loop:
            plain[row.world.latency_ms] = cost
        table.add_row(*_cells(row, measured, cost, plain.get(row.world.latency_ms)))
    Console(width=150).print(table)


def _cells(row: Row, measured: Measured, cost: float, plain: float | None) -> list[str]:
    ideal = measured.calls * row.world.latency_ms / 1000 / row.world.threads
    values: list[Any] = [
        row.world.locations,
        f"{row.world.latency_ms} ms",
        row.name,
        measured.calls,
        measured.refused,
        measured.records,
        f"{measured.wall_seconds:.2f}",
        f"{measured.calls / measured.wall_seconds:.0f}",
        f"{ideal:.2f}" if ideal else "",
        f"{measured.wall_seconds / ideal:.2f}" if ideal else "",
        f"{cost:.2f}",
        f"{cost / plain:.2f}" if plain else "",
        f"{measured.peak_mb:.0f}",
    ]
    return [str(value) for value in values]


if __name__ == "__main__":
    main()
