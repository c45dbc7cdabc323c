"""Exchanges of refresh tokens, which a test holds under way while it ends the run that waits for one."""

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.tokens import AccessToken, StoredTokens
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.simulator.tokens import refresh_token
from ghl_snapshots_tests.ghl.rig import KEY, now
from ghl_snapshots_tests.held_answers import HoldBack, hold_back
from ghl_snapshots_tests.orchestration.product import Product

_REFRESH = "/oauth/token"


def held_exchange(product: Product, tenant_id: str) -> HoldBack:
    """Have the tenant's next run exchange, and the answer held back.

    The tenant gets the OAuth app and an access token that GHL does not accept.
    """
    location = product.location(tenant_id)
    with open_database(product.settings) as database, product.registry() as registry:
        registry.update(replace(product.tenants[tenant_id], credential="oauth"))
        access = AccessToken(value="revoked", expires_at=now() + timedelta(hours=12))
        with OAuthTokens(database, KEY).locked(tenant_id) as locked:
            locked.install(StoredTokens(refresh_token=location.refresh_token, access=access))
    return hold_back(product.simulator, _REFRESH, location.location_id)


def exchanges(product: Product) -> int:
    """How many the simulated GHL was asked for."""
    return sum(request.route == _REFRESH for request in product.simulator.request_log)


def accounts_kept(product: Product, tenant_ids: Collection[str]) -> bool:
    """Whether each of them has its second refresh token stored, which alone is good after an exchange."""
    with open_database(product.settings) as database:
        stored = {tenant_id: OAuthTokens(database, KEY).load(tenant_id) for tenant_id in tenant_ids}
    seed = product.simulator.accounts.seed
    return all(
        tokens and tokens.refresh_token == refresh_token(seed, product.location(tenant_id).location_id, 2)
        for tenant_id, tokens in stored.items()
    )
