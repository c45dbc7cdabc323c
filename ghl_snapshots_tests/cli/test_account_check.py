"""`tenants check` says what a credential may read before anything is stored."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import TypeAlias

import pytest

from ghl_snapshots.capture.account_check import estimated_seconds
from ghl_snapshots.core.model import SnapshotType, Status, Tenant
from ghl_snapshots.ghl.endpoints import ENDPOINTS
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.simulator.accounts import Agency
from ghl_snapshots.simulator.error_answers import Refuse
from ghl_snapshots.simulator.faults import Effect, Fault, Respond
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.cli.in_process import InProcess
from ghl_snapshots_tests.ghl.rig import KEY, installed, rigged, tenant_of

Check: TypeAlias = Callable[[], CompletedProcess[bytes]]


@pytest.fixture
def ghl_snapshots(simulator: Simulator, url: str, tmp_path: Path) -> InProcess:
    return InProcess(
        home=tmp_path,
        variables={
            "GHL_BASE_URL": simulator.base_url,
            "GHL_SNAPSHOTS_DATABASE_URL": url,
            "GHL_SNAPSHOTS_ENCRYPTION_KEYS": KEY,
            "GHL_OAUTH_CLIENT_ID": simulator.accounts.client_id,
            "GHL_OAUTH_CLIENT_SECRET": simulator.accounts.client_secret,
            "LOCATION_TOKEN": simulator.accounts.single_locations[0].private_integration_token,
            "AGENCY_TOKEN": next(iter(simulator.accounts.agencies.values())).private_integration_token,
        },
    )


@pytest.fixture
def single(simulator: Simulator, database: Database) -> Tenant:
    location = simulator.accounts.single_locations[0]
    tenant = tenant_of(location, credential="env:LOCATION_TOKEN", tenant_id="single")
    TenantRegistry(database).add(tenant)
    return tenant


def words(done: CompletedProcess[bytes]) -> str:
    return " ".join(done.stdout.decode().split())


def test_a_location_whose_token_may_read_everything_is_told_what_a_capture_takes(
    ghl_snapshots: InProcess, simulator: Simulator, single: Tenant, database: Database
) -> None:
    done = ghl_snapshots("tenants", "check", "single")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "about location" in words(done)
    assert simulator.accounts.single_locations[0].name in words(done)
    assert "Left of the day's requests: 199," in words(done)
    for endpoint in ENDPOINTS:
        named = f"GET {endpoint.path} {endpoint.scope}" in words(done)
        assert named == (endpoint.account is single.account_kind)
    with rigged(simulator) as rig:
        tenant = rig.pit(simulator.accounts.single_locations[0])
        calls = sum(rig.capture(tenant, snapshot_type).api_call_count for snapshot_type in SnapshotType)
    assert f"A full capture takes {calls} calls and about" in words(done)
    assert Ledger(database).of_tenant("single") == []


def test_a_missing_scope_fails_the_check_only_where_a_snapshot_needs_it(
    ghl_snapshots: InProcess, simulator: Simulator, single: Tenant
) -> None:
    location = simulator.accounts.single_locations[0]
    location.scopes.remove("knowledge-bases.readonly")
    done = ghl_snapshots("tenants", "check", single.tenant_id)
    assert done.returncode == 0
    assert (
        "left out (notGranted): grant the scope knowledge-bases.readonly to the token of env:LOCATION_TOKEN"
        in words(done)
    )
    location.scopes.remove("calendars/events.readonly")
    done = ghl_snapshots("tenants", "check", single.tenant_id)
    assert done.returncode == 1
    assert "MISSING: grant the scope calendars/events.readonly to the token of env:LOCATION_TOKEN" in words(
        done
    )
    assert "Snapshots would be incomplete: 1 call" in words(done)


def test_the_token_of_another_account_is_named(
    ghl_snapshots: InProcess, simulator: Simulator, single: Tenant
) -> None:
    ours, theirs = simulator.accounts.single_locations
    ours.private_integration_token, theirs.private_integration_token = (
        theirs.private_integration_token,
        ours.private_integration_token,
    )
    done = ghl_snapshots("tenants", "check", single.tenant_id)
    assert done.returncode == 1
    assert f"something of '{theirs.location_id}'" in words(done).replace("“", "'").replace("”", "'")


def test_of_an_agency_one_location_is_asked_on_behalf_of_all(
    ghl_snapshots: InProcess, simulator: Simulator, agency: Agency, database: Database
) -> None:
    simulator.accounts.locations[agency.location_ids[0]].installed = False
    installed(database, agency, tenant_id="agency")
    done = ghl_snapshots("tenants", "check", "agency")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"about company {agency.company_id} ({agency.name}), 2 locations." in words(done)
    asked = {request.resource_id for request in simulator.request_log}
    assert asked & set(agency.location_ids) == {agency.location_ids[1]}
    assert "Left out (notInstalled): 1 location, such as " + agency.location_ids[0] in words(done)


MUST, SHOULD = "/calendars/groups", "/knowledge-bases/"
NOT_IN_PLAN = Refuse(status=401, message="You do not have access to this feature! Please contact the admin!")
FORBIDDEN = Refuse(status=403, message="Forbidden resource")


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        (MUST, NOT_IN_PLAN),
        (MUST, FORBIDDEN),
        (SHOULD, FORBIDDEN),
        (SHOULD, Refuse(status=500, message="Internal Server Error")),
        ("/conversation-ai/agents/{agentId}", Respond(status=200, body=b"{}")),
    ],
    ids=["no plan", "must", "should", "trouble", "no agent"],
)
def test_the_verdict_is_that_of_a_capture(
    ghl_snapshots: InProcess, simulator: Simulator, single: Tenant, path: str, answer: Effect
) -> None:
    simulator.inject(Fault(effect=answer, route=path))
    done = ghl_snapshots("tenants", "check", single.tenant_id)
    [row] = [line for line in done.stdout.decode().splitlines() if line.startswith(f"GET {path} ")]
    [endpoint] = [endpoint for endpoint in ENDPOINTS if endpoint.path == path]
    with rigged(simulator) as rig:
        capture = rig.capture(rig.pit(simulator.accounts.single_locations[0]), endpoint.snapshot_type)
    assert done.returncode == (capture.status is not Status.SUCCESS)
    assert ("MISSING: " in row) == bool(capture.errors)
    assert [each.reason for each in capture.left_out if f"left out ({each.reason}): " in row] == [
        each.reason for each in capture.left_out
    ]


def test_a_location_that_a_capture_leaves_out_does_not_speak_for_the_others(
    ghl_snapshots: InProcess, simulator: Simulator, agency: Agency, database: Database
) -> None:
    """Without the list of installations, only a refused token shows that the app is not there."""
    agency.scopes.remove("oauth.readonly")
    without_app, suspended, good = (simulator.accounts.locations[each] for each in agency.location_ids)
    without_app.installed, suspended.active = False, False
    installed(database, agency, tenant_id="agency")
    done = ghl_snapshots("tenants", "check", "agency")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"about company {agency.company_id} ({agency.name}), 1 location." in words(done)
    assert f"Left out (notInstalled): 1 location, such as {without_app.location_id}: " in words(done)
    assert f"Left out (suspended): 1 location, such as {suspended.location_id}: " in words(done)
    assert "MISSING" not in words(done)
    good.active = False
    done = ghl_snapshots("tenants", "check", "agency")
    assert done.returncode == 1
    assert "There is no location that could be asked" in words(done)


def test_an_app_that_is_in_no_location_fails_the_check(
    ghl_snapshots: InProcess, simulator: Simulator, agency: Agency, database: Database
) -> None:
    for location_id in agency.location_ids:
        simulator.accounts.locations[location_id].installed = False
    installed(database, agency, tenant_id="agency")
    done = ghl_snapshots("tenants", "check", "agency")
    assert done.returncode == 1
    assert "Left out (notInstalled): 3 locations" in words(done)
    assert not {request.resource_id for request in simulator.request_log} & set(agency.location_ids)


def test_an_agency_is_told_how_many_calls_all_its_captures_take(
    url: str, database: Database, tmp_path: Path
) -> None:
    accounts = generated_accounts(5, tenants=1, locations_per_agency=3)
    [agency] = accounts.agencies.values()
    store = installed(database, agency, tenant_id="agency")
    with Simulator(accounts, burst_limit=10**9) as simulator:
        variables = {
            "GHL_BASE_URL": simulator.base_url,
            "GHL_SNAPSHOTS_DATABASE_URL": url,
            "GHL_SNAPSHOTS_ENCRYPTION_KEYS": KEY,
            "GHL_OAUTH_CLIENT_ID": accounts.client_id,
            "GHL_OAUTH_CLIENT_SECRET": accounts.client_secret,
        }
        done = InProcess(home=tmp_path, variables=variables)("tenants", "check", "agency")
        simulator.tokens.revoke_access_tokens()
        company = tenant_of(agency, credential="oauth", tenant_id="agency")
        with rigged(simulator, store=store) as rig:
            calls = [rig.capture(company, each).api_calls for each in SnapshotType]
    asked = sum(count for each in calls for (_, status), count in each.items() if status == 200)
    assert done.returncode == 0
    assert f"A full capture takes {asked} calls and about" in words(done)


@pytest.mark.parametrize(
    ("calls", "latency", "concurrency", "of_one", "seconds"),
    [
        (48, 0.5, 16, 48, 1.5),
        (0, 0.0, 16, 0, 0.0),
        (1000, 0.02, 16, 250, 20.0),
        (2300, 1.0, 16, 46, 143.75),
    ],
)
def test_a_capture_takes_its_calls_latency_or_as_long_as_the_rate_limit_lets_it(
    calls: int, latency: float, concurrency: int, of_one: int, seconds: float
) -> None:
    assert estimated_seconds(calls, latency=latency, concurrency=concurrency, of_one=of_one) == seconds


def test_an_agencys_integration_token_is_told_what_it_does_not_open(
    ghl_snapshots: InProcess, agency: Agency, database: Database
) -> None:
    TenantRegistry(database).add(tenant_of(agency, credential="env:AGENCY_TOKEN", tenant_id="agency"))
    done = ghl_snapshots("tenants", "check", "agency")
    assert done.returncode == 1
    assert "opens the agency's own endpoints only" in words(done)
