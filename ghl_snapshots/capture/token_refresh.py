"""Refreshing access tokens before they expire, so that captures hardly ever have to wait for it."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final

from ghl_snapshots.capture.composition import exchange_budget, token_exchange
from ghl_snapshots.core.errors import DatabaseLostError, GhlSnapshotsError
from ghl_snapshots.core.settings import Settings
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.ledger.tenants import TenantRegistry

EXPIRES_WITHIN: Final = timedelta(hours=2)
"""Tokens that expire sooner are refreshed; those of GHL live for a day."""


def refresh_tokens(settings: Settings, database: Database, tenant_ids: Iterable[str]) -> Mapping[str, str]:
    """Refresh the tenants' tokens that expire soon; what went wrong, by tenant.

    Takes each tenant's token lock and no other. One tenant's failure costs no other's refresh, and is in the
    audit trail, by which `OAuthTokens.expiring` leaves the tenant alone for a while.

    Raises:
        ConfigurationError: the settings name no OAuth app.
        DatabaseLostError: the database is away, and what was not refreshed is refreshed the next time.
    """
    registry, store = TenantRegistry(database), OAuthTokens(database, settings.encryption_keys_text)
    failures: dict[str, str] = {}
    with token_exchange(settings, database) as exchange:
        for tenant_id in tenant_ids:
            try:
                tenant = registry.get(tenant_id)
                exchange.refresh(tenant, good_for=EXPIRES_WITHIN, budget=exchange_budget(settings, tenant))
            except DatabaseLostError:
                raise
            except GhlSnapshotsError as error:
                failures[tenant_id] = str(error)
                store.record_failed_refresh(tenant_id, error)
    return failures
