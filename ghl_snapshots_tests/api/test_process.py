"""`ghl-snapshots api` as a process: it can be killed at any time without a request being lost."""

import json
import signal
from pathlib import Path

import psutil
import pytest

from ghl_snapshots.api.services import Services
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots_tests.api.conftest import Client
from ghl_snapshots_tests.api.process import running
from ghl_snapshots_tests.cli.in_process import InProcess
from ghl_snapshots_tests.command_line import processes_that_mention
from ghl_snapshots_tests.ledger.captures import capture

pytestmark = pytest.mark.slow


def test_what_was_accepted_outlives_a_kill_right_after_the_answer(
    tmp_path: Path, url: str, services: Services
) -> None:
    with running(tmp_path, {"GHL_SNAPSHOTS_DATABASE_URL": url}) as client:
        request_id = client.trigger().json()["requestId"]
    assert [request.request_id for request in services.requests.waiting(limit=10)] == [request_id]
    with running(tmp_path, {"GHL_SNAPSHOTS_DATABASE_URL": url}) as client:
        assert client.get(f"/api/snapshots/requests/{request_id}")["status"] == "accepted"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_its_postgres_with_it(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path, {}, ended_by=number) as client:
        assert client("GET", "/readyz").ok
        assert processes_that_mention(tmp_path / "home")
    assert not processes_that_mention(tmp_path / "home")
    assert "Traceback" not in (tmp_path / "output").read_text()


def test_without_a_key_it_listens_on_this_machine_only_and_says_so(tmp_path: Path, url: str) -> None:
    every_host = ("--host", "0.0.0.0")  # noqa: S104 - what it must not do
    variables = {"GHL_SNAPSHOTS_DATABASE_URL": url}
    with running(tmp_path, variables, *every_host, ended_by=signal.SIGTERM) as client:
        client.trigger()
    output = (tmp_path / "output").read_text()
    assert (
        "There are no API keys yet: the API listens on 127.0.0.1 instead of 0.0.0.0, and calls need no key"
        in output
    )
    assert "http://127.0.0.1:" in output
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    [call] = [line for line in lines if line["event"] == "api_call" and line["method"] == "POST"]
    assert (call["path"], call["status"], call["tenant_id"]) == ("/api/snapshots/trigger", 202, "acme")
    [event] = [line for line in lines if line["event"] == "ghl_snapshot_trigger_accepted"]
    assert event["correlation_id"].startswith("manual_snapshot_")


def test_a_key_made_on_the_command_line_is_good_until_it_is_revoked_there(tmp_path: Path, url: str) -> None:
    """And it is in no line that the service logs, however its calls end."""
    variables = {"GHL_SNAPSHOTS_DATABASE_URL": url}
    command = InProcess(home=tmp_path / "home", variables=variables)
    made = command("keys", "create", "--tenant", "acme", "--role", "trigger", "--note", "campaigns")
    secret = made.stdout.decode().strip()
    [key_id, role, tenants, *_] = command("keys", "list").stdout.decode().splitlines()[1].split()
    assert (role, tenants) == ("trigger", "acme")
    assert secret.startswith(f"ghls_{key_id}_")
    with running(tmp_path, variables, ended_by=signal.SIGTERM) as keyless:
        client = Client(keyless.base_url, secret)
        assert client.trigger().status_code == 202
        assert client.trigger("zenith").status_code == 404
        assert client("GET", "/api/snapshots").status_code == 403
        assert command("keys", "revoke", key_id).returncode == 0
        assert client.trigger().status_code == 401
    output = (tmp_path / "output").read_text()
    assert secret not in output
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    calls = [line for line in lines if line["event"] == "api_call" and line["path"] != "/healthz"]
    assert [(call["status"], call["key_id"], call["tenant_id"]) for call in calls] == [
        (202, key_id, "acme"),
        (404, key_id, None),
        (403, key_id, None),
        (401, None, None),
    ]
    assert all(call["correlation_id"].startswith("api_") for call in calls)


def test_a_large_snapshot_does_not_live_in_memory(tmp_path: Path, url: str, ledger: Ledger) -> None:
    """Sixty-three megabytes are read, while the process grows by less than a third of that.

    As JSON a payload is shown whole up to 64.
    """
    bodies = [b'{"id":"%d","text":"%s"}' % (number, b"x" * 100_000) for number in range(630)]
    large = ledger.append(capture("acme", bodies)).snapshot.snapshot_id
    small = ledger.append(capture("zenith")).snapshot.snapshot_id
    with running(tmp_path, {"GHL_SNAPSHOTS_DATABASE_URL": url}) as client:
        [process] = [each for each in psutil.Process().children() if "api" in each.cmdline()]
        client.get(f"/api/snapshots/{small}")
        most = before = process.memory_info().rss
        for query in ("", "?raw=true"):
            read = 0
            with client("GET", f"/api/snapshots/{large}{query}", stream=True) as answer:
                for piece in answer.iter_content(1_000_000):
                    read += len(piece)
                    most = max(most, process.memory_info().rss)
            assert read > 63_000_000
        assert most - before < read / 3
