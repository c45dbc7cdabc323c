"""Exchanging a single-use grant at GHL for an account's tokens, and storing these before they are used.

Problem: GHL's answer to a refresh token (or an authorization code) holds the next one, and the one that was
sent is spent. A process that ends between the answer and the commit takes the next one along, and the account
is lost.

Mechanism: an exchange runs under the token store's lock on a thread of its own (exchange_thread.py), which
goes on and stores although nobody waits for it any more. From the lock on it takes EXCHANGE_SECONDS at most.

Limit: what ends the process without asking (`kill -9`, an out-of-memory killer, power) between the answer and
the commit, or a database that stays away for the rest of these seconds, loses the tokens. docs/operations.md
has the arithmetic and the way back.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from ghl_snapshots.core.errors import CredentialError, ErrorKind, GhlError, LedgerError, TokensLockedError
from ghl_snapshots.core.model import AccountKind, Tenant
from ghl_snapshots.core.tokens import EXCHANGE_SECONDS, AccessToken, StoredTokens
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.client import GhlClient
from ghl_snapshots.ghl.deadline import Deadline
from ghl_snapshots.ghl.exchange_thread import finished
from ghl_snapshots.ghl.json_slices import malformed
from ghl_snapshots.ghl.quoting import quoted
from ghl_snapshots.ghl.read_only import TOKEN_PATH
from ghl_snapshots.ghl.token_store import LockedTokens, TokenStore
from ghl_snapshots.ghl.tokens import read_access_token

_ASKING_SECONDS: Final = 40.0
"""How much of an exchange GHL may take, all tries together; the rest is left for storing its answer."""
_LOCK_SECONDS: Final = 0.5
"""How long it may take until a thread that waits for the lock sees that nobody waits for it any more."""

_USER_TYPES: Final[Mapping[AccountKind, str]] = {
    AccountKind.LOCATION: "Location",
    AccountKind.COMPANY: "Company",
}
_NOT_THE_APP: Final = "See that GHL_OAUTH_CLIENT_ID and GHL_OAUTH_CLIENT_SECRET are the app's; if they are, "
_NEW_CODE: Final = "installing the app in the account again gives a new authorization code"


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthApp:
    """The GHL app that customers install."""

    client_id: str
    client_secret: str = field(repr=False)
    own_app_id: str | None = None

    @property
    def app_id(self) -> str:
        """The app's id in GHL, which is commonly the part of the client id before the first hyphen."""
        return self.own_app_id or self.client_id.partition("-")[0]


