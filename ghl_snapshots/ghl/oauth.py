"""An account's access token from the OAuth app that is installed in it."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Protocol

from ghl_snapshots.core.errors import CredentialError, GhlError, LedgerError
from ghl_snapshots.core.model import Tenant
from ghl_snapshots.core.tokens import LocationToken, StoredTokens
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.client import GhlClient
from ghl_snapshots.ghl.tokens import Token


class LockedTokens(Protocol):
    """A tenant's tokens while no other process may refresh them."""

    @property
    def tokens(self) -> StoredTokens | None:
        """The tokens, or None if the tenant has none; raises CredentialError where they cannot be read."""

    def store(self, tokens: StoredTokens) -> None:
        """Replace the tokens by those that follow; they are durable when this returns."""

    def install(self, tokens: StoredTokens) -> None:
        """Begin anew with the tokens of a new authorization; they are durable when this returns."""


class TokenStore(Protocol):
    """Where tenants' OAuth tokens are kept between captures."""

    def load(self, tenant_id: str) -> StoredTokens | None:
        """The tenant's tokens, or None if it has none."""

    def locked(
        self, tenant_id: str, *, patience_seconds: float = ...
    ) -> AbstractContextManager[LockedTokens]:
        """The tenant's tokens, for one process at a time; another one is waited for as long as this.

        Raises:
            LedgerError: it takes longer.
        """

    def location_tokens(self, tenant_id: str, *, known: Collection[str] = ()) -> Mapping[str, LocationToken]:
        """The kept tokens of the locations of the tenant's company, those that are `known` left out."""

    def keep_location_tokens(self, tenant_id: str, tokens: Mapping[str, LocationToken]) -> None:
        """Keep locations' tokens in the place of older ones."""


class Exchange(Protocol):
    """Exchanges single-use grants for tokens; a new refresh token is stored when a method returns.

    Each counts the requests that were sent in the budget, and raises GhlError where GHL refuses or does not
    answer, CredentialError where the tenant has no tokens that can be read, and LedgerError.
    """

    def refreshed(self, tenant: Tenant, *, refused: str | None, budget: Budget) -> Token:
        """A good access token that is not the refused one."""

    def redeemed(self, tenant: Tenant, code: str, *, budget: Budget) -> Token:
        """The access token for an authorization code, with which the tenant's tokens begin anew."""


class OAuthAccount:
    """The account's own access token in one capture: from the store while it is good, else refreshed.

    Each refresh spends a single-use token, so there is one at most for a stored token that has run out, one
    for a token that GHL refuses, and none after one that has failed.
    """

    def __init__(
        self,
        tenant: Tenant,
        *,
        exchange: Exchange,
        store: TokenStore,
        client: GhlClient,
        budget: Budget,
        clock: Callable[[], datetime],
    ) -> None:
        self.tenant = tenant
        self.client = client
        self.budget = budget
        self.clock = clock
        self._exchange = exchange
        self._store = store
        self._known: Token | None = None
        self._fresh = False
        self._renewed = False
        self._failure: GhlError | None = None
        self._opens: set[str] = set()
        self._not_opened: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    @property
    def resource_id(self) -> str:
        """The tenant's account."""
        return self.tenant.ghl_account_id

    @property
    def reference(self) -> str:
        """The credential in words."""
        return reference(self.tenant)

    def token(self) -> str:
        """The account's access token; threads that need it at once wait for one to fetch it.

        Raises:
            GhlError: GHL refuses the refresh token or does not answer.
            CredentialError: the tenant has no tokens, or the database does not give or take them.
        """
        with self._lock, self._database_trouble():
            self._check_failure()
            if self._known is None:
                self._known = self._stored()
            if self._known is None or not (self._fresh or self._known.good(self.clock())):
                self._known = self._refreshed(refused=None)
            return self._known.value

    def renewed(self, refused: str) -> str | None:
        """The access token that replaces one that GHL refused, None for a second one; raises like `token`."""
        with self._lock, self._database_trouble():
            self._check_failure()
            if self._known is None or self._known.value == refused:
                if self._renewed:
                    return None
                self._renewed = True
                self._known = self._refreshed(refused=refused)
            return self._known.value

    @property
    def lost(self) -> bool:
        """Whether GHL accepts neither the account's token nor the refresh token for another one."""
        return self._failure is not None and self._failure.kind.ends_tenant

    def opened(self, token: str) -> None:
        """Note that GHL gave a location's token for the account's."""
        self._opens.add(token)

    def refused(self, token: str, location_id: str, refusal: GhlError) -> None:
        """Give the account up if GHL refuses its renewed token too, and not for this location only.

        A token that opens another location is good, and what is refused for one may be that one's fault.
        """
        with self._lock:
            self._not_opened.add((token, location_id))
            others = sum(tried == token for tried, _ in self._not_opened) - 1
            if others and token not in self._opens:
                self._failure = refusal

    def _check_failure(self) -> None:
        if self._failure is not None:
            error = self._failure
            raise GhlError(error.kind, error.message, status=error.status, attempts=0)

    def _refreshed(self, *, refused: str | None) -> Token:
        try:
            token = self._exchange.refreshed(self.tenant, refused=refused, budget=self.budget)
        except GhlError as error:
            self._failure = error
            raise
        self._fresh = True
        return token

    def _stored(self) -> Token | None:
        tokens = self._store.load(self.tenant.tenant_id)
        if tokens is None:
            raise not_authorized(self.tenant)
        return access_token(tokens)

    @contextmanager
    def _database_trouble(self) -> Iterator[None]:
        """Turn what the token store raises into what the credential's user can make sense of."""
        try:
            yield
        except LedgerError as error:
            self.budget.deadline.check()
            raise CredentialError(
                f"The OAuth tokens of tenant {self.tenant.tenant_id} cannot be read or stored: {error}"
            ) from None


def access_token(tokens: StoredTokens | None) -> Token | None:
    """The access token among a tenant's tokens, good or not."""
    if tokens is None or tokens.access_token is None or tokens.access_expires_at is None:
        return None
    return Token(value=tokens.access_token, expires_at=tokens.access_expires_at)


def reference(tenant: Tenant) -> str:
    """The tenant's credential in words."""
    return f"tenant {tenant.tenant_id}'s installation of the OAuth app"


def remedy(tenant: Tenant, *options: str) -> str:
    """The command that stores tokens by hand."""
    return f"`{' '.join(('ghl-snapshots tenants authorize', tenant.tenant_id, *options))}`"


def not_authorized(tenant: Tenant) -> CredentialError:
    """The error for a tenant that has no tokens yet."""
    return CredentialError(
        f"There are no OAuth tokens of tenant {tenant.tenant_id} in the database: install the GHL app in its "
        f"account and store the installation's refresh token by {remedy(tenant)}, or exchange its "
        f"authorization code by {remedy(tenant, '--code')}."
    )
