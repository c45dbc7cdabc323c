"""The registry of tenants; every change to it is an audit event in the same transaction."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from uuid_utils import uuid7

from ghl_snapshots.core.audit_events import AuditEvent, EventType
from ghl_snapshots.core.errors import ConfigurationError, UnknownTenantError
from ghl_snapshots.core.model import AccountKind, Source, Tenant
from ghl_snapshots.ledger.audit import record
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.queries import query


class TenantRegistry:
    """The tenants whose configuration is captured."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self) -> list[Tenant]:
        """Every tenant, the disabled ones included, by id."""
        with self._database.auditor() as connection:
            return [_tenant(row) for row in connection.execute(query("tenants"))]

    def select(self, tenant_ids: Collection[str]) -> Sequence[Tenant]:
        """Those of the tenants that the registry holds, the disabled ones included, by id."""
        with self._database.auditor() as connection:
            rows = connection.execute(query("tenants_by_ids"), {"tenant_ids": list(tenant_ids)})
            return [_tenant(row) for row in rows]

    def enabled(self) -> frozenset[str]:
        """Ids of all enabled tenants."""
        with self._database.auditor() as connection:
            return frozenset(row["tenant_id"] for row in connection.execute(query("enabled_tenants")))

    def never_captured(self) -> frozenset[str]:
        """Ids of the enabled tenants of whom there is no snapshot yet, not even a failed one.

        Raises:
            LedgerError: the server does not answer.
        """
        with self._database.auditor() as connection:
            return frozenset(row["tenant_id"] for row in connection.execute(query("never_captured")))

    def get(self, tenant_id: str) -> Tenant:
        """One tenant.

        Raises:
            UnknownTenantError: the registry does not hold it.
        """
        with self._database.reader(tenant_id) as connection:
            row = connection.execute(query("tenant"), {"tenant_id": tenant_id}).fetchone()
        if row is None:
            raise UnknownTenantError(tenant_id)
        return _tenant(row)

    def add(self, tenant: Tenant) -> None:
        """Add a tenant.

        Raises:
            ConfigurationError: the id is taken.
        """
        with self._database.writer(tenant.tenant_id) as connection:
            if not _applied(connection, "add_tenant", tenant):
                raise ConfigurationError(
                    f"Tenant {tenant.tenant_id!r} exists already; `ghl-snapshots tenants list` shows it."
                )
            _record(connection, EventType.TENANT_ADDED, tenant, _correlation_id())

    def update(self, tenant: Tenant) -> bool:
        """Replace a tenant's properties by these; whether that changed anything.

        Raises:
            UnknownTenantError: the registry does not hold it.
        """
        with self._database.writer(tenant.tenant_id) as connection:
            return _change(connection, tenant, _correlation_id())

    def set_enabled(self, tenant_id: str, *, enabled: bool) -> bool:
        """Let a tenant be captured, or no longer; whether that changed anything.

        Raises:
            UnknownTenantError: the registry does not hold it.
        """
        with self._database.writer(tenant_id) as connection:
            tenant = _locked(connection, tenant_id)
            return _change(connection, replace(tenant, enabled=enabled), _correlation_id())

    def import_all(self, tenants: Sequence[Tenant]) -> Sequence[Tenant]:
        """Add or change all these tenants in one transaction; those that were not just so already."""
        if not tenants:
            return []
        # In the order of their ids, so that two imports at once wait for each other in turn.
        ordered = sorted(tenants, key=lambda tenant: tenant.tenant_id)
        correlation_id = _correlation_id()
        with self._database.writer(ordered[0].tenant_id) as connection:
            return [tenant for tenant in ordered if _add_or_change(connection, tenant, correlation_id)]


def _locked(connection: Connection[DictRow], tenant_id: str) -> Tenant:
    """A tenant that nobody else changes until the transaction ends."""
    row = connection.execute(query("tenant_to_change"), {"tenant_id": tenant_id}).fetchone()
    if row is None:
        raise UnknownTenantError(tenant_id)
    return _tenant(row)


def _correlation_id() -> str:
    return f"tenants_{uuid7()}"


def _add_or_change(connection: Connection[DictRow], tenant: Tenant, correlation_id: str) -> bool:
    connection.execute(query("set_tenant"), {"tenant_id": tenant.tenant_id})
    if _applied(connection, "add_tenant", tenant):
        _record(connection, EventType.TENANT_ADDED, tenant, correlation_id)
        return True
    return _change(connection, tenant, correlation_id)


def _change(connection: Connection[DictRow], tenant: Tenant, correlation_id: str) -> bool:
    before = _locked(connection, tenant.tenant_id)
    changed = _applied(connection, "change_tenant", tenant)
    if changed:
        _record(connection, EventType.TENANT_CHANGED, tenant, correlation_id, before=before)
    return changed


def _applied(connection: Connection[DictRow], name: str, tenant: Tenant) -> bool:
    return connection.execute(query(name), _row(tenant)).fetchone() is not None


def _row(tenant: Tenant) -> dict[str, Any]:
    return {
        "tenant_id": tenant.tenant_id,
        "ghl_account_id": tenant.ghl_account_id,
        "account_kind": tenant.account_kind.value,
        "credential": tenant.credential,
        "enabled": tenant.enabled,
        "overrides": Jsonb(dict(tenant.overrides)),
    }


def _tenant(row: Mapping[str, Any]) -> Tenant:
    return Tenant(**{**row, "account_kind": AccountKind(row["account_kind"])})


def _record(
    connection: Connection[DictRow],
    event_type: str,
    tenant: Tenant,
    correlation_id: str,
    *,
    before: Tenant | None = None,
) -> None:
    event = AuditEvent(
        event_type=event_type,
        tenant_id=tenant.tenant_id,
        ghl_account_id=tenant.ghl_account_id,
        correlation_id=correlation_id,
        success=True,
        source=Source.MANUAL,
        details=_details(tenant) | ({"before": _details(before)} if before else {}),
    )
    record(connection, event)


def _details(tenant: Tenant) -> dict[str, Any]:
    """A tenant's properties as an audit event has them."""
    return {
        "ghlAccountId": tenant.ghl_account_id,
        "accountKind": tenant.account_kind.value,
        "credential": tenant.credential,
        "enabled": tenant.enabled,
        "overrides": dict(tenant.overrides),
    }