class TokenExchange:
    """Exchanges grants for access tokens; what follows a grant is stored when a method returns.

    Each method counts its requests in the budget, and raises GhlError where GHL refuses or does not answer or
    the budget's time is over, CredentialError where the tenant has no readable tokens, and LedgerError.
    """

    def __init__(
        self, *, app: OAuthApp, store: TokenStore, client: GhlClient, clock: Callable[[], datetime]
    ) -> None:
        self._app = app
        self._store = store
        self._client = client
        self._clock = clock

    @property
    def app_id(self) -> str:
        """The app's id in GHL."""
        return self._app.app_id

    def refresh(
        self,
        tenant: Tenant,
        *,
        budget: Budget,
        refused: str | None = None,
        good_for: timedelta = timedelta(),
    ) -> AccessToken:
        """An access token, good for so long and not the refused one; the stored one where it will do."""
        return finished(lambda: self._refresh(tenant, refused, good_for, budget), budget)

    def redeem(self, tenant: Tenant, code: str, *, budget: Budget) -> AccessToken:
        """The access token for an authorization code, with which the tenant's tokens begin anew."""
        return finished(lambda: self._redeem(tenant, code, budget), budget)

    def _refresh(
        self, tenant: Tenant, refused: str | None, good_for: timedelta, budget: Budget
    ) -> AccessToken:
        spent: StoredTokens | None = None
        unstored: _Unstored | None = None
        try:
            with self._locked(tenant, budget) as (locked, deadline):
                spent = locked.tokens
                present = spent.access if spent else None
                if present and present.value != refused and present.good(self._clock() + good_for):
                    return present
                answer = self._spend(spent, tenant, budget)
                self._refuse_foreign(answer, tenant, locked, deadline)
                unstored = _Unstored(_following(answer, self._clock(), present=spent), deadline)
                locked.store(unstored.tokens, timeout_seconds=deadline.remaining)
        except LedgerError:
            if spent is None or unstored is None:
                raise
            self._store_again(tenant, unstored, replaces=spent.refresh_token)
        return read_access_token(answer, self._clock())

    def _redeem(self, tenant: Tenant, code: str, budget: Budget) -> AccessToken:
        unstored: _Unstored | None = None
        try:
            with self._locked(tenant, budget) as (locked, deadline):
                answer = self._answer_to_code(tenant, code, budget)
                unstored = _Unstored(_following(answer, self._clock(), present=None), deadline)
                locked.install(unstored.tokens, timeout_seconds=deadline.remaining)
        except LedgerError:
            if unstored is None:
                raise
            self._store_again(tenant, unstored, replaces=None)
        return read_access_token(answer, self._clock())

    @contextmanager
    def _locked(self, tenant: Tenant, budget: Budget) -> Iterator[tuple[LockedTokens, Deadline]]:
        """The tenant's tokens, waited for while the budget has time, and the exchange's own time."""
        with ExitStack() as stack:
            locked: LockedTokens | None = None
            while locked is None:
                budget.deadline.check()
                seconds = min(_LOCK_SECONDS, budget.deadline.remaining)
                with suppress(TokensLockedError):
                    locked = stack.enter_context(
                        self._store.locked(tenant.tenant_id, timeout_seconds=seconds)
                    )
            budget.deadline.check()
            yield locked, Deadline(EXCHANGE_SECONDS)

    def _spend(self, tokens: StoredTokens | None, tenant: Tenant, budget: Budget) -> Mapping[str, Any]:
        if tokens is None:
            raise not_authorized(tenant)
        grant = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
        try:
            return self._ask(grant, tenant, budget)
        except GhlError as error:
            raise _explained(
                error,
                f"GHL gives no access token for {reference(tenant)}: {error.message}. {_NOT_THE_APP}"
                f"the refresh token was used elsewhere or its successor was lost: {_NEW_CODE}; exchange it "
                f"by {_command(tenant, '--code')}",
            ) from None

    def _refuse_foreign(
        self, answer: Mapping[str, Any], tenant: Tenant, locked: LockedTokens, deadline: Deadline
    ) -> None:
        """Set the tokens of another account aside, which GHL was seen to answer a refresh with."""
        account_id = _named_account(answer, tenant)
        if account_id is None or account_id == tenant.ghl_account_id:
            return
        foreign = _following(answer, self._clock(), present=None)
        locked.set_aside(foreign, account_id, timeout_seconds=deadline.remaining)
        raise GhlError(
            ErrorKind.INVALID_CREDENTIAL,
            f"GHL answered the refresh for tenant {tenant.tenant_id} with tokens of {quoted(account_id)}, "
            f"not of its {tenant.account_kind.value} {tenant.ghl_account_id}. They are set aside, not used; "
            f"{_NEW_CODE}; exchange it by {_command(tenant, '--code')}",
        )

    def _answer_to_code(self, tenant: Tenant, code: str, budget: Budget) -> Mapping[str, Any]:
        try:
            answer = self._ask({"grant_type": "authorization_code", "code": code}, tenant, budget)
        except GhlError as error:
            raise _explained(
                error,
                f"GHL gives no tokens for the authorization code: {error.message}. {_NOT_THE_APP}the "
                f"code was used before, has run out or belongs to another kind of account: {_NEW_CODE}",
            ) from None
        _check_account(answer, tenant)
        return answer

    def _ask(self, grant: Mapping[str, str], tenant: Tenant, budget: Budget) -> Mapping[str, Any]:
        """Ask for tokens, in a time of its own: an answer cut short would be lost."""
        form = {
            **grant,
            "client_id": self._app.client_id,
            "client_secret": self._app.client_secret,
            "user_type": _USER_TYPES[tenant.account_kind],
        }
        return self._client.exchange(
            TOKEN_PATH, form, reference=reference(tenant), budget=budget.apart(_ASKING_SECONDS)
        )

    def _store_again(self, tenant: Tenant, unstored: "_Unstored", *, replaces: str | None) -> None:
        """Store tokens again and again: there are no others, and the grant is spent.

        Those of a new authorization replace any, others only the refresh token that they follow.
        """
        deadline = unstored.deadline
        for attempt in Retrying(
            stop=stop_after_delay(deadline.remaining),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            retry=retry_if_exception_type(LedgerError),
            reraise=True,
        ):
            with (
                attempt,
                self._store.locked(tenant.tenant_id, timeout_seconds=deadline.remaining) as locked,
            ):
                if replaces is None:
                    locked.install(unstored.tokens, timeout_seconds=deadline.remaining)
                elif locked.tokens is None or locked.tokens.refresh_token == replaces:
                    locked.store(unstored.tokens, timeout_seconds=deadline.remaining)


