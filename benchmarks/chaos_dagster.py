"""Whether a run that Dagster accepted stores every snapshot once while Dagster's processes are killed.

The second table of benchmarks.chaos. Webserver and daemon run as `ghl-snapshots dev` starts them, each with a
code server of its own. A row launches a capture of two types of all tenants over the webserver, whose answer
promises a snapshot of each tenant and type, and asks the API for all types of one, whose 202 promises those.
All kills are SIGKILL; what died is started again as a supervisor would, except the run and the code server,
which Dagster has to replace itself.
"""

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import dagster as dg
import psutil
from dagster_graphql import DagsterGraphQLClient

from benchmarks.chaos_rounds import Round, Troubles
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.local.dev import webserver_answers
from ghl_snapshots.local.endings import wait_for_end
from ghl_snapshots.local.environment import WORKSPACE, migrate_databases, product_environment, variables
from ghl_snapshots.local.processes import Processes, Record
from ghl_snapshots.orchestration import dagster_tags
from ghl_snapshots.orchestration.instance import prepare_storage
from ghl_snapshots.orchestration.partitions import TenantRange, add_partitions

_HOST = "127.0.0.1"
_LOCATION = "ghl_snapshots.definitions"
_NO_TICKS = {f"GHL_SNAPSHOTS_{cadence}_CRON": "0 0 1 1 *" for cadence in ("HOURLY", "DAILY", "WEEKLY")}
_TYPES = (SnapshotType.PIPELINES, SnapshotType.WORKFLOWS)
_UNDER_WAY = 10
"""So many snapshots of a run are stored when the trouble begins."""
_PATIENCE_SECONDS = 240
_RESTARTS = 3
_RESTART_SECONDS = 5.0


class Server(Protocol):
    """The PostgreSQL below."""

    folder: Path
    accepted: set[str]
    """Requests that the API beside it has accepted."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that name it to the product."""

    def trigger(self) -> None:
        """Ask the API for a tenant's captures."""

    def restart(self) -> None:
        """Shut it down and start it."""

    def ask(self, query: str, *parameters: object) -> list[tuple[str, ...]]:
        """What a query finds, once the server answers."""


@dataclass(slots=True, kw_only=True)
class Dagster:
    """Webserver and daemon of a product, and the instance that they work on."""

    processes: Processes
    instance: dg.DagsterInstance
    port: int
    _running: dict[str, psutil.Process] = field(default_factory=dict)
    _left: list[psutil.Process] = field(default_factory=list)

    def start(self, name: str) -> None:
        """Start one of the two, which does not run."""
        arguments = ("-h", _HOST, "-p", str(self.port)) if name == "dagster-webserver" else ("run",)
        command = [str(Path(sys.executable).parent / name), *arguments, "-w", str(WORKSPACE)]
        child = self.processes.start(name, command, {**os.environ, **_NO_TICKS})
        self._running[name] = psutil.Process(child.pid)

    def kill(self, name: str) -> None:
        """Kill one of the two and start another in its place; what it started is left alone."""
        process = self._running[name]
        self._left += process.children(recursive=True)
        process.kill()
        wait_for_end([process], timeout_seconds=10)
        self.start(name)

    def kill_code_server(self, name: str) -> None:
        """Kill the processes in which one of the two has the product's code, two after a reload."""
        for each in self._running[name].children():
            if {"api", "grpc"} <= set(each.cmdline()):
                self._left += each.children(recursive=True)
                each.kill()

    def kill_run(self, run_id: str) -> None:
        """Kill the process that executes the run."""
        for entry in self.instance.all_logs(run_id):
            if found := re.search(r"Started process for run \(pid: (\d+)\)", entry.message):
                psutil.Process(int(found[1])).kill()

    def end_the_left(self) -> None:
        """End what killed processes had started, as far as it has not ended by itself."""
        for each in wait_for_end(self._left, timeout_seconds=1):
            each.kill()

    def answers(self) -> bool:
        """Whether the webserver is up."""
        return webserver_answers(self.port)

    def launch(self, correlation_id: str, tenants: Sequence[str]) -> str:
        """Have the webserver launch a capture of the tenants; the run's id."""
        tags = {
            **TenantRange(first=tenants[0], last=tenants[-1]).tags(),
            dagster_tags.CORRELATION_ID: correlation_id,
            dagster_tags.SOURCE: "scheduled",
        }
        client = DagsterGraphQLClient(_HOST, port_number=self.port, timeout=60)
        return client.submit_job_execution(
            "full_snapshot",
            repository_location_name=_LOCATION,
            repository_name="__repository__",
            tags=tags,
            asset_selection=[snapshot_type.value for snapshot_type in _TYPES],
        )


