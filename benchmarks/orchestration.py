"""What a tenant costs in Dagster.

python -m benchmarks.orchestration [--tenants 1 10 100 1000] [--jobs hourly daily] [--markdown]

Some ten minutes on two cores. One typical location a tenant, a simulated GHL at 20 ms in another process, all
of it stored in an embedded PostgreSQL. A run is a process of its own that loads the product, executes the job
over a range of partitions and keeps its events in Dagster's storage, as those that the daemon launches do,
three at a time, which is what dagster.yaml leaves to scheduled runs. Its CPU is that process's with its
imports, PostgreSQL's is beside it, the daemon's and the simulator's are not measured. `hourly, new` finds
everything new, `hourly` afterwards nothing changed, and `daily` three of its five types new. The rows of one
tenant a run are reckoned up from a sample of a few; `beyond the start` leaves out what a run over one tenant
costs.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import dagster as dg
import psutil
import psycopg
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.capture_work import TYPICAL
from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.model import AccountKind, Tenant
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.environment import migrate_databases, product_environment, variables
from ghl_snapshots.orchestration.instance import prepare_storage
from ghl_snapshots.orchestration.partitions import TenantRange, add_partitions
from ghl_snapshots.orchestration.schedules import DAILY, HOURLY, ScheduleSpec
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.server import Simulator

SEED = 1
LATENCY_SECONDS = 0.02
SAMPLE = 4
MEGABYTE = 1024 if sys.platform == "linux" else 1024**2
"""In the unit in which the system reports a process's memory."""
_SPAWN = multiprocessing.get_context("spawn")
_HEADINGS = (
    "job",
    "tenants",
    "a run",
    "runs",
    "wall s",
    "CPU s: runs",
    "PostgreSQL",
    "together",
    "CPU ms a tenant",
    "and type",
    "beyond the start",
    "events a tenant",
    "peak MB",
)


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

    @property
    def together_seconds(self) -> float:
        """CPU of the runs and of PostgreSQL."""
        return self.cpu_seconds + self.postgres_seconds


def simulate(tenants: int, parent: Connection) -> None:
    """Serve the accounts until the parent closes its end."""
    accounts = generated_accounts(SEED, tenants=tenants, sizes=TYPICAL)
    with Simulator(accounts, latency_seconds=LATENCY_SECONDS, burst_limit=10**9) as simulator:
        tokens = [(place.location_id, place.private_integration_token) for place in accounts.single_locations]
        parent.send((simulator.base_url, tokens))
        parent.recv()


@contextmanager
def world(tenants: int) -> Iterator[Sequence[str]]:
    """The product with so many tenants; the partitions in their order."""
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
        migrate_databases(settings, print)
        prepare_storage()
        with open_database(settings) as database:
            TenantRegistry(database).import_all(registered)
        with dg.DagsterInstance.get() as instance:
            partitions = add_partitions(instance, [tenant.tenant_id for tenant in registered])
        yield partitions


def measured(spec: ScheduleSpec, tenants: Sequence[str], *, a_run: int, at_once: int) -> Cost:
    """Execute the spec's job with so many tenants in each run, and so many runs at once."""
    batches = [tenants[start : start + a_run] for start in range(0, len(tenants), a_run)]
    postgres_before, events_before, began = postgres_cpu(), events(), time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        usages = list(pool.map(lambda batch: executed(spec, batch), batches))
    wall_seconds = time.monotonic() - began
    return Cost(
        runs=len(batches),
        tenants=len(tenants),
        wall_seconds=wall_seconds,
        cpu_seconds=sum(cpu for cpu, _ in usages),
        postgres_seconds=postgres_cpu() - postgres_before,
        events=events() - events_before,
        peak_mb=max(peak for _, peak in usages),
    )


def executed(spec: ScheduleSpec, batch: Sequence[str]) -> tuple[float, float]:
    """One run in a process of its own; the CPU seconds and megabytes that it took."""
    tags = {
        **TenantRange(first=batch[0], last=batch[-1]).tags(),
        "dagster/ghl_snapshots_correlation_id": f"scheduled_benchmark_{time.time_ns()}",
        "dagster/ghl_snapshots_source": "scheduled",
    }
    job = ["-m", "ghl_snapshots.definitions", "-j", spec.job_name, "--tags", json.dumps(tags)]
    program = [sys.executable, "-m", "dagster", "job", "execute", *job]
    process = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"The run over {batch[0]} ... failed.")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / MEGABYTE


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


def costs(
    tenants: Sequence[str], options: argparse.Namespace
) -> Iterator[tuple[str, ScheduleSpec, int, Cost]]:
    """Each job's name, how many tenants a run had, and what that took; a job's single tenants come first."""
    a_run, at_once, whole = options.tenants_per_run, options.at_once, len(tenants)
    if "hourly" in options.jobs:
        yield "hourly, new", HOURLY, a_run, measured(HOURLY, tenants, a_run=a_run, at_once=at_once)
        yield "hourly", HOURLY, 1, measured(HOURLY, tenants[:SAMPLE], a_run=1, at_once=at_once)
        yield "hourly", HOURLY, a_run, measured(HOURLY, tenants, a_run=a_run, at_once=at_once)
        if whole > a_run:
            yield "hourly", HOURLY, whole, measured(HOURLY, tenants, a_run=whole, at_once=1)
    if "daily" in options.jobs:
        yield "daily", DAILY, a_run, measured(DAILY, tenants, a_run=a_run, at_once=at_once)
        yield "daily", DAILY, 1, measured(DAILY, tenants[:SAMPLE], a_run=1, at_once=at_once)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tenants", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--jobs", choices=["hourly", "daily"], nargs="+", default=["hourly", "daily"])
    parser.add_argument("--tenants-per-run", type=int, default=50)
    parser.add_argument("--at-once", type=int, default=3, help="runs that work beside each other")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    options = parser.parse_args()
    table = Table(box=box.MARKDOWN if options.markdown else box.HEAVY_HEAD)
    for heading in _HEADINGS:
        table.add_column(heading, justify="left" if heading == "job" else "right", no_wrap=True)
    for count in options.tenants:
        with world(count) as tenants:
            found = list(costs(tenants, options))
            single = {spec.name: cost for _, spec, a_run, cost in found if a_run == 1}
            for name, spec, a_run, cost in found:
                table.add_row(*cells(name, spec, a_run, cost, single[spec.name], of=count))
    Console(width=200).print(table)


def cells(name: str, spec: ScheduleSpec, a_run: int, cost: Cost, single: Cost, *, of: int) -> Iterator[str]:
    """A line of the table; what was measured of a sample is reckoned up to all the tenants."""
    scale, types = of / cost.tenants, len(spec.snapshot_types)
    yield name
    yield f"{of:,}"
    yield f"{min(a_run, of):,}"
    yield f"{cost.runs * scale:,.0f}"
    for seconds in (cost.wall_seconds, cost.cpu_seconds, cost.postgres_seconds, cost.together_seconds):
        yield f"{seconds * scale:,.1f}"
    yield f"{cost.together_seconds * 1000 / cost.tenants:,.1f}"
    yield f"{cost.together_seconds * 1000 / cost.tenants / types:,.1f}"
    beyond = cost.together_seconds - cost.runs * single.together_seconds / single.runs
    more = cost.tenants - cost.runs
    yield f"{beyond * 1000 / more / types:,.1f}" if more else ""
    yield f"{cost.events / cost.tenants:,.1f}"
    yield f"{cost.peak_mb:,.0f}"


if __name__ == "__main__":
    main()
