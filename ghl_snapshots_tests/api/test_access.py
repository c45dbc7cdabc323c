"""Who may call: keys, their tenants, strangers; and nobody calls without an audit event."""

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from psycopg import Connection

from ghl_snapshots.api.refusals import Refusals
from ghl_snapshots.api.request_context import OPERATIONS
from ghl_snapshots.api.services import Services
from ghl_snapshots.core.api_keys import KeyRole
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots_tests.api.conftest import Api, Client
from ghl_snapshots_tests.ledger.captures import NOON, capture

ATTACKS = ("' OR '1'='1", "zenith'--", "acme' UNION SELECT 'zenith", "%", "acme;zenith", "\x00", "ACME")


@pytest.fixture
def foreign(api: Api, ledger: Ledger) -> dict[str, str]:
    """Ids that belong to the other tenant."""
    answer = api.client("zenith").trigger("zenith")
    return {
        "request": answer.json()["requestId"],
        "snapshot": ledger.append(capture("zenith")).snapshot.snapshot_id,
    }


def last_event(services: Services, answer_id: str) -> tuple[str, bool]:
    [event] = services.trail.events(correlation_id=answer_id)
    return event.event_type, event.success


def test_what_is_another_tenants_is_not_there(
    acme: Client, foreign: dict[str, str], services: Services
) -> None:
    calls = [
        ("GET", "/api/snapshots?tenantId=zenith", "ghl_snapshot_listed"),
        ("GET", f"/api/snapshots/{foreign['snapshot']}", "ghl_snapshot_read"),
        ("GET", f"/api/snapshots/{foreign['snapshot']}?raw=true", "ghl_snapshot_read"),
        ("GET", f"/api/snapshots/{foreign['snapshot']}/verify", "ghl_snapshot_verification"),
        ("GET", f"/api/snapshots/requests/{foreign['request']}", "ghl_snapshot_request_read"),
    ]
    for method, path, event_type in calls:
        answer = acme(method, path)
        assert answer.status_code == 404, path
        assert last_event(services, answer.headers["X-Correlation-Id"]) == (event_type, False)
        assert answer.json()["detail"] == acme(method, path).json()["detail"]
    answer = acme.trigger("zenith")
    assert answer.status_code == 404
    assert last_event(services, answer.headers["X-Correlation-Id"]) == ("ghl_snapshot_trigger_refused", False)
    assert not [event for event in services.trail.events(tenant_id="zenith") if not event.success]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.usefixtures("foreign")
def test_sql_in_any_parameter_leads_nowhere(acme: Client, services: Services, attack: str) -> None:
    text = quote(attack, safe="")
    refused = [
        acme("GET", f"/api/snapshots?tenantId={text}"),
        acme("GET", f"/api/snapshots/{text}"),
        acme("GET", f"/api/snapshots/{text}/verify"),
        acme("GET", f"/api/snapshots/requests/{text}"),
        acme("GET", f"/api/snapshots?snapshotType={text}"),
        acme("GET", f"/api/snapshots?cursor={text}"),
        acme("GET", f"/api/snapshots?from={text}"),
        acme("GET", f"/api/snapshots?to={text}"),
        acme("GET", f"/api/snapshots?asOf={text}"),
        acme("GET", f"/api/snapshots?limit={text}"),
        acme("GET", f"/api/snapshots/{uuid4()}?raw={text}"),
        acme.trigger(attack),
        acme.trigger("acme", ghlAccountId=attack),
        acme.trigger("acme", snapshotTypes=[attack]),
        acme.trigger("acme", priority=attack),
    ]
    assert {answer.status_code for answer in refused} <= {403, 404, 422}
    for answer in refused:
        _, success = last_event(services, answer.headers["X-Correlation-Id"])
        assert not success


@pytest.mark.parametrize("attack", [attack for attack in ATTACKS if attack.isprintable()])
def test_sql_where_any_text_may_stand_is_kept_as_text(
    acme: Client, services: Services, ledger: Ledger, attack: str
) -> None:
    snapshot_id = ledger.append(capture()).snapshot.snapshot_id
    request_id = acme.trigger(reason=attack, idempotency_key=attack).json()["requestId"]
    assert acme.trigger(reason=attack, idempotency_key=attack).json()["requestId"] == request_id
    assert acme.get(f"/api/snapshots/requests/{request_id}")["reason"] == attack
    assert services.requests.get(request_id).reason == attack
    assert acme("GET", f"/api/snapshots/{snapshot_id}", headers={"If-None-Match": attack}).status_code == 200
    for scheme in (f"Bearer {attack}", attack):
        answer = Client(acme.base_url, None)("GET", "/api/snapshots", headers={"Authorization": scheme})
        assert answer.status_code == 401


def test_a_cursor_of_another_tenants_list_leads_to_ones_own(api: Api, acme: Client, ledger: Ledger) -> None:
    own = ledger.append(capture(captured_at=NOON)).snapshot.snapshot_id
    for hour in (1, 2):
        ledger.append(capture("zenith", captured_at=NOON + timedelta(hours=hour)))
    cursor = api.client("zenith").get("/api/snapshots?limit=1")["nextCursor"]
    listed = acme.get(f"/api/snapshots?cursor={cursor}")["snapshots"]
    assert [each["metadata"]["snapshotId"] for each in listed] == [own]


