"""Exchanging a grant at GHL for an account's tokens, and storing these before anything else happens.

A grant, which is a refresh token or an authorization code, is single use, and losing the refresh token that
GHL gave for it loses the account. So it is spent under the token store's lock, by whoever finds that nobody
else has just done so. What becomes of the answer if this process is killed meanwhile is not seen to here;
`ghl_snapshots.custody` is about that.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from ghl_snapshots.core.errors import ErrorKind, GhlError, LedgerError
from ghl_snapshots.core.model import AccountKind, Tenant
from ghl_snapshots.core.tokens import StoredTokens
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.client import GhlClient
from ghl_snapshots.ghl.json_slices import malformed
from ghl_snapshots.ghl.oauth import LockedTokens, TokenStore, access_token, not_authorized, reference, remedy
from ghl_snapshots.ghl.quoting import quoted
from ghl_snapshots.ghl.read_only import TOKEN_PATH
from ghl_snapshots.ghl.tokens import Token, token_of

EXCHANGE_SECONDS: Final = 120.0
"""How long GHL may take to answer, all tries together."""
STORING_SECONDS: Final = 60.0
"""How long storing the answer is tried again."""

_USER_TYPES: Final[Mapping[AccountKind, str]] = {
    AccountKind.LOCATION: "Location",
    AccountKind.COMPANY: "Company",
}
_NOT_THE_APP: Final = "See that GHL_OAUTH_CLIENT_ID and GHL_OAUTH_CLIENT_SECRET are the app's; if they are, "
_NEW_CODE: Final = (
    "GHL's reconnect API gives an authorization code without asking the customer (docs/operations.md), "
    "installing the app anew gives one with"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthApp:
    """The GHL app that customers install."""

    client_id: str
    client_secret: str = field(repr=False)


class StoringExchange:
    """Exchanges grants in the process that asks for it; `on_answer` is called before an answer is stored."""

    def __init__(
        self,
        *,
        app: OAuthApp,
        store: TokenStore,
        client: GhlClient,
        clock: Callable[[], datetime],
        on_answer: Callable[[], None] = lambda: None,
    ) -> None:
        self._app = app
        self._store = store
        self._client = client
        self._clock = clock
        self._on_answer = on_answer

    def refreshed(self, tenant: Tenant, *, refused: str | None, budget: Budget) -> Token:
        """A good access token that is not the refused one, from another process if that was quicker."""
        spent: StoredTokens | None = None
        following: StoredTokens | None = None
        try:
            with self._locked(tenant, budget) as locked:
                present = access_token(locked.tokens)
                if present and present.value != refused and present.good(self._clock()):
                    return present
                spent = locked.tokens
                answer = self._spend(spent, tenant, budget)
                following = _following(answer, self._clock(), present=spent)
                locked.store(following)
        except LedgerError:
            if spent is None or following is None:
                raise
            self._store_again(tenant, _successor(spent, following))
        return token_of(answer, self._clock())

    def redeemed(self, tenant: Tenant, code: str, *, budget: Budget) -> Token:
        """The access token for an authorization code, with which the tenant's tokens begin anew."""
        installed: StoredTokens | None = None
        try:
            with self._locked(tenant, budget) as locked:
                answer = self._redeem(tenant, code, budget)
                installed = _following(answer, self._clock(), present=None)
                locked.install(installed)
        except LedgerError:
            if installed is None:
                raise
            begun = installed
            self._store_again(tenant, lambda locked: locked.install(begun))
        return token_of(answer, self._clock())

    def _locked(self, tenant: Tenant, budget: Budget) -> AbstractContextManager[LockedTokens]:
        """The tenant's tokens, for which another process is waited for no longer than the budget lasts."""
        return self._store.locked(tenant.tenant_id, patience_seconds=budget.deadline.remaining)

    def _spend(self, tokens: StoredTokens | None, tenant: Tenant, budget: Budget) -> Mapping[str, Any]:
        if tokens is None:
            raise not_authorized(tenant)
        grant = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
        try:
            return self._asked(grant, tenant, budget)
        except GhlError as error:
            raise _explained(
                error,
                f"GHL gives no access token for {reference(tenant)}: {error.message}. {_NOT_THE_APP}"
                f"the refresh token was used elsewhere or its successor was lost: {_NEW_CODE}; exchange it "
                f"by {remedy(tenant, '--code')}",
            ) from None

    def _redeem(self, tenant: Tenant, code: str, budget: Budget) -> Mapping[str, Any]:
        try:
            answer = self._asked({"grant_type": "authorization_code", "code": code}, tenant, budget)
        except GhlError as error:
            raise _explained(
                error,
                f"GHL gives no tokens for the authorization code: {error.message}. {_NOT_THE_APP}the "
                f"code was used before, has run out or belongs to another kind of account: {_NEW_CODE}",
            ) from None
        _check_account(answer, tenant)
        return answer

    def _asked(self, grant: Mapping[str, str], tenant: Tenant, budget: Budget) -> Mapping[str, Any]:
        """Ask for tokens, in a time of its own: an answer cut short would be lost for ever."""
        form = {
            **grant,
            "client_id": self._app.client_id,
            "client_secret": self._app.client_secret,
            "user_type": _USER_TYPES[tenant.account_kind],
        }
        answer = self._client.exchange(
            TOKEN_PATH, form, reference=reference(tenant), budget=budget.apart(EXCHANGE_SECONDS)
        )
        self._on_answer()
        return answer

    def _store_again(self, tenant: Tenant, store: Callable[[LockedTokens], None]) -> None:
        """Store the tokens again and again: there are no others, and the grant is spent."""
        for attempt in Retrying(
            stop=stop_after_delay(STORING_SECONDS),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            retry=retry_if_exception_type(LedgerError),
            reraise=True,
        ):
            with attempt, self._store.locked(tenant.tenant_id) as locked:
                store(locked)


