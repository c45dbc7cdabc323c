"""What a tenant overrides holds for it and for no other."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import pytest

from ghl_snapshots.capture.composition import capture_engine
from ghl_snapshots.capture.engine import CaptureEngine
from ghl_snapshots.core.capture_settings import CaptureSettings, checked_overrides, parsed_overrides
from ghl_snapshots.core.errors import ConfigurationError, ErrorKind
from ghl_snapshots.core.model import Capture, SnapshotType, Source, Status, Tenant
from ghl_snapshots.core.settings import Settings
from ghl_snapshots.ledger.audit import AuditTrail
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.faults import Fault, Hang, Respond
from ghl_snapshots.simulator.generation import demo_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.ghl.rig import KEY, installed, tenant_of


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(demo_accounts(seed=1)) as simulator:
        yield simulator


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[Database]:
    url = postgres.url(f"overrides_{uuid4().hex}")
    migrate(url)
    with Database(url) as database:
        yield database


@pytest.fixture
def engine(
    simulator: Simulator, database: Database, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CaptureEngine]:
    """The product's engine as a deployment has it, but for shorter waits."""
    for number, location in enumerate(simulator.accounts.single_locations):
        monkeypatch.setenv(f"TOKEN_{number}", location.private_integration_token)
    settings = Settings.model_validate(
        {"ghl_base_url": simulator.base_url, "retry_wait_seconds": 0.001, "max_attempts": 3}
    )
    with capture_engine(settings, database) as engine:
        yield engine


@pytest.fixture
def others(simulator: Simulator) -> Tenant:
    """A tenant that overrides nothing."""
    return tenant_of(simulator.accounts.single_locations[1], credential="env:TOKEN_1", tenant_id="others")


def own(simulator: Simulator, **overrides: float) -> Tenant:
    """A tenant that overrides something."""
    location = simulator.accounts.single_locations[0]
    return Tenant(
        tenant_id="own",
        ghl_account_id=location.location_id,
        account_kind=tenant_of(location).account_kind,
        credential="env:TOKEN_0",
        overrides=overrides,
    )


def captured(engine: CaptureEngine, tenant: Tenant) -> Capture:
    return engine.capture(
        tenant, SnapshotType.WORKFLOWS, source=Source.MANUAL, correlation_id="manual_overrides"
    )


@pytest.mark.parametrize("name", ["capture_timeout_seconds", "read_timeout_seconds"])
def test_a_shorter_time_ends_the_tenants_own_captures_only(
    engine: CaptureEngine, simulator: Simulator, others: Tenant, name: str
) -> None:
    simulator.inject(Fault(effect=Hang(seconds=0.6), route="/workflows/"))
    capture = captured(engine, own(simulator, **{name: 0.1}, max_attempts=1))
    assert [error.kind for error in capture.errors] == [ErrorKind.TIMEOUT]
    assert captured(engine, others).status is Status.SUCCESS


def test_the_number_of_attempts_is_the_tenants_own(
    engine: CaptureEngine, simulator: Simulator, others: Tenant
) -> None:
    simulator.inject(Fault(effect=Respond(status=503), route="/workflows/"))
    assert captured(engine, own(simulator, max_attempts=1)).api_call_count == 1
    assert captured(engine, others).api_call_count == 3


def test_the_waits_between_attempts_are_the_tenants_own(
    engine: CaptureEngine, simulator: Simulator, others: Tenant
) -> None:
    """A wait that outlasts the capture leaves no time for all of the attempts."""
    simulator.inject(Fault(effect=Respond(status=503), route="/workflows/"))
    patient = own(
        simulator,
        retry_wait_seconds=1e6,
        longest_retry_wait_seconds=1e6,
        max_attempts=3,
        capture_timeout_seconds=0.3,
    )
    assert captured(engine, patient).api_call_count == 1
    assert captured(engine, others).api_call_count == 3


def test_the_daily_reserve_is_the_tenants_own(
    engine: CaptureEngine, simulator: Simulator, others: Tenant
) -> None:
    simulator.limits.daily_limit = 1000
    generous = own(simulator, daily_reserve=0.1)
    for tenant in (generous, others):
        simulator.limits.spend_daily(tenant.ghl_account_id, 600)
        captured(engine, tenant)
    assert captured(engine, generous).status is Status.SUCCESS
    assert [error.kind for error in captured(engine, others).errors] == [ErrorKind.DAILY_LIMIT]