def test_without_a_valid_key_nothing_is_answered_once_a_key_was_made(api: Api, services: Services) -> None:
    key, secret = services.keys.create(["acme"], KeyRole.READ)
    revoked = Client(api.base_url, secret)
    assert revoked("GET", "/api/snapshots").status_code == 200
    services.keys.revoke(key.key_id)
    strangers = [revoked, api.keyless, Client(api.base_url, "wrong"), Client(api.base_url, secret + "x")]
    for client in strangers:
        for method, path in (
            ("GET", "/api/snapshots"),
            ("POST", "/api/snapshots/trigger"),
            ("GET", "/api/x"),
        ):
            answer = client(method, path)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"


def refusals(superuser: Connection) -> list[Any]:
    """Details of the events of refused calls in their order, and the bytes of each event."""
    statement = (
        "SELECT details, pg_column_size(audit_event.*) FROM audit_event WHERE NOT success "
        "AND source = 'api' ORDER BY occurred_at"
    )
    return superuser.execute(statement).fetchall()


def test_calls_without_a_key_are_one_event_a_minute_and_counted(
    serving: Callable[..., Api], superuser: Connection
) -> None:
    """Or strangers fill a table that nobody may purge."""
    seconds = [100.0]
    api = serving(refusals=Refusals(per_minute=10, clock=lambda: seconds[0]))
    api.client("acme")
    statuses = [api.keyless("GET", "/api/snapshots").status_code for _ in range(15)]
    assert statuses == [401] * 10 + [429] * 5
    seconds[0] += 61
    assert api.keyless("GET", "/api/snapshots").status_code == 401
    first, second = [details for details, _ in refusals(superuser)]
    assert (first["address"], "unrecorded" in first) == ("127.0.0.1", False)
    assert second["unrecorded"] == 14


def test_strangers_are_sixty_events_a_minute_however_many_addresses_they_have() -> None:
    """A network of IPv6 is one caller; the events of those with a key have nothing to do with it."""
    seconds = [100.0]
    refusals = Refusals(clock=lambda: seconds[0])
    for number in range(3000):
        refusals.count(key_id=None, address=f"2001:db8:{number:x}::1")
    assert not refusals.count(key_id=None, address="203.0.113.7").recorded
    seconds[0] += 61
    counted = [refusals.count(key_id=None, address=f"10.0.{n // 256}.{n % 256}") for n in range(3000)]
    assert sum(each.recorded for each in counted) == 60
    seconds[0] += 61
    assert refusals.count(key_id=None, address="2001:db8::1").recorded
    assert not refusals.count(key_id=None, address="2001:db8::2").recorded
    assert refusals.count(key_id="2001:db8::", address="2001:db8::3").recorded


def test_an_address_that_a_caller_writes_is_not_believed(
    serving: Callable[..., Api], superuser: Connection
) -> None:
    """Or it would have as many as it likes, and could hide behind another's."""
    api = serving(refusals=Refusals())
    api.client("acme")
    for number in range(5):
        api.keyless("GET", "/api/snapshots", headers={"X-Forwarded-For": f"203.0.113.{number}"})
    [(details, _)] = refusals(superuser)
    assert details["address"] == "127.0.0.1"


def test_refused_calls_with_a_key_are_limited_and_its_good_ones_are_not(
    serving: Callable[..., Api], superuser: Connection
) -> None:
    api = serving(refusals=Refusals(per_minute=3))
    acme, zenith = api.client("acme"), api.client("zenith")
    refused = [acme.trigger("nobody") for _ in range(5)]
    assert [answer.status_code for answer in refused] == [404] * 3 + [429] * 2
    assert 0 < int(refused[-1].headers["Retry-After"]) <= 60
    assert acme.trigger().status_code == 202
    assert zenith.trigger("nobody").status_code == 404
    assert len(refusals(superuser)) == 4


def test_what_a_caller_sent_is_quoted_in_part(acme: Client, superuser: Connection) -> None:
    long = "x" * 10_000
    for answer in (
        acme("GET", f"/api/snapshots?tenantId={long}"),
        acme("GET", f"/api/snapshots/{long}"),
        acme("GET", f"/api/{long}"),
        acme("POST", "/api/snapshots/trigger", json={long: 1}),
    ):
        assert len(answer.json()["detail"]) <= 501
    assert [size for _, size in refusals(superuser) if size > 2500] == []


def test_before_any_key_was_made_only_this_machine_is_answered(
    serving: Callable[..., Api], ledger: Ledger
) -> None:
    """A name that leads here may be a page's in a browser on this machine, so it must be a local one."""
    ledger.append(capture())
    local = serving().keyless
    assert len(local.get("/api/snapshots?tenantId=acme")["snapshots"]) == 1
    assert local.trigger().status_code == 202
    assert local.trigger("nobody").status_code == 404
    answer = local("GET", "/api/snapshots?tenantId=acme", headers={"Host": "evil.example:80"})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:ghl-snapshots:problem:foreign-host")
    elsewhere = serving(open_locally=False).keyless
    assert elsewhere("GET", "/api/snapshots?tenantId=acme").status_code == 401


