"""The real webserver and daemon on a free port, and GraphQL as the UI speaks it."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from ghl_snapshots.local.environment import WORKSPACE
from ghl_snapshots.local.processes import Processes, Record
from ghl_snapshots_tests.command_line import free_port
from ghl_snapshots_tests.end_to_end import daemon
from ghl_snapshots_tests.waiting import eventually

_SCRIPTS = Path(sys.executable).parent
_WORKSPACE = ("-w", str(WORKSPACE))


class Webserver:
    """A client of the webserver's GraphQL."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/graphql"
        self._session = requests.Session()
        self._session.trust_env = False

    def query(self, query: str, **variables: object) -> Any:
        """The data of an answer; GraphQL's own errors fail the test."""
        answer = self._session.post(self._url, json={"query": query, "variables": variables}, timeout=30)
        body = answer.json()
        assert "errors" not in body, body["errors"]
        return body["data"]

    def close(self) -> None:
        self._session.close()


class Daemon:
    """The daemon, which a test may kill and start again."""

    def __init__(self, processes: Processes, environment: Mapping[str, str]) -> None:
        self._processes = processes
        self._environment = environment
        self._process = self._started()

    def kill(self) -> None:
        """Let it die without a word."""
        self._process.kill()
        self._process.wait()

    def start(self) -> None:
        """Start another one in its place."""
        self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        return self._processes.start(
            "daemon", [sys.executable, "-m", daemon.__name__, "run", *_WORKSPACE], self._environment
        )


@contextmanager
def running_stack(environment: Mapping[str, str], folder: Path) -> Iterator[tuple[Webserver, Daemon]]:
    """Webserver and daemon as `ghl-snapshots dev` starts them, ready to be asked."""
    port = free_port()
    environment = {**environment, "DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS": "1"}
    with Record(folder / "processes.json") as record, Processes(record) as processes:
        webserver = [str(_SCRIPTS / "dagster-webserver"), "-h", "127.0.0.1", "-p", str(port), *_WORKSPACE]
        processes.start("webserver", webserver, environment)
        started = Daemon(processes, environment)
        client = Webserver(port)
        try:
            eventually(lambda: is_healthy(client, processes), "the webserver and the daemon are ready")
            yield client, started
        finally:
            client.close()


def is_healthy(client: Webserver, processes: Processes) -> bool:
    """Whether the webserver answers and says that the daemon works."""
    assert processes.ended() is None, processes.ended()
    try:
        data = client.query(
            "{ instance { daemonHealth { allDaemonStatuses { daemonType healthy required } } } }"
        )
    except requests.RequestException:
        return False
    statuses = data["instance"]["daemonHealth"]["allDaemonStatuses"]
    return all(status["healthy"] for status in statuses if status["required"])
