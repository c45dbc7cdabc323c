"""From a request over HTTP to a snapshot read back over HTTP, with every process killed on the way once."""

import json
import os
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from requests import Response

from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.orchestration import dagster_tags
from ghl_snapshots_tests.api.conftest import Client
from ghl_snapshots_tests.api.process import running
from ghl_snapshots_tests.end_to_end import graphql
from ghl_snapshots_tests.end_to_end.conftest import Stack
from ghl_snapshots_tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("idle")


def variables() -> dict[str, str]:
    """What the product's own processes are started with."""
    return {name: value for name, value in os.environ.items() if name.startswith("GHL_")}


@pytest.fixture
def api(stack: Stack, tmp_path: Path) -> Iterator[Client]:
    with running(tmp_path, variables()) as client:
        yield client


def trigger(client: Client, stack: Stack, tenant_id: str, **more: object) -> str:
    """Ask for a tenant's snapshots; the request's id."""
    account_id = stack.product.tenants[tenant_id].ghl_account_id
    answer = client.trigger(tenant_id, ghlAccountId=account_id, **more)
    assert answer.status_code == 202, answer.text
    request_id: str = answer.json()["requestId"]
    return request_id


def outcome(client: Client, request_id: str) -> Any:
    """The request once it is over."""

    def over() -> Any:
        request = client.get(f"/api/snapshots/requests/{request_id}")
        return request if request["status"] in {"succeeded", "partial_failure", "failed"} else None

    return eventually(over, f"request {request_id} is over", seconds=120)


def events(stack: Stack, request_id: str) -> list[str]:
    rows = stack.product.rows(
        "SELECT event_type FROM ghl_snapshot_audit_event WHERE correlation_id = %s ORDER BY 1", request_id
    )
    return [str(row["event_type"]) for row in rows]


def ended_events(stack: Stack, request_id: str) -> list[str] | None:
    """The same once the run's end is among them."""
    found = events(stack, request_id)
    return found if "ghl_snapshot_full_run" in found else None


def logged(folder: Path, request_id: str) -> list[tuple[str, str, str]]:
    """Event, tenant and type of each line that the runs' processes logged for the request, in order."""
    text = "".join(file.read_text() for file in folder.glob("**/*.out"))
    lines = [json.loads(line) for line in text.splitlines() if request_id in line and line.startswith("{")]
    own = [line for line in lines if line["correlation_id"] == request_id]
    return sorted((line["event"], line["tenant_id"], line["snapshot_type"]) for line in own)


def assert_captured_once(
    stack: Stack, request_id: str, *, runs: int = 1, types: Iterable[str] = SnapshotType
) -> None:
    """One successful snapshot for each type, and no more runs than that."""
    rows = stack.product.rows(
        "SELECT snapshot_type, status, source FROM ghl_snapshot WHERE correlation_id = %s ORDER BY 1",
        request_id,
    )
    stored = [(row["snapshot_type"], row["status"], row["source"]) for row in rows]
    assert stored == [(kind, "success", "api") for kind in sorted(types)]
    with stack.product.instance() as instance:
        found = instance.get_runs_count(dg.RunsFilter(tags={dagster_tags.CORRELATION_ID: request_id}))
    assert found == runs


