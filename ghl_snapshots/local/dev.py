"""The whole product in the foreground, for `ghl-snapshots dev`."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import requests

from ghl_snapshots.core.errors import ConfigurationError, GhlSnapshotsError
from ghl_snapshots.core.settings import load_settings
from ghl_snapshots.local.environment import WORKSPACE, make_private, migrate_databases, product_environment
from ghl_snapshots.local.foreground import script
from ghl_snapshots.local.processes import DELAY_SECONDS, Processes, Record
from ghl_snapshots.local.simulated import simulated_ghl

_HOST = "127.0.0.1"
_LOG_FORMAT = "DAGSTER_CLI_API_GRPC_LOG_FORMAT"
"""Of the code servers, to which webserver and daemon do not pass theirs on."""


def run(port: int, api_port: int, say: Callable[[str], None]) -> None:
    """Run PostgreSQL, the simulated GHL unless GHL_BASE_URL is set, Dagster's webserver and daemon, the API.

    A KeyboardInterrupt, which is what `ended_by_signals` makes of a signal, ends every process it started.

    Raises:
        ConfigurationError: the port is taken, or a setting is wrong; nothing was started.
        GhlSnapshotsError: one of the processes ended.
    """
    with ExitStack() as stack:
        home = load_settings().home.absolute()
        make_private(home)
        record = stack.enter_context(Record(home / "processes.json"))
        # Dagster takes a second to import, which a refusal should not wait for.
        from ghl_snapshots.orchestration.instance import prepare_storage

        _check_free(port, "--port")
        _check_free(api_port, "--api-port")
        embedded = load_settings().database_url is None
        settings = stack.enter_context(product_environment())
        migrate_databases(settings, say)
        prepare_storage()
        if "GHL_BASE_URL" not in os.environ:
            ghl = stack.enter_context(simulated_ghl(settings))
            say(f"Simulated GHL  {ghl.base_url}")
        processes = stack.enter_context(Processes(record))  # ends before what they use
        stack.callback(
            say,
            f"Ending; what the processes say of it is in {record.last_words}. Runs go on at the next start.",
        )
        environment = _environment()
        for name, *arguments in (
            ("dagster-webserver", "-h", _HOST, "-p", str(port), "--dagster-log-level", "warning"),
            ("dagster-daemon", "run", "--log-level", "warning"),
        ):
            # By default a sensor that found nothing is a line, every second. And a code server warns each
            # minute, when the daemon has replaced it and asks it nothing any more.
            logging = ("--code-server-log-level", "error", "--log-format", environment[_LOG_FORMAT])
            command = [script(name), *arguments, *logging, "-w", str(WORKSPACE)]
            processes.start(name, command, environment)
        api = [script("ghl-snapshots"), "api", "--host", _HOST, "--port", str(api_port)]
        processes.start("api", api, environment)
        say(f"API            http://{_HOST}:{api_port}/docs")
        _watch(processes, home if embedded else None, port, say)


def _watch(processes: Processes, postgres_home: Path | None, port: int, say: Callable[[str], None]) -> None:
    """Wait until one of the processes, or the PostgreSQL under `postgres_home`, has ended by itself."""
    ready = False
    while True:
        ended = processes.ended()
        # First, since it takes others down with it.
        if postgres_home is not None and not _postgres_runs(postgres_home):
            raise GhlSnapshotsError(
                "The embedded PostgreSQL ended by itself; postgres/data/log in the home folder says why. "
                "What was committed is there again at the next start."
            )
        if ended is not None:
            name, code = ended
            processes.print_output(name)
            raise GhlSnapshotsError(_describe_end(name, code))
        if not ready and webserver_answers(port):
            ready = True
            say(f"Dagster        http://{_HOST}:{port}   (Ctrl-C ends everything)")
        time.sleep(DELAY_SECONDS / 2)


def _postgres_runs(home: Path) -> bool:
    from ghl_snapshots.local.postgres import EmbeddedPostgres  # which need not be installed

    return EmbeddedPostgres.runs_in(home)


def _environment() -> dict[str, str]:
    """Colours where a person reads along; a file gets a JSON object a line."""
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        return {**os.environ, "FORCE_COLOR": "1", _LOG_FORMAT: "colored"}
    return {**os.environ, _LOG_FORMAT: "json"}


def _describe_end(name: str, code: int) -> str:
    again = "Start `ghl-snapshots dev` again: what was captured is stored, and runs that were cut off go on."
    if code < 0:
        number = signal.Signals(-code).name
        return f"{name} was killed ({number}), as the system does when memory is short. {again}"
    return f"{name} ended by itself with exit code {code}; its last lines above say why. {again}"


def _check_free(port: int, option: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            raise ConfigurationError(
                f"Port {port} of {_HOST} is in use; end what listens there, or choose another with {option}."
            ) from None


def webserver_answers(port: int) -> bool:
    """Whether Dagster's webserver is up on this machine's port."""
    with requests.Session() as session:
        session.trust_env = False  # or a proxy from the environment would be asked
        try:
            return session.get(f"http://{_HOST}:{port}/server_info", timeout=1).ok
        except requests.RequestException:
            return False
