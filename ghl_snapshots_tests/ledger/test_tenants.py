"""The registry of tenants: clear refusals, nothing half-written, every change in the audit trail."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from psycopg import Connection

from ghl_snapshots.core.errors import ConfigurationError, LedgerError, UnknownTenantError
from ghl_snapshots.core.model import AccountKind, Tenant
from ghl_snapshots.ledger.audit import AuditTrail
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots_tests.ledger.captures import tenant


@pytest.fixture
def registry(database: Database) -> TenantRegistry:
    return TenantRegistry(database)


def reported(database: Database, tenant_id: str) -> list[tuple[str, dict[str, Any]]]:
    """Type and details of a tenant's audit events since the template was made, the newest first."""
    events = AuditTrail(database).events(tenant_id=tenant_id)
    return [(event.event_type, dict(event.details)) for event in events]


def test_a_tenant_that_was_added_is_there_with_its_audit_event(
    registry: TenantRegistry, database: Database
) -> None:
    given = Tenant(
        tenant_id="north.wind-1",
        ghl_account_id="5DP4iH6HLkQsiKESj6rh",
        account_kind=AccountKind.COMPANY,
        credential="file:/run/secrets/token",
    )
    registry.add(given)
    assert registry.get("north.wind-1") == given
    assert [known.tenant_id for known in registry.list()] == ["acme", "north.wind-1", "zenith"]
    assert reported(database, "north.wind-1") == [
        (
            "ghl_snapshot_tenant_added",
            {
                "ghlAccountId": "5DP4iH6HLkQsiKESj6rh",
                "accountKind": "company",
                "credential": "file:/run/secrets/token",
                "enabled": True,
                "overrides": {},
            },
        )
    ]


def test_a_tenant_cannot_be_added_twice(registry: TenantRegistry, database: Database) -> None:
    with pytest.raises(ConfigurationError, match="'acme' exists already"):
        registry.add(replace(tenant("acme"), credential="oauth"))
    assert registry.get("acme") == tenant("acme")
    assert len(reported(database, "acme")) == 1


def test_an_unknown_tenant_is_said_to_be_unknown(registry: TenantRegistry) -> None:
    attempts: list[Callable[[], object]] = [
        lambda: registry.get("nobody"),
        lambda: registry.set_enabled("nobody", enabled=False),
        lambda: registry.update(tenant("nobody")),
    ]
    for attempt in attempts:
        with pytest.raises(UnknownTenantError, match="'nobody'"):
            attempt()


def test_disabling_a_tenant_is_reported_once(registry: TenantRegistry, database: Database) -> None:
    assert registry.set_enabled("acme", enabled=False)
    assert not registry.set_enabled("acme", enabled=False)
    assert not registry.get("acme").enabled
    assert [(kind, details["enabled"]) for kind, details in reported(database, "acme")] == [
        ("ghl_snapshot_tenant_changed", False),
        ("ghl_snapshot_tenant_added", True),
    ]


def test_an_update_replaces_what_differs(registry: TenantRegistry, database: Database) -> None:
    changed = replace(tenant("acme"), credential="oauth", account_kind=AccountKind.COMPANY)
    assert registry.update(changed)
    assert not registry.update(changed)
    assert registry.get("acme") == changed
    assert len(reported(database, "acme")) == 2


def test_changes_at_once_do_not_undo_each_other(registry: TenantRegistry) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: registry.set_enabled("acme", enabled=bool(n % 2)), range(40)))
        pool.submit(registry.update, replace(tenant("acme"), credential="oauth")).result()
    assert registry.get("acme").credential == "oauth"


def test_an_import_adds_and_changes_and_leaves_alone(registry: TenantRegistry, database: Database) -> None:
    changed, new = replace(tenant("zenith"), credential="oauth"), tenant("beta")
    assert registry.import_all([changed, tenant("acme"), new]) == [new, changed]
    assert registry.import_all([changed, tenant("acme"), new]) == []
    assert registry.import_all([]) == []
    assert registry.list() == [tenant("acme"), new, changed]
    events = [AuditTrail(database).events(tenant_id=one.tenant_id)[0] for one in (new, changed)]
    assert events[0].correlation_id == events[1].correlation_id


def test_an_import_that_fails_at_its_end_changes_nothing(
    registry: TenantRegistry, database: Database, superuser: Connection
) -> None:
    superuser.execute(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE 'no space left' USING ERRCODE = 'disk_full'; END $$"
    )
    superuser.execute(
        "CREATE TRIGGER full_disk BEFORE INSERT ON audit_event FOR EACH ROW "
        "WHEN (NEW.tenant_id = 'omega') EXECUTE FUNCTION full_disk()"
    )
    with pytest.raises(LedgerError, match="no space left"):
        registry.import_all([tenant("beta"), tenant("omega")])
    assert [known.tenant_id for known in registry.list()] == ["acme", "zenith"]
    assert reported(database, "beta") == []


def test_a_few_of_many_are_read_by_their_ids(registry: TenantRegistry) -> None:
    registry.set_enabled("acme", enabled=False)
    assert [known.tenant_id for known in registry.select(["zenith", "nobody", "acme"])] == ["acme", "zenith"]
    assert registry.enabled() == {"zenith"}
