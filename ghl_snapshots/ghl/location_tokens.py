"""The tokens of a company's locations, each asked for with the company's own and used until it expires."""

import math
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from ghl_snapshots.core.errors import ConfigurationError, ErrorKind, GhlError, LedgerError
from ghl_snapshots.core.tokens import AccessToken
from ghl_snapshots.ghl.oauth import OAuthAccount
from ghl_snapshots.ghl.read_only import LOCATION_TOKEN_PATH
from ghl_snapshots.ghl.token_store import TokenStore
from ghl_snapshots.ghl.tokens import read_access_token

_SCOPE: Final = "oauth.write"
_READ_EVERY_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 30.0
"""How long the store is left alone after it has failed, which may take it ten seconds each time."""


class LocationTokens:
    """A cache of location tokens, in the process and in the store that all processes share.

    The store only saves asking GHL again, so where it fails the tokens are asked for, and it is left alone
    for half a minute; tokens that come meanwhile are stored with the next after it. It is read for all
    locations of a tenant at once, and tokens that come while others are being stored are stored together.
    """

    def __init__(self, store: TokenStore, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._monotonic = monotonic
        self._tokens: defaultdict[str, dict[str, AccessToken]] = defaultdict(dict)
        self._read_at: dict[str, float] = {}
        self._paused_until = -math.inf
        self._reading: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._unstored: deque[tuple[str, str, AccessToken]] = deque()
        self._storing = threading.Lock()
        self._locks: defaultdict[tuple[str, str], threading.Lock] = defaultdict(threading.Lock)

    def lock(self, tenant_id: str, location_id: str) -> threading.Lock:
        """The lock to hold while the location's token is looked up and, if need be, asked for."""
        return self._locks[tenant_id, location_id]

    def get(self, tenant_id: str, location_id: str) -> AccessToken | None:
        """The cached token of the location; what other processes stored in the last second may be missed."""
        cached = self._tokens[tenant_id]
        if location_id not in cached:
            with self._reading[tenant_id]:
                self._read(tenant_id)
        return cached.get(location_id)

    def put(self, tenant_id: str, location_id: str, token: AccessToken) -> None:
        """Cache and store a token in the place of an older one."""
        self._tokens[tenant_id][location_id] = token
        self._unstored.append((tenant_id, location_id, token))
        # The thread that stores goes on until nothing is left, so that nobody waits for it.
        while self._unstored and not self._is_paused() and self._storing.acquire(blocking=False):
            try:
                self._store_all()
            finally:
                self._storing.release()

    def _read(self, tenant_id: str) -> None:
        read_seconds_ago = self._monotonic() - self._read_at.get(tenant_id, -math.inf)
        if read_seconds_ago < _READ_EVERY_SECONDS or self._is_paused():
            return
        cached = self._tokens[tenant_id]
        try:
            with self._pausing():
                for location_id, token in self._store.location_tokens(tenant_id, known=list(cached)).items():
                    cached.setdefault(location_id, token)
        finally:
            # The threads that waited meanwhile need not read again, however long it took.
            self._read_at[tenant_id] = self._monotonic()

    def _store_all(self) -> None:
        by_tenant: defaultdict[str, dict[str, AccessToken]] = defaultdict(dict)
        with suppress(IndexError):
            while True:
                tenant_id, location_id, token = self._unstored.popleft()
                by_tenant[tenant_id][location_id] = token
        for tenant_id, tokens in by_tenant.items():
            with self._pausing():
                self._store.store_location_tokens(tenant_id, tokens)

    def _is_paused(self) -> bool:
        return self._monotonic() < self._paused_until

    @contextmanager
    def _pausing(self) -> Iterator[None]:
        """Ignore a failure of the store, and leave it alone for a while."""
        try:
            yield
        except (LedgerError, ConfigurationError):
            self._paused_until = self._monotonic() + _PAUSE_SECONDS


class OAuthLocation:
    """The token of one location of a company in one capture."""

    def __init__(self, company: OAuthAccount, location_id: str, cache: LocationTokens) -> None:
        self._company = company
        self._location_id = location_id
        self._cache = cache
        self._failure: GhlError | None = None
        self._lock = cache.lock(company.tenant.tenant_id, location_id)

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
            GhlError: GHL gives no token for the company or the location.
            CredentialError: there are no tokens of the tenant.
        """
        with self._lock:
            cached = self._cache.get(self._company.tenant.tenant_id, self._location_id)
            if cached is not None and cached.good(self._company.clock()):
                return cached.value
            return self._exchanged()

    def renewed(self, refused: str) -> str | None:
        """The token that replaces one that GHL refused; raises like `token`."""
        with self._lock:
            cached = self._cache.get(self._company.tenant.tenant_id, self._location_id)
            if cached is not None and cached.value != refused:
                return cached.value
            return self._exchanged()

    def _exchanged(self) -> str:
        if self._failure is not None:
            raise _not_given(self._failure, attempts=0)
        try:
            token = self._ask()
        except GhlError as error:
            self._failure = error
            raise _not_given(error, attempts=error.attempts) from None
        self._cache.put(self._company.tenant.tenant_id, self._location_id, token)
        return token.value

    def _ask(self) -> AccessToken:
        """Ask with the company's token, and with the one that replaces it if GHL refuses it."""
        company_token = self._company.token()
        while True:
            try:
                given = self._ask_with(company_token)
            except GhlError as error:
                if error.kind is not ErrorKind.INVALID_CREDENTIAL:
                    raise
                renewed = self._company.renewed(company_token)
                if renewed is None:
                    self._company.note_location_refusal(company_token, self._location_id, error)
                    raise
                company_token = renewed
            else:
                self._company.note_location_token(company_token)
                return given

    def _ask_with(self, company_token: str) -> AccessToken:
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
        return read_access_token(answer, company.clock())


def _not_given(error: GhlError, *, attempts: int) -> GhlError:
    return GhlError(
        error.kind,
        f"GHL gives no token for the location: {error.message}",
        status=error.status,
        attempts=attempts,
    )
