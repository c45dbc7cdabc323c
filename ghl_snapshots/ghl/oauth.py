"""An account's access token from the OAuth app that is installed in it.

A refresh token is single use, and losing the one that GHL gave for it loses the account. So it is spent under
the token store's lock, by whoever finds that nobody else has just done so, and the next one is stored before
anything else happens.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from ghl_snapshots.errors import CredentialError, ErrorKind, GhlError, LedgerError
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.client import GhlClient
from ghl_snapshots.ghl.read_only import TOKEN_PATH
from ghl_snapshots.ghl.tokens import Token, token_of
from ghl_snapshots.model import AccountKind, LocationToken, StoredTokens, Tenant

_EXCHANGE_SECONDS: Final = 120.0
_STORING_SECONDS: Final = 60.0
_USER_TYPES: Final[Mapping[AccountKind, str]] = {
    AccountKind.LOCATION: "Location",
    AccountKind.COMPANY: "Company",
}


class LockedTokens(Protocol):
    """A tenant's tokens while no other process may refresh them."""

    @property
    def tokens(self) -> StoredTokens | None:
        """The tokens, or None if the tenant has none; raises CredentialError where they cannot be read."""

    def store(self, tokens: StoredTokens) -> None:
        """Replace the tokens; they are durable when this returns."""


