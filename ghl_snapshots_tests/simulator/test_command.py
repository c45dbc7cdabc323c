"""`python -m ghl_snapshots.simulator` as a user runs it."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
import requests

from ghl_snapshots.simulator.generation import demo_accounts
from ghl_snapshots.simulator.server import Simulator

pytestmark = pytest.mark.slow

COMMAND = (sys.executable, "-m", "ghl_snapshots.simulator")


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The running command and its base URL."""
    with subprocess.Popen(
        (*COMMAND, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            greeting = process.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+", greeting)
            assert found is not None, greeting
            yield process, found.group()
        finally:
            process.kill()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command once it has ended."""
    return subprocess.run((*COMMAND, *arguments), capture_output=True, text=True, timeout=10, check=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal_and_ends_quietly(number: signal.Signals) -> None:
    with running("--seed", "5") as (process, url):
        location = demo_accounts(5).single_locations[0]
        headers = {"Authorization": f"Bearer {location.private_integration_token}", "Version": "v3"}
        answer = requests.get(f"{url}/locations/{location.location_id}", headers=headers, timeout=5)
        assert answer.json()["location"]["name"] == location.name
        process.send_signal(number)
        assert process.stdout is not None
        assert process.stderr is not None
        output, errors = process.stdout.read(), process.stderr.read()
        assert (process.wait(timeout=5), errors) == (0, "")
    assert f"export GHL_BASE_URL={url}\n" in output
    assert f"export WHITFIELD_FAMILY_LAW_GHL_TOKEN={location.private_integration_token}\n" in output


def test_a_taken_port_is_told_and_ends_with_1() -> None:
    with Simulator(demo_accounts(1)) as simulator:
        port = str(urlsplit(simulator.base_url).port)
        done = run("--port", port)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Cannot serve on port {port}: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", [("--port", "70000"), ("--seed", "x"), ("--latency-ms", "-1")])
def test_wrong_arguments_end_with_2(arguments: tuple[str, str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert arguments[0] in done.stderr