@pytest.mark.parametrize(("overrides", "expected"), [({"concurrency": 1}, "one by one"), ({}, "at once")])
def test_a_tenant_may_be_asked_for_less_at_once(
    simulator: Simulator, database: Database, overrides: dict[str, float], expected: str
) -> None:
    simulator.latency_seconds = 0.03
    agency = next(iter(simulator.accounts.agencies.values()))
    installed(database, agency, tenant_id="agency")
    settings = Settings.model_validate(
        {
            "ghl_base_url": simulator.base_url,
            "oauth_client_id": simulator.accounts.client_id,
            "oauth_client_secret": simulator.accounts.client_secret,
            "encryption_keys": KEY,
        }
    )
    tenant = Tenant(
        tenant_id="agency",
        ghl_account_id=agency.company_id,
        account_kind=tenant_of(agency).account_kind,
        credential="oauth",
        overrides=overrides,
    )
    with capture_engine(settings, database) as engine:
        capture = captured(engine, tenant)
    assert capture.status is Status.SUCCESS
    spans = sorted(
        (request.requested_at, request.requested_at + timedelta(milliseconds=request.duration_ms - 5))
        for request in capture.requests
        if request.location_id
    )
    overlapping = any(later[0] < earlier[1] for earlier, later in pairwise(spans))
    assert ("at once" if overlapping else "one by one") == expected


def test_an_override_that_is_no_setting_costs_its_own_tenant_only(
    engine: CaptureEngine, simulator: Simulator, others: Tenant
) -> None:
    """The registry refuses it, but somebody may have written it by SQL."""
    capture = captured(engine, own(simulator, patience=7))
    assert (capture.status, capture.api_call_count) == (Status.FAILED, 0)
    assert [error.kind for error in capture.errors] == [ErrorKind.CONFIGURATION]
    assert "Override patience: there is no such setting" in capture.errors[0].message
    assert captured(engine, others).status is Status.SUCCESS


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"max_attempts": 0}, "max_attempts: Input should be greater than or equal to 1"),
        ({"max_attempts": 1.5}, "max_attempts: Input should be a valid integer"),
        ({"daily_reserve": 1}, "daily_reserve: Input should be less than or equal to 0.99"),
        ({"read_timeout_seconds": "soon"}, "read_timeout_seconds: Input should be a valid number"),
        ({"connect_timeout_seconds": float("nan")}, "connect_timeout_seconds"),
        ({"ghl_base_url": "http://elsewhere"}, "ghl_base_url: there is no such setting"),
    ],
)
def test_a_wrong_override_is_refused_with_what_is_wrong(values: dict[str, object], problem: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"What can be overridden: connect_timeout_seconds"
    ) as caught:
        checked_overrides(values)
    assert problem in str(caught.value)


def test_a_text_is_read_as_a_number() -> None:
    assert parsed_overrides(["max_attempts=2", "daily_reserve = 0.8"]) == {
        "max_attempts": 2,
        "daily_reserve": 0.8,
    }
    with pytest.raises(ConfigurationError, match="'max_attempts' is no override; write it as max_attempts=2"):
        parsed_overrides(["max_attempts"])


def test_what_is_not_overridden_is_the_deployments() -> None:
    settings = Settings.model_validate({"max_attempts": 7, "concurrency": 3})
    assert settings.overridden({"concurrency": 2}) == CaptureSettings(max_attempts=7, concurrency=2)


def test_a_change_is_an_audit_event_with_what_was_before(simulator: Simulator, database: Database) -> None:
    registry = TenantRegistry(database)
    registry.add(own(simulator))
    assert registry.update(own(simulator, max_attempts=2))
    assert not registry.update(own(simulator, max_attempts=2))
    assert registry.get("own").overrides == {"max_attempts": 2}
    since = datetime.now(UTC) - timedelta(hours=1)
    events = [event for event in AuditTrail(database).events(tenant_id="own", since=since) if event.details]
    changed = next(event for event in events if event.event_type == "ghl_snapshot_tenant_changed")
    assert changed.details["overrides"] == {"max_attempts": 2}
    assert changed.details["before"]["overrides"] == {}
