"""Every operation of the product leaves its event in the audit trail, and the command line finds it there."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from cryptography.fernet import Fernet
from psycopg import Connection
from typer.testing import CliRunner

import ghl_snapshots
from ghl_snapshots.api.services import Services
from ghl_snapshots.cli.app import app
from ghl_snapshots.core.audit_events import EventType
from ghl_snapshots.core.errors import SnapshotRefusedError
from ghl_snapshots.core.model import SnapshotType, Source
from ghl_snapshots.core.tokens import StoredTokens
from ghl_snapshots.ledger.audit import AuditTrail
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.full_runs import FinishedRun, record_full_run
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.ledger.snapshot_requests import NewRequest, SnapshotRequests
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots_tests.api.conftest import served
from ghl_snapshots_tests.ledger.captures import capture, tenant

KEY = Fernet.generate_key().decode()
NEW_REQUEST = NewRequest(
    tenant_id="acme", ghl_account_id="account-acme", snapshot_types=(SnapshotType.WORKFLOWS,)
)
FULL_RUN = FinishedRun(
    run_id="run",
    correlation_id="tick",
    source=Source.SCHEDULED,
    status="SUCCESS",
    duration_ms=1,
    planned={"acme": {SnapshotType.WORKFLOWS}},
)


@pytest.fixture
def command(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    """A function that runs `ghl-snapshots` on the test's database and gives what it printed."""
    monkeypatch.setenv("GHL_SNAPSHOTS_DATABASE_URL", url)
    monkeypatch.setenv("GHL_SNAPSHOTS_HOME", str(tmp_path))
    monkeypatch.setenv("GHL_SNAPSHOTS_ENCRYPTION_KEYS", KEY)

    def run(*arguments: str, stdin: str = "") -> str:
        done = CliRunner().invoke(app, arguments, input=stdin, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


@pytest.fixture
def at(database: Database, command: Callable[..., str], tmp_path: Path) -> SimpleNamespace:
    """What the operations work with."""
    return SimpleNamespace(database=database, ledger=Ledger(database), command=command, folder=tmp_path)


def refused_capture(at: SimpleNamespace) -> None:
    with pytest.raises(SnapshotRefusedError):
        at.ledger.append(replace(capture(), ghl_account_id="somebody-else"))


def authorized(at: SimpleNamespace) -> None:
    TenantRegistry(at.database).update(replace(tenant("acme"), credential="oauth"))
    at.command("tenants", "authorize", "acme", stdin="refresh\n")


def refreshed(at: SimpleNamespace) -> None:
    with OAuthTokens(at.database, KEY).locked("acme") as locked:
        locked.store(StoredTokens(refresh_token="next"))


def revoked_key(at: SimpleNamespace) -> None:
    at.command("keys", "create", "--tenant", "acme")
    [line] = at.command("keys", "list").splitlines()[1:]
    at.command("keys", "revoke", line.split()[0])


def checkpoint(at: SimpleNamespace) -> tuple[str, str]:
    key, file = str(at.folder / "key"), str(at.folder / "checkpoint")
    at.command("checkpoint", "keygen", key)
    at.command("checkpoint", "create", "--key", key, "--output", file)
    return file, f"{key}.pub"


def verified_checkpoint(at: SimpleNamespace) -> None:
    file, key = checkpoint(at)
    at.command("checkpoint", "verify", file, "--key", key)


def called(method: str, path: str, status: int) -> Callable[[SimpleNamespace], None]:
    def call(at: SimpleNamespace) -> None:
        given = Services(database=at.database, streams=at.database, triggers_per_minute=9, open_locally=True)
        request_id = (
            SnapshotRequests(at.database).accept(NEW_REQUEST, now=datetime.now(UTC), limit=9).request_id
        )
        with served(given) as base_url, requests.Session() as session:
            session.trust_env = False
            new_request = {"tenantId": "acme", "ghlAccountId": "wrong"} if method == "POST" else None
            answer = session.request(method, base_url + path.format(request_id), json=new_request, timeout=20)
        assert answer.status_code == status, answer.text

    return call


OPERATIONS: Mapping[EventType, Callable[[SimpleNamespace], Any]] = {
    EventType.CAPTURE: lambda at: at.ledger.append(capture()),
    EventType.REFUSED: refused_capture,
    EventType.FULL_RUN: lambda at: record_full_run(at.database, FULL_RUN),
    EventType.TENANT_ADDED: lambda at: at.command(
        "tenants", "add", "new", "--account", "loc1", "--credential", "env:TOKEN"
    ),
    EventType.TENANT_CHANGED: lambda at: at.command("tenants", "disable", "acme"),
    EventType.TENANT_AUTHORIZED: authorized,
    EventType.CREDENTIAL_REFRESHED: refreshed,
    EventType.KEY_CREATED: lambda at: at.command("keys", "create", "--tenant", "acme"),
    EventType.KEY_REVOKED: revoked_key,
    EventType.VERIFICATION: lambda at: at.command("verify", "--deep"),
    EventType.CHECKPOINT_CREATED: checkpoint,
    EventType.CHECKPOINT_VERIFICATION: verified_checkpoint,
    EventType.READ: lambda at: at.command("show", at.ledger.append(capture()).snapshot.snapshot_id),
    EventType.LISTED: called("GET", "/api/snapshots?tenantId=acme", 200),
    EventType.REQUEST_READ: called("GET", "/api/snapshots/requests/{}", 200),
    EventType.SQL_SESSION: lambda at: at.command("psql", "-c", "SELECT 1"),
    EventType.TRIGGER_ACCEPTED: lambda at: SnapshotRequests(at.database).accept(
        NEW_REQUEST, now=datetime.now(UTC), limit=9
    ),
    EventType.TRIGGER_REFUSED: called("POST", "/api/snapshots/trigger", 403),
    EventType.API_REFUSED: called("GET", "/api/nothing", 404),
}
FAILURES = {EventType.REFUSED, EventType.FULL_RUN, EventType.TRIGGER_REFUSED, EventType.API_REFUSED}
OF_THE_SERVER = {
    EventType.VERIFICATION,
    EventType.CHECKPOINT_CREATED,
    EventType.CHECKPOINT_VERIFICATION,
    EventType.SQL_SESSION,
    EventType.API_REFUSED,
}


def test_every_event_type_has_its_operation_here() -> None:
    """The first migration's event is older than any test."""
    assert OPERATIONS.keys() | {EventType.MIGRATED} == set(EventType)


def test_no_code_writes_an_event_type_that_is_not_in_the_list() -> None:
    package = Path(ghl_snapshots.__file__).parent
    assert [path for path in package.rglob("*.py") if 'event_type="' in path.read_text("utf-8")] == []


@pytest.mark.parametrize("event_type", OPERATIONS)
def test_an_operation_leaves_its_event(at: SimpleNamespace, event_type: EventType) -> None:
    trail = AuditTrail(at.database)
    before = trail.events(event_type=event_type)
    OPERATIONS[event_type](at)
    left = trail.events(event_type=event_type)[: -len(before) or None]
    assert len(left) == 1
    assert left[0].success == (event_type not in FAILURES)
    assert (left[0].tenant_id is None) == (event_type in OF_THE_SERVER)
    assert left[0].correlation_id


def test_a_migration_leaves_its_event(database: Database) -> None:
    [event] = AuditTrail(database).events(event_type=EventType.MIGRATED)
    assert event.success
    assert event.details["applied"][0] == "0001_ledger"


def test_a_verification_that_finds_something_is_recorded_as_failed(
    command: Callable[..., str], superuser: Connection, database: Database
) -> None:
    superuser.execute("ALTER TABLE snapshot DISABLE TRIGGER append_only")
    assert CliRunner().invoke(app, ["verify"]).exit_code == 1
    [event] = AuditTrail(database).events(event_type=EventType.VERIFICATION)
    assert (event.success, event.details["problems"]) == (False, 1)
    assert "failed" in command("audit", "--type", "ghl_snapshot_verification")


def test_the_command_finds_events_by_each_of_their_properties(
    command: Callable[..., str], ledger: Ledger
) -> None:
    ledger.append(capture(correlation_id="tick-1"))
    ledger.append(capture("zenith", correlation_id="tick-2"))
    captures = ("audit", "--type", "ghl_snapshot_capture")

    def found(*filters: str) -> list[str]:
        lines = command(*captures, "--json", *filters).splitlines()
        return [json.loads(line)["correlationId"] for line in lines]

    assert found() == ["tick-2", "tick-1"]
    assert found("--limit", "1") == ["tick-2"]
    assert found("--tenant", "acme") == found("--correlation-id", "tick-1") == ["tick-1"]
    assert found("--since", "2999-01-01") == []
    lines = command(*captures, "--tenant", "acme").splitlines()
    assert len(lines) == 2, lines
    heading, line = lines
    assert heading.split() == ["time", "type", "tenant", "result", "source", "correlation", "id"]
    assert line.split()[1:] == ["ghl_snapshot_capture", "acme", "ok", "scheduled", "tick-1"]
    assert command(*captures, "--since", "2999-01-01") == "No audit event matches.\n"


def test_an_event_is_printed_whole_as_json(command: Callable[..., str], ledger: Ledger) -> None:
    snapshot = ledger.append(capture(correlation_id="tick")).snapshot
    event = json.loads(command("audit", "--correlation-id", "tick", "--json"))
    assert event["details"]["snapshotId"] == snapshot.snapshot_id
    assert (event["tenantId"], event["success"], event["source"]) == ("acme", True, "scheduled")
