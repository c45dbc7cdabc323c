"""What a tick costs Dagster's daemon when there are many tenants.

python -m benchmarks.scale [--tenants 10000] [--baseline CHECKOUT] [--markdown]

Ten minutes on two cores. So many tenants are registered and have partitions; then the hourly schedule is
due, in the real daemon, and the queue lets no run work. Measured from the tick's minute: the seconds until
all its runs are created, the CPU of the daemon with its code server and of PostgreSQL, the connections at
once, the rows and bytes that it leaves in Dagster's database. Then one of these runs is executed in a
process of its own at a GHL that nobody serves, so that its CPU is what Dagster and the product cost.
`--baseline` measures a checkout of another commit first, with this program.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, chdir, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import psutil
import psycopg

from benchmarks.measuring import Comparison
from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.model import AccountKind, SnapshotType, Tenant
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.environment import product_environment, variables
from ghl_snapshots.orchestration.instance import prepare_storage
from ghl_snapshots.orchestration.partitions import TenantRange, add_partitions
from ghl_snapshots_tests.ledger.captures import capture

A_RUN = 50
TIMEOUT_SECONDS = 1800
_MODULE = ("-m", "ghl_snapshots.definitions")
_SCHEDULE = dg.RunsFilter(tags={"dagster/schedule_name": "hourly_critical"})


@contextmanager
def registered(tenants: int) -> Iterator[None]:
    """The product with so many tenants, each with a partition, and no run that starts."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        # Python looks in the current folder first, and the commit to compare with is elsewhere.
        stack.enter_context(chdir(folder))
        environment = {
            "GHL_SNAPSHOTS_HOME": folder,
            "GHL_BASE_URL": "http://127.0.0.1:9",  # where nobody listens
            "GHL_SNAPSHOTS_TENANTS_PER_RUN": str(A_RUN),
            "GHL_SNAPSHOTS_MAX_ATTEMPTS": "1",
            "GHL_SNAPSHOTS_HOURLY_CRON": "0 0 1 1 *",
            "GHL_SNAPSHOTS_DAILY_CRON": "0 0 1 1 *",
            "GHL_SNAPSHOTS_WEEKLY_CRON": "0 0 1 1 *",
            "TOKEN": "pit-benchmark",
        }
        stack.enter_context(variables(environment))
        settings = stack.enter_context(product_environment())
        # By its command, which has not changed since the commits to compare with.
        subprocess.run([sys.executable, "-m", "ghl_snapshots", "migrate"], stdout=sys.stderr, check=True)
        prepare_storage()
        made = [
            Tenant(
                tenant_id=f"tenant_{number:06}",
                ghl_account_id=f"account-tenant_{number:06}",
                account_kind=AccountKind.LOCATION,
                credential="env:TOKEN",
            )
            for number in range(tenants)
        ]
        with open_database(settings) as database:
            TenantRegistry(database).import_all(made)
            ledger = Ledger(database)
            for tenant in made:  # or the sensor of new tenants would ask for a first capture of each
                ledger.append(capture(tenant.tenant_id, snapshot_type=SnapshotType.WORKFLOWS))
        with dg.DagsterInstance.get() as instance:
            add_partitions(instance, [tenant.tenant_id for tenant in made])
        configuration = Path(os.environ["DAGSTER_HOME"]) / "dagster.yaml"
        text = configuration.read_text("utf-8")
        configuration.write_text(text.replace("max_concurrent_runs: 4", "max_concurrent_runs: 0"), "utf-8")
        yield


