"""`ghl-snapshots api` as a process: it can be killed at any time without a request being lost."""

import json
from pathlib import Path

from ghl_snapshots.api.services import Services
from ghl_snapshots_tests.api.process import running


def test_what_was_accepted_outlives_a_kill_right_after_the_answer(
    tmp_path: Path, url: str, services: Services
) -> None:
    with running(tmp_path, {"GHL_SNAPSHOTS_DATABASE_URL": url}) as client:
        request_id = client.trigger().json()["requestId"]
    assert [request.request_id for request in services.requests.waiting(limit=10)] == [request_id]
    with running(tmp_path, {"GHL_SNAPSHOTS_DATABASE_URL": url}) as client:
        assert client.get(f"/api/snapshots/requests/{request_id}")["status"] == "accepted"


def test_without_a_key_it_listens_on_this_machine_only_and_says_so(tmp_path: Path, url: str) -> None:
    with running(tmp_path, {"GHL_SNAPSHOTS_DATABASE_URL": url}, "--host", "0.0.0.0") as client:  # noqa: S104 - what it must not do
        client.trigger()
    output = (tmp_path / "output").read_text()
    assert "No API key was made yet, so only this machine is listened to instead of 0.0.0.0" in output
    assert "http://127.0.0.1:" in output
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    [call] = [line for line in lines if line["event"] == "api_call" and line["method"] == "POST"]
    assert (call["path"], call["status"], call["tenant_id"]) == ("/api/snapshots/trigger", 202, "acme")
    [event] = [line for line in lines if line["event"] == "ghl_snapshot_trigger_accepted"]
    assert event["correlation_id"].startswith("manual_snapshot_")