def test_every_answered_call_is_an_audit_event_of_its_tenant(
    acme: Client, services: Services, ledger: Ledger
) -> None:
    snapshot_id = ledger.append(capture()).snapshot.snapshot_id
    request_id = acme.trigger().json()["requestId"]
    expected = {
        "/api/snapshots": "ghl_snapshot_listed",
        f"/api/snapshots/{snapshot_id}": "ghl_snapshot_read",
        f"/api/snapshots/{snapshot_id}/verify": "ghl_snapshot_verification",
        f"/api/snapshots/requests/{request_id}": "ghl_snapshot_request_read",
    }
    for path, event_type in expected.items():
        answer = acme("GET", path)
        [event] = services.trail.events(tenant_id="acme", correlation_id=answer.headers["X-Correlation-Id"])
        assert (event.event_type, event.success, event.details["path"]) == (event_type, True, path)
    [event] = services.trail.events(tenant_id="acme", correlation_id=request_id)
    assert event.event_type == "ghl_snapshot_trigger_accepted"


def test_every_route_below_api_is_an_operation_with_an_event(api: Api) -> None:
    described = api.keyless.get("/openapi.json")["paths"]
    names = {
        operation["operationId"].split("_api_")[0]
        for path, operations in described.items()
        if path.startswith("/api/")
        for operation in operations.values()
    }
    assert names == set(OPERATIONS)


def test_unknown_paths_and_methods_are_problems(acme: Client) -> None:
    for method, path, status in (
        ("GET", "/api/nothing", 404),
        ("GET", "/nothing", 404),
        ("DELETE", "/api/snapshots", 405),
        ("POST", "/api/snapshots", 405),
        ("PUT", "/api/snapshots/trigger", 405),
        ("POST", "/api/snapshots/trigger", 415),
    ):
        answer = acme(method, path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")


def test_no_secret_reaches_the_audit_trail(acme: Client, superuser: Connection) -> None:
    acme.trigger()
    acme("GET", "/api/snapshots")
    rows = str(superuser.execute("SELECT audit_event::text FROM audit_event").fetchall())
    assert acme.secret
    assert acme.secret not in rows


def test_metrics_have_a_token_of_their_own_or_none(serving: Callable[..., Api]) -> None:
    assert serving().keyless("GET", "/metrics").status_code == 200
    api = serving(metrics_token="metrics-secret")
    assert api.keyless("GET", "/metrics").status_code == 401
    assert api.client("acme")("GET", "/metrics").status_code == 401
    answer = Client(api.base_url, "metrics-secret")("GET", "/metrics")
    assert "ghl_snapshot_requests{" in answer.text


def test_metrics_name_nobody_to_strangers(serving: Callable[..., Api], ledger: Ledger) -> None:
    """A trigger's id is named by OpenMetrics alone, as an exemplar."""
    ledger.append(capture())
    openmetrics = {"Accept": "application/openmetrics-text"}
    local = serving().keyless
    assert 'tenant_id="acme"' in local("GET", "/metrics", headers=openmetrics).text
    answer = local("GET", "/metrics", headers={"Host": "evil.example:80"})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:ghl-snapshots:problem:foreign-host")
    told = serving(open_locally=False).keyless("GET", "/metrics", headers=openmetrics).text
    assert "ghl_snapshot_records_total{" in told
    assert [word for word in ("acme", "zenith", "scheduled_") if word in told] == []
    trusted = Client(serving(open_locally=False, metrics_token="metrics-secret").base_url, "metrics-secret")
    assert 'tenant_id="acme"' in trusted("GET", "/metrics").text


@pytest.mark.parametrize("moment", ["0.5", "1703123456789", "1e3", "now"])
@pytest.mark.parametrize("parameter", ["from", "to", "asOf"])
def test_a_moment_that_is_no_date_is_refused(acme: Client, parameter: str, moment: str) -> None:
    answer = acme("GET", f"/api/snapshots?{parameter}={moment}")
    assert (answer.status_code, answer.json()["errors"][0]["location"]) == (422, f"query.{parameter}")
    assert acme("GET", f"/api/snapshots?{parameter}=2026-03-01T12:00:00Z").status_code == 200


def test_the_docs_need_nothing_from_elsewhere(api: Api) -> None:
    page = api.keyless("GET", "/docs").text
    assert "https://" not in page.replace("https://fastapi.tiangolo.com", "")
    assert api.keyless("GET", "/static-offline-docs/swagger-ui-bundle.js").status_code == 200


def test_the_service_never_imports_dagster() -> None:
    code = "import sys, ghl_snapshots.cli.app, ghl_snapshots.api.server; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not [module for module in done.stdout.split() if module.startswith("dagster")]
