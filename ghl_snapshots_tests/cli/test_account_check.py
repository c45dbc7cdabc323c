"""`tenants check` says what a credential may read before anything is stored."""

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import TypeAlias

import pytest

from ghl_snapshots.core.model import SnapshotType, Tenant
from ghl_snapshots.ghl.endpoints import ENDPOINTS
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.simulator.accounts import Agency
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
    assert "left out: grant the scope knowledge-bases.readonly to the token of env:LOCATION_TOKEN" in words(
        done
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
    found = re.search(r"takes (\d+) calls", words(done))
    assert found
    assert int(found[1]) > len(simulator.request_log)


def test_an_agencys_integration_token_is_told_what_it_does_not_open(
    ghl_snapshots: InProcess, agency: Agency, database: Database
) -> None:
    TenantRegistry(database).add(tenant_of(agency, credential="env:AGENCY_TOKEN", tenant_id="agency"))
    done = ghl_snapshots("tenants", "check", "agency")
    assert done.returncode == 1
    assert "opens the agency's own endpoints only" in words(done)