def _successor(spent: StoredTokens, following: StoredTokens) -> Callable[[LockedTokens], None]:
    """Stores what follows the spent tokens, unless something newer is there."""

    def store(locked: LockedTokens) -> None:
        if locked.tokens is None or locked.tokens.refresh_token == spent.refresh_token:
            locked.store(following)

    return store


def _following(answer: Mapping[str, Any], now: datetime, *, present: StoredTokens | None) -> StoredTokens:
    """The tokens to store; a new refresh token is kept even if nothing else in the answer is right.

    Raises:
        GhlError: MALFORMED_RESPONSE; there is no refresh token, neither in the answer nor at present.
    """
    given = answer.get("refresh_token")
    refresh_token = given if isinstance(given, str) and given else present and present.refresh_token
    if not refresh_token:
        raise malformed("the answer holds no refresh_token")
    try:
        access: Token | None = token_of(answer, now)
    except GhlError:
        access = None
    return StoredTokens(
        refresh_token=refresh_token,
        access_token=access.value if access else None,
        access_expires_at=access.expires_at if access else None,
    )


def _check_account(answer: Mapping[str, Any], tenant: Tenant) -> None:
    """Refuse the tokens of another account, lest its entities stand in the tenant's snapshots."""
    account_id = answer.get("locationId") or answer.get("companyId")
    if account_id != tenant.ghl_account_id:
        raise GhlError(
            ErrorKind.FORBIDDEN_LOCATION,
            f"the authorization code opens {quoted(str(account_id))}, but tenant {tenant.tenant_id}'s "
            f"account is the {tenant.account_kind.value} {tenant.ghl_account_id}; nothing was stored. Get "
            "a code for that account",
        )


def _explained(error: GhlError, explanation: str) -> GhlError:
    """The error with what to do about a grant or an app that GHL does not accept."""
    if error.kind not in {ErrorKind.INVALID_REQUEST, ErrorKind.INVALID_CREDENTIAL}:
        return error
    return GhlError(ErrorKind.INVALID_CREDENTIAL, explanation, status=error.status, attempts=error.attempts)
