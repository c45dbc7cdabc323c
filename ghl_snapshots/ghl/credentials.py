"""Credential references become token sources: whose token goes with which call.

A reference is `env:NAME` or `file:/path`, where a Private Integration Token is read each time a capture
begins, or `oauth`. A token is never a part of a tenant's record, of an error or of a log.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from ghl_snapshots.core.errors import ConfigurationError, CredentialError
from ghl_snapshots.core.model import AccountKind, Tenant
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.client import GhlClient
from ghl_snapshots.ghl.location_tokens import LocationTokens, OAuthLocation
from ghl_snapshots.ghl.oauth import OAuthAccount
from ghl_snapshots.ghl.token_exchange import TokenExchange
from ghl_snapshots.ghl.token_source import TokenSource
from ghl_snapshots.ghl.token_store import TokenStore

_LONGEST_TOKEN: Final = 16_384


class AccountCredentials(Protocol):
    """The token sources of one tenant during one capture."""

    @property
    def account(self) -> TokenSource:
        """Whose token asks about the account itself, such as which locations a company has."""

    @property
    def agency_only(self) -> bool:
        """Whether the token reads a company's own endpoints only, and none that need a location's token."""

    @property
    def app_id(self) -> str | None:
        """The OAuth app by whose installations a company's locations are opened; None without one."""

    def location(self, location_id: str, *, is_installed: bool) -> TokenSource:
        """Whose token asks about a location; `is_installed`: GHL lists the app as installed in it."""


class Credentials:
    """Opens tenants' accounts by their credential references; location tokens are cached."""

    def __init__(
        self,
        client: GhlClient,
        *,
        environ: Mapping[str, str],
        exchange: TokenExchange | None,
        store: TokenStore | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._environ = environ
        self._exchange = exchange
        self._store = store
        self._clock = clock
        self._location_tokens = LocationTokens(store, clock=clock) if store else None

    def open(self, tenant: Tenant, budget: Budget) -> AccountCredentials:
        """What the tenant's credential opens; no token is read or asked for before a call needs it."""
        if tenant.credential != "oauth":
            return _OneToken(
                _IntegrationToken(tenant, self._environ),
                agency_only=tenant.account_kind is AccountKind.COMPANY,
            )
        if self._exchange is None or self._store is None or self._location_tokens is None:
            return _OneToken(_NoToken(tenant))
        account = OAuthAccount(
            tenant,
            exchange=self._exchange,
            store=self._store,
            client=self._client,
            budget=budget,
            clock=self._clock,
        )
        if tenant.account_kind is AccountKind.LOCATION:
            return _OneToken(account)
        return _OAuthCompany(account, self._location_tokens, app_id=self._exchange.app_id)


class _OneToken:
    """One token source for everything."""

    app_id = None

    def __init__(self, account: TokenSource, *, agency_only: bool = False) -> None:
        self.account = account
        self.agency_only = agency_only

    def location(self, location_id: str, *, is_installed: bool) -> TokenSource:
        return self.account


class _OAuthCompany:
    """A company's token and those of its locations."""

    agency_only = False

    def __init__(self, account: OAuthAccount, location_tokens: LocationTokens, *, app_id: str) -> None:
        self.account = account
        self.app_id = app_id
        self._location_tokens = location_tokens

    def location(self, location_id: str, *, is_installed: bool) -> TokenSource:
        return OAuthLocation(self.account, location_id, self._location_tokens, is_installed=is_installed)


class _NoToken(TokenSource):
    """The credential `oauth` in a deployment that has no OAuth app."""

    def __init__(self, tenant: Tenant) -> None:
        super().__init__(resource_id=tenant.ghl_account_id, reference=tenant.credential)

    def token(self) -> str:
        raise ConfigurationError(
            "The tenant has the credential oauth, but GHL_OAUTH_CLIENT_ID and GHL_OAUTH_CLIENT_SECRET, which "
            "name the GHL app, are not set."
        )

    def renew(self) -> bool:
        return False


class _IntegrationToken(TokenSource):
    """A Private Integration Token that an environment variable or a file holds."""

    def __init__(self, tenant: Tenant, environ: Mapping[str, str]) -> None:
        super().__init__(resource_id=tenant.ghl_account_id, reference=tenant.credential)
        self._environ = environ
        self._token: str | None = None

    def token(self) -> str:
        """The token, read once in a capture; threads that read it at once read the same."""
        if self._token is None:
            self._token = self._read()
        return self._token

    def renew(self) -> bool:
        """Read the reference again, in case that another token was put there meanwhile."""
        refused, self._token = self._token, self._read()
        return self._token != refused

    def _read(self) -> str:
        kind, _, place = self.reference.partition(":")
        text = self._from_environment(place) if kind == "env" else self._from_file(Path(place))
        token = text.strip()
        if not token:
            raise CredentialError(f"The credential {self.reference} is empty; put a token there.")
        if not token.isascii() or not token.isprintable() or " " in token or len(token) > _LONGEST_TOKEN:
            raise CredentialError(
                f"What the credential {self.reference} names is no token: it must be one line of printable "
                "ASCII characters without spaces."
            )
        return token

    def _from_environment(self, name: str) -> str:
        try:
            return self._environ[name]
        except KeyError:
            raise CredentialError(
                f"The environment variable {name}, which the credential {self.reference} names, is not set "
                "in the process that captures."
            ) from None

    def _from_file(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                return file.read(_LONGEST_TOKEN + 1).decode()
        except UnicodeDecodeError:
            raise CredentialError(f"The file of the credential {self.reference} is not text.") from None
        except OSError as error:
            raise CredentialError(
                f"The file of the credential {self.reference} cannot be read: {error.strerror}."
            ) from None
