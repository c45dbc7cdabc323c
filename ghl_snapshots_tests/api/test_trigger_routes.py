"""Asking for captures: accepted durably or refused with a problem document that says why."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
import requests
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from ghl_snapshots.api.middleware import MAX_BODY_BYTES
from ghl_snapshots.api.services import Services
from ghl_snapshots.core.api_keys import KeyRole
from ghl_snapshots.core.model import SnapshotType, Status
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots_tests.api.conftest import Api, Client
from ghl_snapshots_tests.ledger.captures import capture


def problem_of(answer: requests.Response) -> str:
    """The last part of the problem's type."""
    return str(answer.json()["type"].rpartition(":")[2])


def test_a_trigger_is_accepted_and_followed_to_its_end(
    acme: Client, services: Services, ledger: Ledger
) -> None:
    answer = acme.trigger(snapshotTypes=["pipelines", "workflows"], priority="high", reason="now")
    assert answer.status_code == 202
    accepted = answer.json()
    request_id = accepted["requestId"]
    assert accepted == {"requestId": request_id, "status": "accepted", "estimatedDuration": "15s"}
    assert answer.headers["Location"] == f"/api/snapshots/requests/{request_id}"
    followed = acme.get(answer.headers["Location"])
    assert (followed["status"], followed["runId"], followed["finishedAt"]) == ("accepted", None, None)
    services.requests.running(request_id, "run-1")
    ledger.append(capture(correlation_id=request_id))
    failed = capture(
        "acme", (), snapshot_type=SnapshotType.PIPELINES, status=Status.FAILED, correlation_id=request_id
    )
    ledger.append(failed)
    followed = acme.get(answer.headers["Location"])
    assert (followed["status"], followed["runId"], followed["priority"]) == (
        "partial_failure",
        "run-1",
        "high",
    )
    assert followed["finishedAt"]
    pipelines, workflows = followed["snapshots"]
    assert (pipelines["status"], pipelines["errors"][0]["kind"]) == ("failed", "not_found")
    assert (workflows["status"], workflows["recordCount"]) == ("success", 2)
    assert acme.get(f"/api/snapshots/{workflows['snapshotId']}")["audit"]["correlationId"] == request_id


def test_all_types_at_normal_priority_are_the_default(acme: Client, services: Services) -> None:
    request = services.requests.get(acme.trigger().json()["requestId"])
    assert request.snapshot_types == tuple(SnapshotType)
    assert (request.priority, request.reason) == ("normal", None)


def test_the_same_idempotency_key_is_the_same_request(acme: Client) -> None:
    first, again = (acme.trigger(idempotency_key="k-1").json() for _ in range(2))
    assert first == again
    other = acme.trigger(idempotency_key="k-1", priority="low")
    assert (other.status_code, other.json()["type"]) == (
        422,
        "urn:ghl-snapshots:problem:idempotency-key-reused",
    )


@pytest.mark.parametrize(
    ("new_request", "status", "kind"),
    [
        ({"tenantId": "nobody"}, 404, "unknown-tenant"),
        ({"ghlAccountId": "account-zenith"}, 403, "account-mismatch"),
        ({"snapshotTypes": ["secrets"]}, 422, "invalid-request"),
        ({"snapshotTypes": []}, 422, "invalid-request"),
        ({"snapshotTypes": None}, 422, "invalid-request"),
        ({"priority": "urgent"}, 422, "invalid-request"),
        ({"reason": "x" * 501}, 422, "invalid-request"),
        ({"reason": "\x00"}, 422, "invalid-request"),
        ({"unknown": 1}, 422, "invalid-request"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(
    acme: Client, services: Services, new_request: dict[str, object], status: int, kind: str
) -> None:
    answer = acme(
        "POST",
        "/api/snapshots/trigger",
        json={"tenantId": "acme", "ghlAccountId": "account-acme", **new_request},
    )
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (status, f"urn:ghl-snapshots:problem:{kind}")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["instance"] == "/api/snapshots/trigger"
    [event] = services.trail.events(correlation_id=problem["correlationId"])
    assert (event.event_type, event.success) == ("ghl_snapshot_trigger_refused", False)
    assert services.requests.waiting(limit=1) == []


def test_a_disabled_tenant_is_refused(acme: Client, services: Services) -> None:
    services.tenants.set_enabled("acme", enabled=False)
    assert acme.trigger().status_code == 409


def test_a_body_that_is_no_json_or_too_large_is_refused(acme: Client) -> None:
    as_json = {"Content-Type": "application/json"}

    def problem(data: bytes | Iterator[bytes], headers: dict[str, str]) -> tuple[int, str]:
        answer = acme("POST", "/api/snapshots/trigger", data=data, headers=headers)
        return answer.status_code, problem_of(answer)

    assert problem(b"{", as_json) == (400, "malformed-json")
    assert problem(b"\xff", as_json) == (400, "malformed-json")
    assert problem(b"[" * 10_000, as_json)[0] in {400, 422}
    assert problem(b"{}", {"Content-Type": "text/plain"}) == (415, "unsupported-media-type")
    assert problem(b"{}", {}) == (415, "unsupported-media-type")
    assert problem(b" " * (MAX_BODY_BYTES + 1), as_json) == (413, "body-too-large")
    assert problem(iter([b" " * MAX_BODY_BYTES, b" "]), as_json) == (413, "body-too-large")


def test_a_tenant_that_asks_too_often_is_told_when_to_come_back(serving: Callable[..., Api]) -> None:
    client = serving(triggers_per_minute=2).client("acme", "zenith")
    assert [client.trigger().status_code for _ in range(3)] == [202, 202, 429]
    refused = client.trigger()
    assert refused.json()["type"] == "urn:ghl-snapshots:problem:rate-limited"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert client.trigger("zenith").status_code == 202


def test_of_many_triggers_at_once_none_is_lost(api: Api, services: Services) -> None:
    client = api.client("acme", "zenith")

    def ask(number: int) -> str:
        answer = client.trigger(("acme", "zenith")[number % 2], reason=str(number))
        assert answer.status_code == 202, answer.text
        return str(answer.json()["requestId"])

    with ThreadPoolExecutor(16) as pool:
        accepted = set(pool.map(ask, range(120)))
    assert {request.request_id for request in services.requests.waiting(limit=1000)} == accepted
    assert len(accepted) == 120


@contextmanager
def database_down(postgres: EmbeddedPostgres, url: str) -> Iterator[None]:
    """The database refuses connections, and has ended those that there were."""
    name = str(conninfo_to_dict(url)["dbname"])
    allow = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}")
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        yield
        connection.execute(allow.format(sql.Identifier(name), sql.SQL("true")))


def test_while_the_database_is_down_nothing_is_accepted(
    acme: Client, services: Services, postgres: EmbeddedPostgres, url: str
) -> None:
    """And the service goes on by itself when it is back."""
    with database_down(postgres, url):
        answer = acme.trigger()
        assert (answer.status_code, problem_of(answer)) == (503, "database-unavailable")
        assert answer.headers["Retry-After"]
        assert acme("GET", "/readyz").status_code == 503
        assert acme("GET", "/healthz").status_code == 200
    assert services.requests.waiting(limit=1) == []
    assert acme.trigger().status_code == 202
    assert acme("GET", "/readyz").status_code == 200


@pytest.mark.parametrize(
    ("role", "status"), [(KeyRole.TRIGGER, 202), (KeyRole.READ, 403), (KeyRole.ADMIN, 202)]
)
def test_only_some_roles_may_trigger(api: Api, role: KeyRole, status: int) -> None:
    assert api.client("acme", role=role).trigger().status_code == status