def kill_run(dagster: Dagster, _server: Server, run_id: str) -> None:
    """The run's process is killed."""
    dagster.kill_run(run_id)


def kill_daemon(dagster: Dagster, _server: Server, _run_id: str) -> None:
    """The daemon is killed and started."""
    dagster.kill("dagster-daemon")


def kill_webserver(dagster: Dagster, _server: Server, _run_id: str) -> None:
    """The webserver is killed and started."""
    dagster.kill("dagster-webserver")


def kill_code_server(dagster: Dagster, _server: Server, _run_id: str) -> None:
    """The daemon's code server, which started the run's process, is killed."""
    dagster.kill_code_server("dagster-daemon")


def restart_server(_dagster: Dagster, server: Server, _run_id: str) -> None:
    """The server restarts every few seconds, below the run, Dagster's records and whatever is retried."""
    for _ in range(_RESTARTS):
        server.restart()
        time.sleep(_RESTART_SECONDS)


TROUBLES: Mapping[str, Callable[[Dagster, Server, str], None]] = {
    "a run is killed": kill_run,
    "the daemon is killed": kill_daemon,
    "the webserver is killed": kill_webserver,
    "the daemon's code server is killed": kill_code_server,
    f"PostgreSQL restarts every {_RESTART_SECONDS:.0f} s": restart_server,
}


@contextmanager
def running(server: Server, port: int, tenants: Sequence[str]) -> Iterator[Dagster]:
    """Webserver and daemon of the product in the server's environment."""
    home = server.folder / "home"
    with (
        variables({**server.environment, "GHL_SNAPSHOTS_HOME": str(home)}),
        product_environment() as settings,
    ):
        migrate_databases(settings, print)
        prepare_storage()
        with (
            Record(home / "processes.json") as record,
            Processes(record) as processes,
            dg.DagsterInstance.get() as instance,
        ):
            add_partitions(instance, tenants)
            dagster = Dagster(processes=processes, instance=instance, port=port)
            for name in ("dagster-webserver", "dagster-daemon"):
                dagster.start(name)
            try:
                yield dagster
            finally:
                dagster.end_the_left()


def wait_until(happened: Callable[[], bool]) -> bool:
    """Wait for it, but not for ever; whether it happened."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not (found := happened()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def one_row(
    dagster: Dagster,
    server: Server,
    tenants: Sequence[str],
    correlation_id: str,
    trouble: Callable[[Dagster, Server, str], None],
) -> Round:
    """Capture through trouble; `seconds` is how long after it all is there."""

    def stored() -> list[str]:
        query = (
            "SELECT tenant_id || ' ' || snapshot_type FROM ghl.snapshot "
            "WHERE correlation_id = %s AND status = 'success'"
        )
        return [row[0] for row in server.ask(query, correlation_id)]

    def has(count: int) -> bool:
        return len(set(stored())) >= count

    def unserved() -> set[str]:
        query = (
            "SELECT correlation_id FROM ghl.snapshot WHERE status = 'success' GROUP BY 1 "
            "HAVING count(DISTINCT (tenant_id, snapshot_type)) = (SELECT count(*) FROM ghl.snapshot_type)"
        )
        return requests - {row[0] for row in server.ask(query)}

    if not wait_until(dagster.answers):
        raise RuntimeError("the webserver does not answer")
    promised = len(tenants) * len(_TYPES)
    run_id, before = dagster.launch(correlation_id, tenants), set(server.accepted)
    server.trigger()
    requests = server.accepted - before
    if not wait_until(partial(has, _UNDER_WAY)):
        raise RuntimeError(f"run {run_id} does not begin")
    trouble(dagster, server, run_id)
    began = time.monotonic()
    wait_until(lambda: has(promised) and not unserved())
    seconds = time.monotonic() - began
    found = stored()
    return Round(
        acknowledged=promised + len(requests),
        lost=promised - len(set(found)) + len(unserved()),
        doubled=len(found) - len(set(found)),
        seconds=seconds,
    )


def make_trouble(server: Server, *, port: int, rounds: int) -> Troubles:
    """Make trouble, so many rounds of each."""
    tenants = [row[0] for row in server.ask("SELECT tenant_id FROM ghl.tenant ORDER BY 1")]
    with running(server, port, tenants) as dagster:
        found = {
            name: [
                one_row(dagster, server, tenants, f"scheduled_dagster_{number}_{place}", trouble)
                for number in range(rounds)
            ]
            for place, (name, trouble) in enumerate(TROUBLES.items())
        }
    title = f"{rounds} rounds of Dagster runs, {len(tenants)} tenants, {len(_TYPES)} types"
    return Troubles(title=title, took="complete after", rounds=found)