@dataclass(frozen=True, slots=True)
class _Unstored:
    """The only copy of tokens, and the time that there is to store them."""

    tokens: StoredTokens
    deadline: Deadline


def reference(tenant: Tenant) -> str:
    """The tenant's credential in words."""
    return f"tenant {tenant.tenant_id}'s installation of the OAuth app"


def not_authorized(tenant: Tenant) -> CredentialError:
    """The error for a tenant that has no tokens yet."""
    return CredentialError(
        f"There are no OAuth tokens of tenant {tenant.tenant_id} in the database: install the GHL app in its "
        f"account and exchange the authorization code by {_command(tenant, '--code')}, or store a refresh "
        f"token of the installation by {_command(tenant)}."
    )


def _command(tenant: Tenant, *options: str) -> str:
    """The command that stores tokens by hand."""
    return f"`{' '.join(('ghl-snapshots tenants authorize', tenant.tenant_id, *options))}`"


def _following(answer: Mapping[str, Any], now: datetime, *, present: StoredTokens | None) -> StoredTokens:
    """The tokens to store; a new refresh token is stored even if nothing else in the answer is right.

    Raises:
        GhlError: MALFORMED_RESPONSE; there is no refresh token, neither in the answer nor at present.
    """
    given = answer.get("refresh_token")
    refresh_token = given if isinstance(given, str) and given else present and present.refresh_token
    if not refresh_token:
        raise malformed("the answer holds no refresh_token")
    access: AccessToken | None = None
    with suppress(GhlError):
        access = read_access_token(answer, now)
    return StoredTokens(refresh_token=refresh_token, access=access)


def _named_account(answer: Mapping[str, Any], tenant: Tenant) -> str | None:
    """The location or company that a token answer names; None if it names none.

    The token of a location names its company too.
    """
    is_location = tenant.account_kind is AccountKind.LOCATION or answer.get("userType") == "Location"
    named = (is_location and answer.get("locationId")) or answer.get("companyId")
    return str(named) if named else None


def _check_account(answer: Mapping[str, Any], tenant: Tenant) -> None:
    """Refuse the tokens of another account, whose entities would stand in the tenant's snapshots."""
    account_id = _named_account(answer, tenant)
    if account_id != tenant.ghl_account_id:
        raise GhlError(
            ErrorKind.FORBIDDEN_LOCATION,
            f"the authorization code opens {quoted(str(account_id))}, but tenant {tenant.tenant_id}'s "
            f"account is the {tenant.account_kind.value} {tenant.ghl_account_id}; nothing was stored. Get "
            "a code for that account",
        )


def _explained(error: GhlError, explanation: str) -> GhlError:
    """The error with what to do about a grant or an app that GHL does not accept."""
    if error.kind not in {ErrorKind.INVALID_REQUEST, ErrorKind.INVALID_CREDENTIAL, ErrorKind.FORBIDDEN}:
        return error
    return GhlError(ErrorKind.INVALID_CREDENTIAL, explanation, status=error.status, attempts=error.attempts)
