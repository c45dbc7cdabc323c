"""`ghl-snapshots dev` starts the whole product and ends all of it."""

import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from ghl_snapshots.local.endings import wait_for_end
from ghl_snapshots.simulator.accounts import Agency
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.cli.in_process import InProcess
from ghl_snapshots_tests.command_line import CommandLine, free_port, processes_that_mention
from ghl_snapshots_tests.held_answers import TIMEOUT_SECONDS, hold_back

pytestmark = pytest.mark.slow


@contextmanager
def running_dev(folder: Path, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The product on free ports, in a home of its own."""
    ports = ("--port", str(free_port()), "--api-port", str(free_port()))
    with CommandLine(home=folder / "home").running("dev", *ports, output=output) as dev:
        yield dev


def wait_for(text: bytes, output: Path, dev: subprocess.Popen[bytes]) -> None:
    while text not in output.read_bytes():
        assert dev.poll() is None, output.read_text()
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("number", "when"),
    [
        (signal.SIGINT, b"Ctrl-C ends everything"),
        (signal.SIGTERM, b"Simulated GHL"),
        (signal.SIGHUP, b"Simulated GHL"),
    ],
    ids=["ready", "starting", "closed-terminal"],
)
def test_one_signal_ends_every_process_at_any_time(
    tmp_path: Path, number: signal.Signals, when: bytes
) -> None:
    output = tmp_path / "output"
    with running_dev(tmp_path, output) as dev:
        wait_for(when, output, dev)
        family = psutil.Process(dev.pid).children(recursive=True)
        dev.send_signal(number)
        assert dev.wait(60) == 130
    # What was killed at the very end may still be about to die.
    assert not wait_for_end(family, timeout_seconds=10)
    assert not processes_that_mention(tmp_path / "home")
    # Dagster's processes may print one of what their end interrupted.
    assert b"Traceback" not in output.read_bytes()
    assert b"Stack Trace" not in output.read_bytes()
    assert (tmp_path / "home" / "last_words.log").exists()


def test_ctrl_c_during_a_token_exchange_waits_for_it_and_says_so(
    tmp_path: Path, simulator: Simulator, agency: Agency
) -> None:
    """The sensor of expiring tokens asks for the exchange: the tenant has a refresh token only."""
    command = InProcess(
        home=tmp_path / "home",
        variables={
            "GHL_BASE_URL": simulator.base_url,
            "GHL_OAUTH_CLIENT_ID": simulator.accounts.client_id,
            "GHL_OAUTH_CLIENT_SECRET": simulator.accounts.client_secret,
            "GHL_SNAPSHOTS_READ_TIMEOUT_SECONDS": "60",
        },
    )
    command("tenants", "add", "acme", "--agency", "--account", agency.company_id, "--credential", "oauth")
    command("tenants", "authorize", "acme", stdin=agency.refresh_token.encode())
    held = hold_back(simulator, "/oauth/token")
    output = tmp_path / "output"
    ports = ("--port", str(free_port()), "--api-port", str(free_port()))
    with command.running("dev", *ports, output=output) as dev:
        assert held.reached.wait(TIMEOUT_SECONDS), output.read_text()
        dev.send_signal(signal.SIGINT)
        wait_for(b"Waiting up to 60 s for a token exchange", output, dev)
        held.released.set()
        assert dev.wait(TIMEOUT_SECONDS) == 130
    assert command("snapshot", "--tenant", "acme", "--type", "workflows").returncode == 0
    assert [request.status for request in simulator.request_log if request.route == "/oauth/token"] == [200]


def test_a_killed_postgres_ends_everything_and_is_named(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with running_dev(tmp_path, output) as dev:
        wait_for(b"Simulated GHL", output, dev)
        pid_file = tmp_path / "home" / "postgres" / "data" / "postmaster.pid"
        os.kill(int(pid_file.read_text().split("\n", 1)[0]), signal.SIGKILL)
        assert dev.wait(60) == 1
    assert b"The embedded PostgreSQL ended by itself" in output.read_bytes()
    assert b"psycopg2" not in output.read_bytes(), "what its loss did to the others is beside the point"
    assert not processes_that_mention(tmp_path / "home")


def test_a_killed_child_ends_everything_in_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with running_dev(tmp_path, output) as dev:
        wait_for(b"Simulated GHL", output, dev)
        wait_for(b"API  ", output, dev)
        second = CommandLine(home=tmp_path / "home")("dev", "--port", str(free_port()))
        assert second.returncode == 2
        assert b"The product is running already from" in second.stderr
        [daemon] = [
            child
            for child in psutil.Process(dev.pid).children()
            if any("dagster-daemon" in part for part in child.cmdline())
        ]
        daemon.kill()
        assert dev.wait(60) == 1
    lines = [line for line in output.read_text().splitlines() if line.startswith("Error: ")]
    [line] = lines
    assert line.startswith("Error: dagster-daemon was killed (SIGKILL)")
    assert "Start `ghl-snapshots dev` again" in line
    assert b"\x1b[" not in output.read_bytes(), "no colour codes in a file"
    assert b"skipped" not in output.read_bytes(), "nor a line for each sensor that found nothing"


def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = InProcess(home=tmp_path / "home")("dev", "--port", port, "--api-port", str(free_port()))
    assert done.returncode == 2
    assert f"Port {port}".encode() in done.stderr
    assert b"--port" in done.stderr
    assert not (tmp_path / "home" / "postgres").exists()
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700, "and the home is the user's alone"
