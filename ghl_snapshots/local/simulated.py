"""The simulated GHL with its accounts registered as tenants, for the demo and for `dev`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.model import AccountKind, Tenant
from ghl_snapshots.core.settings import Settings
from ghl_snapshots.core.tokens import StoredTokens
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.environment import variables
from ghl_snapshots.simulator.accounts import Accounts
from ghl_snapshots.simulator.generation import demo_accounts
from ghl_snapshots.simulator.server import Simulator

_SEED = 1


@contextmanager
def simulated_ghl(settings: Settings) -> Iterator[Simulator]:
    """Serve the demo's accounts on a free port of this machine, with all of them registered as tenants.

    Raises:
        ConfigurationError: other tenants are enabled in the database: their credentials must not reach the
            simulator, and simulated snapshots must not be stored beside theirs.
    """
    accounts = demo_accounts(_SEED, gaps=True)
    with open_database(settings) as database:
        _register(database, accounts)
        _authorize(OAuthTokens(database, settings.encryption_keys_text), accounts)
    with Simulator(accounts) as simulator, variables(_environment(accounts, simulator.base_url)):
        yield simulator


def demo_tenants(accounts: Accounts) -> list[Tenant]:
    """The demo's accounts as tenants: agencies by OAuth, single locations by Private Integration Token."""
    agencies = [
        Tenant(
            tenant_id=_slug(agency.name),
            ghl_account_id=agency.company_id,
            account_kind=AccountKind.COMPANY,
            credential="oauth",
        )
        for agency in accounts.agencies.values()
    ]
    locations = [
        Tenant(
            tenant_id=_slug(location.name),
            ghl_account_id=location.location_id,
            account_kind=AccountKind.LOCATION,
            credential=f"env:{_variable(location.name)}",
        )
        for location in accounts.single_locations
    ]
    return agencies + locations


def _register(database: Database, accounts: Accounts) -> None:
    demo = demo_tenants(accounts)
    registry = TenantRegistry(database)
    registered = registry.list()
    registered_ids = {tenant.tenant_id for tenant in registered}
    enabled = {tenant.tenant_id for tenant in registered if tenant.enabled}
    foreign = sorted(enabled - {tenant.tenant_id for tenant in demo})
    if foreign:
        raise ConfigurationError(
            f"The database has tenants that are not the demo's ({', '.join(foreign[:3])}"
            f"{', ...' if len(foreign) > 3 else ''}), and simulated snapshots do not belong with theirs. "
            "To capture from the real GHL, set GHL_BASE_URL=https://services.leadconnectorhq.com and run "
            "`ghl-snapshots dev`; for the demo, set GHL_SNAPSHOTS_HOME to a folder of its own, or disable "
            f"the tenant (`ghl-snapshots tenants disable {foreign[0]}`)."
        )
    registry.import_all([tenant for tenant in demo if tenant.tenant_id not in registered_ids])


def _authorize(tokens: OAuthTokens, accounts: Accounts) -> None:
    """Store the refresh token of every agency, as installing the OAuth app would give it."""
    for agency in accounts.agencies.values():
        with tokens.locked(_slug(agency.name)) as locked:
            # Refresh tokens are single use: what an earlier start stored is newer than the agency's first.
            if locked.tokens is None:
                locked.install(StoredTokens(refresh_token=agency.refresh_token))


def _environment(accounts: Accounts, base_url: str) -> dict[str, str]:
    app = {
        "GHL_BASE_URL": base_url,
        "GHL_OAUTH_CLIENT_ID": accounts.client_id,
        "GHL_OAUTH_CLIENT_SECRET": accounts.client_secret,
    }
    tokens = {
        _variable(location.name): location.private_integration_token for location in accounts.single_locations
    }
    return app | tokens


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _variable(name: str) -> str:
    return f"DEMO_{_slug(name).replace('-', '_').upper()}_TOKEN"
