"""What a tenant costs in Dagster: `python benchmarks/orchestration.py`, some minutes on two cores.

One location a tenant, a simulated GHL at 20 ms in another process, everything stored in an embedded
PostgreSQL. A run is a process of its own, as Dagster's launcher starts them, and its CPU is that process's
with its imports; PostgreSQL's is beside it, the daemon's is not measured. The rows `1 a run` are what the
same would cost with a run for each tenant, from a sample of a few.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import psycopg
from rich.console import Console
from rich.table import Table

from ghl_snapshots.composition import open_database
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.environment import migrate_databases, product_environment, variables
from ghl_snapshots.model import AccountKind, SnapshotType, Tenant
from ghl_snapshots.orchestration.instance import prepare_storage
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.server import Simulator

SEED = 1
LATENCY_SECONDS = 0.02
SAMPLE = 5
JOBS = {
    "hourly": (SnapshotType.PIPELINES, SnapshotType.WORKFLOWS),
    "daily": tuple(SnapshotType),
}
PROGRAM = """
import sys
from ghl_snapshots.definitions import composed
from ghl_snapshots.model import SnapshotType
from ghl_snapshots.orchestration.launch import capture_now

types, tenants = sys.argv[1].split(","), sys.argv[2].split(",")
launched = capture_now(composed, tenants, [SnapshotType(name) for name in types], reason="benchmark")
assert launched.success, launched.failures
"""
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What some runs over some tenants took."""

    runs: int
    tenants: int
    wall_seconds: float
    cpu_seconds: float
    postgres_seconds: float
    events: int
    peak_mb: float


def simulate(tenants: int, parent: Connection) -> None:
    """Serve the accounts until the parent closes its end."""
    accounts = generated_accounts(SEED, tenants=tenants)
    with Simulator(accounts, latency_seconds=LATENCY_SECONDS, burst_limit=10**9) as simulator:
        tokens = [(place.location_id, place.private_integration_token) for place in accounts.single_locations]
        parent.send((simulator.base_url, tokens))
        parent.recv()


@contextmanager
def world(tenants: int) -> Iterator[list[str]]:
    """The product with so many tenants; their ids in the order of the partitions."""
    with ExitStack() as stack:
        ours, theirs = _SPAWN.Pipe()
        process = _SPAWN.Process(target=simulate, args=(tenants, theirs))
        process.start()
        stack.callback(process.join)
        stack.callback(ours.send, None)
        base_url, tokens = ours.recv()
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        environment = {"GHL_SNAPSHOTS_HOME": folder, "GHL_BASE_URL": base_url}
        registered = []
        for number, (location_id, token) in enumerate(tokens):
            environment[f"TOKEN_{number}"] = token
            registered.append(
                Tenant(
                    tenant_id=f"tenant_{number:04}",
                    ghl_account_id=location_id,
                    account_kind=AccountKind.LOCATION,
                    credential=f"env:TOKEN_{number}",
                )
            )
        stack.enter_context(variables(environment))
        settings = stack.enter_context(product_environment())
        migrate_databases(settings)
        prepare_storage()
        with open_database(settings) as database:
            TenantRegistry(database).import_all(registered)
        yield [tenant.tenant_id for tenant in registered]


def measured(types: Sequence[SnapshotType], tenants: Sequence[str], *, a_run: int) -> Cost:
    """Capture the tenants with so many of them in each run, one run after the other."""
    batches = [tenants[start : start + a_run] for start in range(0, len(tenants), a_run)]
    wall, cpu, peak = 0.0, 0.0, 0.0
    postgres_before, events_before = postgres_cpu(), events()
    for batch in batches:
        began = time.monotonic()
        arguments = ["-c", PROGRAM, ",".join(types), ",".join(batch)]
        pid = os.posix_spawn(sys.executable, [sys.executable, *arguments], os.environ)
        _, status, usage = os.wait4(pid, 0)
        if status:
            raise SystemExit(f"The run over {batch[0]} ... failed.")
        wall += time.monotonic() - began
        cpu += usage.ru_utime + usage.ru_stime
        peak = max(peak, usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024**2))
    return Cost(
        runs=len(batches),
        tenants=len(tenants),
        wall_seconds=wall,
        cpu_seconds=cpu,
        postgres_seconds=postgres_cpu() - postgres_before,
        events=events() - events_before,
        peak_mb=peak,
    )


def postgres_cpu() -> float:
    """CPU seconds of the embedded server's processes up to now, those that have ended among them."""
    pid_file = Path(os.environ["GHL_SNAPSHOTS_HOME"]) / "postgres/data/postmaster.pid"
    server = psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))
    times = server.cpu_times()
    seconds: float = times.user + times.system + times.children_user + times.children_system
    for backend in server.children():
        with suppress(psutil.NoSuchProcess):
            own = backend.cpu_times()
            seconds += own.user + own.system
    return seconds


def events() -> int:
    """How many events Dagster has kept up to now."""
    with psycopg.connect(
        os.environ["GHL_SNAPSHOTS_DAGSTER_DATABASE_URL"].replace("+psycopg2", "")
    ) as connection:
        row = connection.execute("SELECT count(*) FROM event_logs").fetchone()
    return int(row[0]) if row else 0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenants", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--tenants-per-run", type=int, default=50)
    options = parser.parse_args()
    table = Table(
        "job",
        "tenants",
        "a run",
        "runs",
        "wall s",
        "CPU s",
        "its PostgreSQL",
        "CPU ms a tenant",
        "events a tenant",
        "MB a run",
    )
    for count in options.tenants:
        with world(count) as tenants:
            for name, types in JOBS.items():
                for a_run, some in ((options.tenants_per_run, tenants), (1, tenants[:SAMPLE])):
                    cost = measured(types, some, a_run=a_run)
                    scale = count / cost.tenants
                    table.add_row(
                        name,
                        f"{count:,}",
                        str(a_run),
                        f"{cost.runs * scale:,.0f}",
                        f"{cost.wall_seconds * scale:,.1f}",
                        f"{cost.cpu_seconds * scale:,.1f}",
                        f"{cost.postgres_seconds * scale:,.1f}",
                        f"{cost.cpu_seconds * 1000 / cost.tenants:,.1f}",
                        f"{cost.events / cost.tenants:,.1f}",
                        f"{cost.peak_mb:,.0f}",
                    )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
