"""`make cluster`: the whole product with the demo's accounts, as on several hosts, until Ctrl-C."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ghl_snapshots.core.errors import GhlSnapshotsError
from ghl_snapshots.core.signals import ended_by_signals
from ghl_snapshots.local.environment import migrate_databases, product_environment, variables
from ghl_snapshots.local.simulated import simulated_ghl
from ghl_snapshots.orchestration.instance import prepare_storage
from ghl_snapshots_tests.end_to_end.hosts import Hosts, running_hosts, tcp_postgres
from ghl_snapshots_tests.ghl.rig import KEY

PORT = 3000


@contextmanager
def cluster(folder: Path, port: int, say: Callable[[str], None]) -> Iterator[Hosts]:
    """The hosts with the demo's accounts as tenants, at a simulated GHL."""
    with ExitStack() as stack:
        server = stack.enter_context(tcp_postgres(folder / "postgres"))
        own = {
            "GHL_SNAPSHOTS_DATABASE_URL": server.url("ghl_snapshots"),
            "GHL_SNAPSHOTS_HOME": str(folder / "home"),
            "GHL_SNAPSHOTS_ENCRYPTION_KEYS": KEY,
        }
        stack.enter_context(variables(own))
        settings = stack.enter_context(product_environment())
        migrate_databases(settings, print)
        prepare_storage()
        ghl = stack.enter_context(simulated_ghl(settings))
        say(f"PostgreSQL     {server.url('ghl_snapshots')}")
        say(f"Simulated GHL  {ghl.base_url}")
        hosts = stack.enter_context(
            running_hosts(dict(os.environ), folder, port=port, daemon_program=["dagster-daemon"])
        )
        say(f"Broker         {hosts.broker.url}")
        say(f"Processes      {', '.join(f'{name} ({it.pid})' for name, it in hosts.running.items())}")
        say(f"Dagster        http://127.0.0.1:{port}   (Ctrl-C ends everything)")
        yield hosts


def main() -> int:
    """Run it; the exit code."""
    try:
        with ended_by_signals(), TemporaryDirectory(prefix="ghl_snapshots_cluster_") as folder:
            Path(folder).chmod(0o755)  # PostgreSQL's user is another one where this is run by root
            with cluster(Path(folder), PORT, lambda line: print(line, flush=True)) as hosts:  # noqa: T201
                while hosts.processes.ended() is None:
                    time.sleep(0.5)
                raise GhlSnapshotsError(f"{hosts.processes.ended()} ended by itself.")
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