def test_a_request_leads_to_snapshots_that_are_read_back_byte_for_byte(
    stack: Stack, api: Client, tmp_path: Path
) -> None:
    request_id = trigger(api, stack, "t20", priority="high", reason="before the campaign")
    request = outcome(api, request_id)
    assert request["status"] == "succeeded"
    sent = stack.product.location("t20").entities["workflows"]
    ids = {each["snapshotType"]: each["snapshotId"] for each in request["snapshots"]}
    assert sorted(ids) == sorted(SnapshotType)
    assert api("GET", f"/api/snapshots/{ids['workflows']}?raw=true").content == b"".join(
        body + b"\n" for body in sent
    )
    with open_database(stack.product.settings) as database:
        ledger = Ledger(database)
        for kind, snapshot_id in ids.items():
            snapshot = ledger.latest("t20", SnapshotType(kind))
            assert snapshot
            assert (snapshot.snapshot_id, snapshot.correlation_id) == (snapshot_id, request_id)
            document = api.get(f"/api/snapshots/{snapshot_id}")
            assert document["payload"]["data"] == [json.loads(body) for body in ledger.bodies(snapshot)]
            assert api.get(f"/api/snapshots/{snapshot_id}/verify")["valid"]
    run = graphql.run_of(stack.webserver, request["runId"])
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    assert tags[dagster_tags.CORRELATION_ID] == request_id
    recorded: list[str] = eventually(
        partial(ended_events, stack, request_id),
        "the audit trail has the run",
    )
    assert recorded.count("ghl_snapshot_capture") == len(SnapshotType)
    assert recorded.count("ghl_snapshot_trigger_accepted") == 1
    assert recorded.count("ghl_snapshot_full_run") == 1
    assert request_id in (tmp_path / "output").read_text()
    lines = logged(stack.product.settings.home, request_id)
    assert lines == [("ghl_snapshot_capture", "t20", kind) for kind in sorted(SnapshotType)]


def test_of_a_flood_of_triggers_each_that_was_accepted_runs_once(stack: Stack, tmp_path: Path) -> None:
    """A tenant may ask once a minute, and everything is sent twice, as by callers that missed an answer."""

    def ask(number: int) -> list[Response]:
        tenant_id = f"t{24 + number % 2}"
        account_id = stack.product.tenants[tenant_id].ghl_account_id
        return [
            client.trigger(
                tenant_id,
                ghlAccountId=account_id,
                snapshotTypes=["pipelines"],
                idempotency_key=f"flood-{number}",
            )
            for _ in range(2)
        ]

    with running(tmp_path, {**variables(), "GHL_SNAPSHOTS_TRIGGERS_PER_MINUTE": "1"}) as client:
        with ThreadPoolExecutor(8) as pool:
            answers = [answer for both in pool.map(ask, range(75)) for answer in both]
        assert {answer.status_code for answer in answers} == {202, 429}
        refused = [answer.json()["type"] for answer in answers if answer.status_code == 429]
        assert set(refused) == {"urn:ghl-snapshots:problem:rate-limited"}
        accepted = {answer.json()["requestId"] for answer in answers if answer.status_code == 202}
        assert {outcome(client, request_id)["status"] for request_id in accepted} == {"succeeded"}
    rows = stack.product.rows("SELECT request_id FROM ghl.snapshot_request WHERE idempotency_key ~ '^flood-'")
    assert sorted(str(row["request_id"]) for row in rows) == sorted(accepted)
    assert len(accepted) >= 2
    for request_id in accepted:
        assert_captured_once(stack, request_id, types=["pipelines"])


def test_the_api_may_be_killed_right_after_its_answer(stack: Stack, tmp_path: Path) -> None:
    with running(tmp_path, variables()) as client:
        request_id = trigger(client, stack, "t21")
    with running(tmp_path, variables()) as client:
        assert outcome(client, request_id)["status"] == "succeeded"
    assert_captured_once(stack, request_id)


def test_the_daemon_may_be_dead_when_a_request_comes(stack: Stack, api: Client) -> None:
    stack.daemon.kill()
    try:
        request_id = trigger(api, stack, "t22")
        assert api.get(f"/api/snapshots/requests/{request_id}")["status"] == "accepted"
    finally:
        stack.daemon.start()
    assert outcome(api, request_id)["status"] == "succeeded"
    assert_captured_once(stack, request_id)


@pytest.mark.usefixtures("slow_ghl")
def test_a_run_may_be_killed_on_the_way(stack: Stack, api: Client) -> None:
    request_id = trigger(api, stack, "t23")

    def begun() -> Any:
        request = api.get(f"/api/snapshots/requests/{request_id}")
        return request if any(each["status"] for each in request["snapshots"]) else None

    request = eventually(begun, "the first snapshot is stored")
    assert request["status"] == "running"
    os.kill(graphql.worker_pid(stack.webserver, request["runId"]), signal.SIGKILL)
    assert outcome(api, request_id)["status"] == "succeeded"
    assert_captured_once(stack, request_id, runs=2)
