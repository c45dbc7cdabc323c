"""How the parts are put together from the settings, for the Dagster shell, the API and the command line."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime

from ghl_snapshots.capture.account_check import AccountCheck, check_account
from ghl_snapshots.capture.engine import CaptureEngine
from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.model import Tenant
from ghl_snapshots.core.settings import Settings
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.client import GhlClient
from ghl_snapshots.ghl.credentials import Credentials
from ghl_snapshots.ghl.deadline import Deadline
from ghl_snapshots.ghl.exchange_thread import wait_for_exchanges
from ghl_snapshots.ghl.limits import RateLimiter
from ghl_snapshots.ghl.token_exchange import OAuthApp, TokenExchange
from ghl_snapshots.ghl.transport import Transport
from ghl_snapshots.ledger.daily_quotas import DailyQuotas
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens


def database_url(settings: Settings) -> str:
    """The URL of the product's database, password included; only for opening connections.

    Raises:
        ConfigurationError: no database is named.
    """
    if settings.database_url is None:
        raise ConfigurationError(
            "GHL_SNAPSHOTS_DATABASE_URL is not set. `ghl-snapshots` sets it for an embedded PostgreSQL: "
            "`ghl-snapshots dagster ...` runs Dagster's commands with it, `ghl-snapshots env` prints it. For "
            "another server it has the form postgresql://user:password@host:port/database."
        )
    return settings.database_url.get_secret_value()


def auditor_url(settings: Settings) -> str:
    """The URL with the login that reads across tenants; raises like `database_url`."""
    if settings.auditor_database_url is None:
        return database_url(settings)
    return settings.auditor_database_url.get_secret_value()


def open_database(settings: Settings) -> Database:
    """The product's database as a context manager; nothing connects before it is asked for something.

    Raises:
        ConfigurationError: no database is named.
    """
    return Database(database_url(settings), auditor_url(settings))


def capture_engine(settings: Settings, database: Database) -> CaptureEngine:
    """The engine as a context manager; it reads a tenant's credential only when it captures that tenant."""
    quotas = DailyQuotas(database)
    limiter = RateLimiter(quotas=quotas, today=quotas.today)
    client = GhlClient(Transport(settings.base_url), limiter, clock=_now)
    return CaptureEngine(
        client,
        _credentials(settings, database, client),
        concurrency=settings.concurrency,
        settings=lambda tenant: settings.overridden(tenant.overrides),
        clock=_now,
    )


def check(settings: Settings, database: Database, tenant: Tenant) -> AccountCheck:
    """What the tenant's credential opens, asked of GHL; nothing of it is stored but OAuth tokens."""
    client = GhlClient(Transport(settings.base_url), RateLimiter(), clock=_now)
    with closing(client):
        try:
            credentials = _credentials(settings, database, client)
            return check_account(tenant, client, credentials, exchange_budget(settings, tenant))
        finally:
            wait_for_exchanges()


def redeem(settings: Settings, database: Database, tenant: Tenant, code: str) -> None:
    """Exchange an authorization code for the tenant's tokens and store them.

    Raises:
        ConfigurationError: the settings name no OAuth app.
        GhlError: GHL does not take the code, or it opens another account.
        LedgerError: the tokens could not be stored.
    """
    with token_exchange(settings, database) as exchange:
        exchange.redeem(tenant, code, budget=exchange_budget(settings, tenant))


@contextmanager
def token_exchange(settings: Settings, database: Database) -> Iterator[TokenExchange]:
    """What exchanges grants for tokens; the end of the block waits for an exchange under way.

    Raises:
        ConfigurationError: the settings name no OAuth app.
    """
    client = GhlClient(Transport(settings.base_url), RateLimiter(), clock=_now)
    with closing(client):
        exchange = _exchange(settings, database, client)
        if exchange is None:
            raise ConfigurationError(
                "GHL_OAUTH_CLIENT_ID and GHL_OAUTH_CLIENT_SECRET are not set; they name the GHL app that "
                "the tenants' accounts have installed, and exchanging a code or token takes them."
            )
        try:
            yield exchange
        finally:
            wait_for_exchanges()


def exchange_budget(settings: Settings, tenant: Tenant) -> Budget:
    """The time that an exchange is waited for, and how GHL is asked for the tenant."""
    overridden = settings.overridden(tenant.overrides)
    return Budget(deadline=Deadline(overridden.capture_timeout_seconds), settings=overridden)


def _credentials(settings: Settings, database: Database, client: GhlClient) -> Credentials:
    return Credentials(
        client,
        environ=os.environ,
        exchange=_exchange(settings, database, client),
        store=OAuthTokens(database, settings.encryption_keys_text),
        clock=_now,
    )


def _exchange(settings: Settings, database: Database, client: GhlClient) -> TokenExchange | None:
    """What exchanges grants for tokens, or None where the settings name no OAuth app."""
    if settings.oauth_client_id is None or settings.oauth_client_secret is None:
        return None
    return TokenExchange(
        app=OAuthApp(
            client_id=settings.oauth_client_id,
            client_secret=settings.oauth_client_secret.get_secret_value(),
            own_app_id=settings.oauth_app_id,
        ),
        store=OAuthTokens(database, settings.encryption_keys_text),
        client=client,
        clock=_now,
    )


def _now() -> datetime:
    return datetime.now(UTC)