class TokenStore(Protocol):
    """Where tenants' OAuth tokens are kept between captures."""

    def load(self, tenant_id: str) -> StoredTokens | None:
        """The tenant's tokens, or None if it has none."""

    def locked(self, tenant_id: str) -> AbstractContextManager[LockedTokens]:
        """The tenant's tokens, for one process at a time."""

    def location_token(self, tenant_id: str, location_id: str) -> LocationToken | None:
        """The kept token of a location of the tenant's company."""

    def keep_location_token(self, tenant_id: str, location_id: str, token: LocationToken) -> None:
        """Keep a location's token in the place of an older one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthApp:
    """The GHL app that customers install."""

    client_id: str
    client_secret: str = field(repr=False)


class OAuthAccount:
    """The account's own access token in one capture: from the store while it is good, else refreshed."""

    def __init__(
        self,
        tenant: Tenant,
        *,
        app: OAuthApp,
        store: TokenStore,
        client: GhlClient,
        budget: Budget,
        clock: Callable[[], datetime],
    ) -> None:
        self.tenant = tenant
        self.client = client
        self.budget = budget
        self.clock = clock
        self._app = app
        self._store = store
        self._known: Token | None = None
        self._lock = threading.Lock()

    @property
    def resource_id(self) -> str:
        """The tenant's account."""
        return self.tenant.ghl_account_id

    @property
    def reference(self) -> str:
        """The credential in words."""
        return f"tenant {self.tenant.tenant_id}'s installation of the OAuth app"

    def token(self) -> str:
        """The account's access token; threads that need it at once wait for one to fetch it.

        Raises:
            GhlError: GHL refuses the refresh token or does not answer.
            CredentialError: the tenant has no tokens, or the database does not give or take them.
        """
        with self._lock, self._database_trouble():
            if self._known is None:
                self._known = _access_token(self._store.load(self.tenant.tenant_id))
            if self._known is None or not self._known.good(self.clock()):
                self._known = self._refreshed(refused=None)
            return self._known.value

    def renewed(self, refused: str) -> str | None:
        """The access token that replaces one that GHL refused; raises like `token`."""
        with self._lock, self._database_trouble():
            if self._known is None or self._known.value == refused:
                self._known = self._refreshed(refused=refused)
            return self._known.value

    def _refreshed(self, *, refused: str | None) -> Token:
        """A good token that is not the refused one, from another process if that was quicker."""
        refresh: _Refresh | None = None
        try:
            with self._store.locked(self.tenant.tenant_id) as locked:
                present = _access_token(locked.tokens)
                if present and present.value != refused and present.good(self.clock()):
                    return present
                refresh = self._spend(locked.tokens)
                locked.store(refresh.following)
        except LedgerError:
            if refresh is None:
                raise
            self._store_again(refresh)
        return token_of(refresh.answer, self.clock())

    def _spend(self, tokens: StoredTokens | None) -> "_Refresh":
        """Ask for the next tokens, in a time of its own: an answer cut short would be lost for ever."""
        if tokens is None:
            raise CredentialError(
                f"There are no OAuth tokens of tenant {self.tenant.tenant_id} in the database: install the "
                f"GHL app in its account and store the installation's refresh token by {self._remedy}."
            )
        form = {
            "grant_type": "refresh_token",
            "client_id": self._app.client_id,
            "client_secret": self._app.client_secret,
            "refresh_token": tokens.refresh_token,
            "user_type": _USER_TYPES[self.tenant.account_kind],
        }
        budget = self.budget.apart(_EXCHANGE_SECONDS)
        try:
            answer = self.client.exchange(TOKEN_PATH, form, reference=self.reference, budget=budget)
        except GhlError as error:
            raise self._refused(error) from None
        return _Refresh(spent=tokens, answer=answer, now=self.clock())

    def _refused(self, error: GhlError) -> GhlError:
        """What to do about a refresh token or an app that GHL does not accept."""
        if error.kind not in {ErrorKind.INVALID_REQUEST, ErrorKind.INVALID_CREDENTIAL}:
            return error
        return GhlError(
            ErrorKind.INVALID_CREDENTIAL,
            f"GHL gives no access token for {self.reference}: {error.message}. See that GHL_OAUTH_CLIENT_ID "
            "and GHL_OAUTH_CLIENT_SECRET are the app's; if they are, the refresh token was used elsewhere or "
            "its successor was lost: get a new one (GHL's reconnect API gives it without asking the "
            f"customer, installing the app anew with) and store it by {self._remedy}",
            status=error.status,
            attempts=error.attempts,
        )

    def _store_again(self, refresh: "_Refresh") -> None:
        """Store the next refresh token again and again: there is no other, and the one before is spent."""
        for attempt in Retrying(
            stop=stop_after_delay(_STORING_SECONDS),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            retry=retry_if_exception_type(LedgerError),
            reraise=True,
        ):
            with attempt, self._store.locked(self.tenant.tenant_id) as locked:
                if locked.tokens is None or locked.tokens.refresh_token == refresh.spent.refresh_token:
                    locked.store(refresh.following)

    @contextmanager
    def _database_trouble(self) -> Iterator[None]:
        """Turn what the token store raises into what the credential's user can make sense of."""
        try:
            yield
        except LedgerError as error:
            raise CredentialError(
                f"The OAuth tokens of tenant {self.tenant.tenant_id} cannot be read or stored: {error}"
            ) from None

    @property
    def _remedy(self) -> str:
        return f"`ghl-snapshots tenants authorize {self.tenant.tenant_id}`"


class _Refresh:
    """One exchange of a refresh token: what was spent, the answer, and what is to be stored now."""

    def __init__(self, *, spent: StoredTokens, answer: Mapping[str, Any], now: datetime) -> None:
        self.spent = spent
        self.answer = answer
        self.following = _following(spent, answer, now)


def _access_token(tokens: StoredTokens | None) -> Token | None:
    if tokens is None or tokens.access_token is None or tokens.access_expires_at is None:
        return None
    return Token(value=tokens.access_token, expires_at=tokens.access_expires_at)


def _following(spent: StoredTokens, answer: Mapping[str, Any], now: datetime) -> StoredTokens:
    """The tokens to store; a new refresh token is kept even if nothing else in the answer is right."""
    following = answer.get("refresh_token")
    try:
        access: Token | None = token_of(answer, now)
    except GhlError:
        access = None
    return StoredTokens(
        refresh_token=following if isinstance(following, str) and following else spent.refresh_token,
        access_token=access.value if access else None,
        access_expires_at=access.expires_at if access else None,
    )
