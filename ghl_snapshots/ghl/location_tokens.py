"""The tokens of a company's locations, each got with the company's own token and kept for its life."""

import threading
from collections import defaultdict
from contextlib import suppress
from typing import Final

from ghl_snapshots.errors import ConfigurationError, ErrorKind, GhlError, LedgerError
from ghl_snapshots.ghl.oauth import OAuthAccount, TokenStore
from ghl_snapshots.ghl.read_only import LOCATION_TOKEN_PATH
from ghl_snapshots.ghl.tokens import Token, token_of
from ghl_snapshots.model import LocationToken

_SCOPE: Final = "oauth.write"


class LocationTokens:
    """Location tokens kept for their life, in the process and in the store that all processes share.

    The store only saves asking GHL again, so where it fails the tokens are asked for.
    """

    def __init__(self, store: TokenStore) -> None:
        self._store = store
        self._tokens: dict[tuple[str, str], Token] = {}
        self._locks: defaultdict[tuple[str, str], threading.Lock] = defaultdict(threading.Lock)

    def one_at_a_time(self, tenant_id: str, location_id: str) -> threading.Lock:
        """What to hold while the location's token is looked up and, if need be, asked for."""
        return self._locks[tenant_id, location_id]

    def get(self, tenant_id: str, location_id: str) -> Token | None:
        """The token kept for the tenant's location."""
        if (tenant_id, location_id) not in self._tokens:
            with suppress(LedgerError, ConfigurationError):
                stored = self._store.location_token(tenant_id, location_id)
                if stored is not None:
                    self._tokens[tenant_id, location_id] = Token(
                        value=stored.value, expires_at=stored.expires_at
                    )
        return self._tokens.get((tenant_id, location_id))

    def put(self, tenant_id: str, location_id: str, token: Token) -> None:
        """Keep a token in the place of an older one."""
        self._tokens[tenant_id, location_id] = token
        with suppress(LedgerError, ConfigurationError):
            self._store.keep_location_token(
                tenant_id, location_id, LocationToken(value=token.value, expires_at=token.expires_at)
            )


class OAuthLocation:
    """The token of one location of a company in one capture, got with the company's own."""

    def __init__(self, company: OAuthAccount, location_id: str, kept: LocationTokens) -> None:
        self._company = company
        self._location_id = location_id
        self._kept = kept
        self._failure: GhlError | None = None
        self._lock = kept.one_at_a_time(company.tenant.tenant_id, location_id)

    @property
    def resource_id(self) -> str:
        """The location."""
        return self._location_id

    @property
    def reference(self) -> str:
        """The credential in words."""
        return self._company.reference

    def token(self) -> str:
        """The location's token; one that GHL would not give is not asked for again in the same capture.

        Raises:
            GhlError: the company's token or the location's cannot be had.
            CredentialError: there are no tokens of the tenant.
        """
        with self._lock:
            kept = self._kept.get(self._company.tenant.tenant_id, self._location_id)
            if kept is not None and kept.good(self._company.clock()):
                return kept.value
            return self._exchanged()

    def renewed(self, refused: str) -> str | None:
        """The token that replaces one that GHL refused; raises like `token`."""
        with self._lock:
            kept = self._kept.get(self._company.tenant.tenant_id, self._location_id)
            if kept is not None and kept.value != refused:
                return kept.value
            return self._exchanged()

    def _exchanged(self) -> str:
        if self._failure is not None:
            raise _not_given(self._failure, attempts=0)
        try:
            token = self._ask()
        except GhlError as error:
            self._failure = error
            raise _not_given(error, attempts=error.attempts) from None
        self._kept.put(self._company.tenant.tenant_id, self._location_id, token)
        return token.value

    def _ask(self) -> Token:
        """Ask with the company's token, renewed once if GHL refuses it."""
        company_token = self._company.token()
        try:
            return self._ask_with(company_token)
        except GhlError as error:
            renewed = (
                self._company.renewed(company_token) if error.kind is ErrorKind.INVALID_CREDENTIAL else None
            )
            if renewed is None:
                raise
        return self._ask_with(renewed)

    def _ask_with(self, company_token: str) -> Token:
        company = self._company
        answer = company.client.exchange(
            LOCATION_TOKEN_PATH,
            {"companyId": company.resource_id, "locationId": self._location_id},
            scope=_SCOPE,
            reference=company.reference,
            budget=company.budget,
            resource_id=company.resource_id,
            token=company_token,
        )
        return token_of(answer, company.clock())


def _not_given(error: GhlError, *, attempts: int) -> GhlError:
    return GhlError(
        error.kind,
        f"GHL gives no token for the location: {error.message}",
        status=error.status,
        attempts=attempts,
    )
