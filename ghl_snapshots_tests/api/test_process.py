"""`ghl-snapshots api` as a process: it can be killed at any time without a request being lost."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from ghl_snapshots.api.services import Services
from ghl_snapshots_tests.api.conftest import Client
from ghl_snapshots_tests.command_line import CommandLine
from ghl_snapshots_tests.end_to_end.stack import eventually


@contextmanager
def running(folder: Path, url: str, *arguments: str) -> Iterator[Client]:
    """The process, which is killed at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = CommandLine(home=folder / "home", variables={"GHL_SNAPSHOTS_DATABASE_URL": url})
    process = command.start("api", "--port", str(port), *arguments, output=folder / "output")
    client = Client(f"http://127.0.0.1:{port}", None)

    def answers() -> bool:
        assert process.poll() is None, (folder / "output").read_text()
        try:
            return client("GET", "/healthz").ok
        except requests.ConnectionError:
            return False

    try:
        eventually(answers, "the API answers")
        yield client
    finally:
        process.kill()
        process.wait()


def test_what_was_accepted_outlives_a_kill_right_after_the_answer(
    tmp_path: Path, url: str, services: Services
) -> None:
    with running(tmp_path, url) as client:
        request_id = client.trigger().json()["requestId"]
    assert [request.request_id for request in services.requests.waiting(limit=10)] == [request_id]
    with running(tmp_path, url) as client:
        assert client.get(f"/api/snapshots/requests/{request_id}")["status"] == "accepted"


def test_without_a_key_it_listens_on_this_machine_only_and_says_so(tmp_path: Path, url: str) -> None:
    with running(tmp_path, url, "--host", "0.0.0.0") as client:  # noqa: S104 - what it must not do
        client.trigger()
    output = (tmp_path / "output").read_text()
    assert "No API key was made yet, so only this machine is listened to instead of 0.0.0.0" in output
    assert "http://127.0.0.1:" in output
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    [call] = [line for line in lines if line["event"] == "api_call" and line["method"] == "POST"]
    assert (call["path"], call["status"], call["tenant_id"]) == ("/api/snapshots/trigger", 202, "acme")
    [event] = [line for line in lines if line["event"] == "ghl_snapshot_trigger_accepted"]
    assert event["correlation_id"].startswith("manual_snapshot_")
