"""An account's access token from the OAuth app that is installed in it.

A refresh token is single use, and losing the one that GHL gave for it loses the account. So it is spent under
the token store's lock, by whoever finds that nobody else has just done so, and the next one is stored before
anything else happens.
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from ghl_snapshots.errors import CredentialError, ErrorKind, GhlError
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.client import GhlClient
from ghl_snapshots.ghl.read_only import TOKEN_PATH
from ghl_snapshots.ghl.tokens import Token, token_of
from ghl_snapshots.model import AccountKind, StoredTokens, Tenant

_USER_TYPES: Final[Mapping[AccountKind, str]] = {
    AccountKind.LOCATION: "Location",
    AccountKind.COMPANY: "Company",
}


class LockedTokens(Protocol):
    """A tenant's tokens while no other process may refresh them."""

    tokens: StoredTokens | None

    def store(self, tokens: StoredTokens) -> None:
        """Replace the tokens; they are durable when this returns."""


class TokenStore(Protocol):
    """Where tenants' OAuth tokens are kept between captures."""

    def load(self, tenant_id: str) -> StoredTokens | None:
        """The tenant's tokens, or None if it has none."""

    def locked(self, tenant_id: str) -> AbstractContextManager[LockedTokens]:
        """The tenant's tokens, for one process at a time."""


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
            CredentialError: there are no tokens of the tenant.
        """
        with self._lock:
            if self._known is None:
                self._known = _access_token(self._store.load(self.tenant.tenant_id))
            if self._known is None or not self._known.good(self.clock()):
                self._known = self._refreshed(refused=None)
            return self._known.value

    def renewed(self, refused: str) -> str | None:
        """The access token that replaces one that GHL refused; raises like `token`."""
        with self._lock:
            if self._known is None or self._known.value == refused:
                self._known = self._refreshed(refused=refused)
            return self._known.value

    def _refreshed(self, *, refused: str | None) -> Token:
        """A good token that is not the refused one, from another process if that was quicker."""
        with self._store.locked(self.tenant.tenant_id) as locked:
            if locked.tokens is None:
                raise CredentialError(
                    f"There are no OAuth tokens of tenant {self.tenant.tenant_id} in the database: install "
                    "the GHL app in its account and store the installation's refresh token by "
                    f"`ghl-snapshots tenants authorize {self.tenant.tenant_id}`."
                )
            present = _access_token(locked.tokens)
            if present and present.value != refused and present.good(self.clock()):
                return present
            answer = self._spend(locked.tokens.refresh_token)
            token = token_of(answer, self.clock())
            locked.store(_following(locked.tokens, answer, token))
            return token

    def _spend(self, refresh_token: str) -> dict[str, Any]:
        form = {
            "grant_type": "refresh_token",
            "client_id": self._app.client_id,
            "client_secret": self._app.client_secret,
            "refresh_token": refresh_token,
            "user_type": _USER_TYPES[self.tenant.account_kind],
        }
        try:
            return self.client.exchange(
                TOKEN_PATH, form, scope="", reference=self.reference, budget=self.budget
            )
        except GhlError as error:
            if error.kind not in {ErrorKind.INVALID_REQUEST, ErrorKind.INVALID_CREDENTIAL}:
                raise
            raise GhlError(
                ErrorKind.INVALID_CREDENTIAL,
                f"GHL gives no access token for {self.reference}: {error.message}; see that "
                "GHL_OAUTH_CLIENT_ID and GHL_OAUTH_CLIENT_SECRET are the app's, and install the app anew if "
                "its refresh token was used elsewhere",
                status=error.status,
                attempts=error.attempts,
            ) from None


def _access_token(tokens: StoredTokens | None) -> Token | None:
    if tokens is None or tokens.access_token is None or tokens.access_expires_at is None:
        return None
    return Token(value=tokens.access_token, expires_at=tokens.access_expires_at)


def _following(spent: StoredTokens, answer: Mapping[str, Any], token: Token) -> StoredTokens:
    following = answer.get("refresh_token")
    return StoredTokens(
        refresh_token=following if isinstance(following, str) and following else spent.refresh_token,
        access_token=token.value,
        access_expires_at=token.expires_at,
    )