def measure(tenants: int) -> Mapping[str, str]:
    """The figures of this commit, by what they are."""
    with registered(tenants):
        # Two minutes for the daemon to come up.
        due = (datetime.now(UTC) + timedelta(seconds=150)).replace(second=0, microsecond=0)
        os.environ["GHL_SNAPSHOTS_HOURLY_CRON"] = f"{due.minute} {due.hour} * * *"
        rows_before, bytes_before = dagster_rows(), dagster_bytes()
        script = str(Path(sys.executable).parent / "dagster-daemon")
        daemon = subprocess.Popen(
            [script, "run", *_MODULE], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            tick, wanted = due.timestamp(), -(-tenants // A_RUN)
            time.sleep(max(0.0, tick - time.time()))
            daemon_before, postgres_before = cpu(psutil.Process(daemon.pid)), cpu(server())
            connections = 0
            with dg.DagsterInstance.get() as instance:
                while instance.get_runs_count(_SCHEDULE) < wanted:
                    if time.time() > tick + TIMEOUT_SECONDS:
                        raise SystemExit("The tick's runs were not all created.")
                    connections = max(connections, open_connections())
                    time.sleep(0.5)
                seconds = time.time() - tick
            daemon_seconds = cpu(psutil.Process(daemon.pid)) - daemon_before
            postgres_seconds = cpu(server()) - postgres_before
        finally:
            daemon.terminate()
            daemon.wait()
        rows, size = dagster_rows() - rows_before, dagster_bytes() - bytes_before
        return {
            "runs of the tick": f"{wanted:,}",
            "seconds until all are created": f"{seconds:,.0f}",
            "CPU seconds: daemon and code server": f"{daemon_seconds:,.0f}",
            "CPU seconds: PostgreSQL": f"{postgres_seconds:,.0f}",
            "connections at once": f"{connections:,}",
            "events in Dagster's database": f"{rows:,}",
            "MB in Dagster's database": f"{size / 1e6:,.1f}",
            "CPU ms a tenant in a run, without GHL": f"{run_cpu() * 1000 / A_RUN:,.0f}",
        }


def run_cpu() -> float:
    """CPU seconds of a run over the first batch, in a process of its own."""
    tags = {
        **TenantRange(first="tenant_000000", last=f"tenant_{A_RUN - 1:06}").tags(),
        "dagster/ghl_snapshots_correlation_id": "scheduled_benchmark_1",
        "dagster/ghl_snapshots_source": "scheduled",
    }
    command = [sys.executable, "-m", "dagster", "job", "execute", *_MODULE, "-j", "critical_snapshot"]
    process = subprocess.Popen(
        [*command, "--tags", json.dumps(tags)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    usage = os.wait4(process.pid, 0)[2]
    return usage.ru_utime + usage.ru_stime


def server() -> psutil.Process:
    """The embedded PostgreSQL."""
    pid_file = Path(os.environ["GHL_SNAPSHOTS_HOME"]) / "postgres/data/postmaster.pid"
    return psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))


def cpu(process: psutil.Process) -> float:
    """CPU seconds of a process and all that it started, those that have ended among them."""
    seconds = 0.0
    for member in (process, *process.children(recursive=True)):
        times = member.cpu_times()
        seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


def dagster_value(query: str) -> int:
    """A number out of Dagster's database."""
    url = os.environ["GHL_SNAPSHOTS_DAGSTER_DATABASE_URL"].replace("+psycopg2", "")
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    return int(row[0]) if row else 0


def dagster_rows() -> int:
    """Events in Dagster's database."""
    return dagster_value("SELECT count(*) FROM event_logs")


def dagster_bytes() -> int:
    """Its size."""
    return dagster_value("SELECT pg_database_size(current_database())")


def open_connections() -> int:
    """Connections to the server, of all databases."""
    return dagster_value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tenants", type=int, default=10_000)
    parser.add_argument("--baseline", type=Path, help="a checkout of the commit to compare with")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.json:
        print(json.dumps(measure(options.tenants)))  # noqa: T201
        return
    before = _of_checkout(options.baseline, options.tenants) if options.baseline else {}
    now = measure(options.tenants)
    columns = ("before", "now") if before else ("now",)
    table = Comparison(f"{options.tenants:,} tenants", *columns, markdown=options.markdown)
    for what, value in now.items():
        table.row(what, *([before[what], value] if before else [value]))
    table.print()


def _of_checkout(checkout: Path, tenants: int) -> Mapping[str, str]:
    """The figures of another commit, by this program."""
    path = os.pathsep.join([str(checkout), str(Path(__file__).parents[1])])
    # -P: without the current folder on the path; this program is looked up behind the checkout's own package.
    command = [sys.executable, "-P", "-m", "benchmarks.scale", "--json", "--tenants", str(tenants)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, check=True)
    figures: dict[str, str] = json.loads(done.stdout)
    return figures


if __name__ == "__main__":
    main()
