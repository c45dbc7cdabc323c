"""`ghl-snapshots api` as a process of its own."""

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import requests

from ghl_snapshots_tests.api.conftest import Client
from ghl_snapshots_tests.command_line import CommandLine, free_port
from ghl_snapshots_tests.waiting import eventually


@contextmanager
def running(
    folder: Path, variables: Mapping[str, str], *arguments: str, ended_by: signal.Signals = signal.SIGKILL
) -> Iterator[Client]:
    """A client of the process, which the signal ends; what the process says is in the file `output`."""
    port = free_port()
    command = CommandLine(home=folder / "home", variables=variables)
    output = folder / "output"
    client = Client(f"http://127.0.0.1:{port}", None)
    with command.running("api", "--port", str(port), *arguments, output=output) as process:

        def answers() -> bool:
            assert process.poll() is None, output.read_text()
            try:
                return client("GET", "/healthz").ok
            except requests.ConnectionError:
                return False

        eventually(answers, "the API answers")
        yield client
        process.send_signal(ended_by)
        process.wait(30)
