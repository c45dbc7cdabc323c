"""Private Integration Tokens, access tokens, and single-use refresh tokens and authorization codes.

Access and refresh tokens are signed with a key made from the accounts' seed and hold all that is needed to
check them, so a restarted simulator accepts what its previous life issued.
"""

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus

from ghl_snapshots.simulator.accounts import Accounts, Holder, account_id
from ghl_snapshots.simulator.messages import Refusal, foreign_location

_JWT_HEADER = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=").decode()


def token_key(seed: int) -> bytes:
    """The key that a world's tokens are signed with."""
    return hashlib.sha256(f"simulated-ghl/{seed}".encode()).digest()


def refresh_token(seed: int, account_id: str, counter: int) -> str:
    """The account's refresh token number `counter`, the first being 1."""
    return f"{account_id}.{counter}.{_sign(token_key(seed), f'{account_id}.{counter}')}"


@dataclass(slots=True)
class Tokens:
    """Checks and issues the tokens of one world."""

    accounts: Accounts
    access_token_seconds: int = 86_399
    """Life of the access tokens issued from now on."""
    _key: bytes = field(init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _next_counter: dict[str, int] = field(default_factory=dict, repr=False)
    _codes: set[str] = field(default_factory=set, repr=False)
    _integration_tokens: dict[str, Holder] = field(default_factory=dict, repr=False)
    _revoked_before: int = 0

    def __post_init__(self) -> None:
        """Derive the signing key."""
        self._key = token_key(self.accounts.seed)

    def holder(self, authorization: str) -> tuple[Holder, bool]:
        """The account that an Authorization header speaks for, and whether by Private Integration Token.

        Raises:
            Refusal: 401 for a wrong or expired token, 403 for one of a location that is gone.
        """
        token = authorization.removeprefix("Bearer ").removeprefix("bearer ").strip()
        if token.startswith("pit-"):
            return self._integration_holder(token), True
        return self._access_holder(token), False

    def issue_access_token(self, account_id: str) -> str:
        """A new access token for the location or company."""
        now = time.time_ns()
        expires = now + self.access_token_seconds * 1_000_000_000
        claims = json.dumps({"authClassId": account_id, "iat": now, "exp": expires})
        signed = f"{_JWT_HEADER}.{base64.urlsafe_b64encode(claims.encode()).rstrip(b'=').decode()}"
        return f"{signed}.{_sign(self._key, signed)}"

    def spend_refresh_token(self, token: str) -> tuple[Holder, str]:
        """The account of a refresh token, which is used up by this, and the next refresh token.

        A number above the expected one is accepted: an earlier life of the simulator issued it.

        Raises:
            Refusal: 400 for a token that is unknown or was used before.
        """
        account_id, counter = self._checked_refresh_token(token)
        holder = self.accounts.holder(account_id)
        with self._lock:
            if holder is None or counter < self._next_counter.get(account_id, 1):
                raise _invalid_grant()
            self._next_counter[account_id] = counter + 1
        return holder, refresh_token(self.accounts.seed, account_id, counter + 1)

    def further_refresh_token(self, account_id: str) -> str:
        """A good refresh token of the account that leaves the one expected next good."""
        return refresh_token(self.accounts.seed, account_id, self._next_counter.get(account_id, 1) + 1)

    def issue_authorization_code(self, account_id: str) -> str:
        """A code such as the app's installation in the account gives; good once."""
        code = f"{account_id}.{secrets.token_hex(20)}"
        with self._lock:
            self._codes.add(code)
        return code

    def spend_authorization_code(self, code: str) -> tuple[Holder, str]:
        """The account of a code, which is used up by this, and a refresh token; earlier ones are not good.

        Raises:
            Refusal: 400 for a code that is unknown or was used before.
        """
        account_id = code.partition(".")[0]
        holder = self.accounts.holder(account_id)
        with self._lock:
            if holder is None or code not in self._codes:
                raise _invalid_grant("authorization code")
            self._codes.remove(code)
            # One more than the refresh token that is expected, which may be the one that was lost.
            counter = self._next_counter[account_id] = self._next_counter.get(account_id, 1) + 1
        return holder, refresh_token(self.accounts.seed, account_id, counter)

    def revoke_access_tokens(self) -> None:
        """Make every access token issued so far invalid; refresh tokens stay good."""
        self._revoked_before = time.time_ns()

    def _checked_refresh_token(self, token: str) -> tuple[str, int]:
        account_id, _, rest = token.partition(".")
        counter, _, signature = rest.partition(".")
        genuine = hmac.compare_digest(
            signature.encode(), _sign(self._key, f"{account_id}.{counter}").encode()
        )
        if not genuine or not counter.isdecimal():
            raise _invalid_grant()
        return account_id, int(counter)

    def _integration_holder(self, token: str) -> Holder:
        holder = self._integration_tokens.get(token)
        if holder is None or not self._still_holds(holder, token):
            self._integration_tokens = {one.private_integration_token: one for one in self.accounts.holders()}
            holder = self._integration_tokens.get(token)
        if holder is None:
            raise Refusal(HTTPStatus.UNAUTHORIZED, "Invalid Private Integration token")
        return holder

    def _still_holds(self, holder: Holder, token: str) -> bool:
        return (
            holder.private_integration_token == token and self.accounts.holder(account_id(holder)) is holder
        )

    def _access_holder(self, token: str) -> Holder:
        signed, _, signature = token.rpartition(".")
        if not signed or not hmac.compare_digest(signature.encode(), _sign(self._key, signed).encode()):
            raise Refusal(HTTPStatus.UNAUTHORIZED, "Invalid JWT")
        claims = json.loads(base64.urlsafe_b64decode(signed.partition(".")[2] + "=="))
        if claims["exp"] <= time.time_ns() or claims["iat"] <= self._revoked_before:
            raise Refusal(HTTPStatus.UNAUTHORIZED, "Invalid JWT")
        holder = self.accounts.holder(claims["authClassId"])
        if holder is None:
            raise foreign_location()
        return holder


def _sign(key: bytes, text: str) -> str:
    return base64.urlsafe_b64encode(hmac.digest(key, text.encode(), "sha256")).rstrip(b"=").decode()


def _invalid_grant(grant: str = "refresh token") -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, f"This {grant} is invalid or was already used.", "invalid_grant")
