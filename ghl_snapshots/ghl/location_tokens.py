"""The tokens of a company's locations, each asked for with the company's own and used until it expires."""

import math
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from ghl_snapshots.core.errors import ConfigurationError, ErrorKind, GhlError, LedgerError
from ghl_snapshots.core.tokens import AccessToken, RefusedLocation
from ghl_snapshots.ghl.oauth import OAuthAccount
from ghl_snapshots.ghl.quoting import quoted
from ghl_snapshots.ghl.read_only import LOCATION_TOKEN_PATH
from ghl_snapshots.ghl.refusals import refusal_of_call
from ghl_snapshots.ghl.token_source import TokenSource
from ghl_snapshots.ghl.token_store import TokenStore
from ghl_snapshots.ghl.tokens import read_access_token

_SCOPE: Final = "oauth.write"
_READ_EVERY_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 30.0
"""How long the store is left alone after it has failed, which may take it ten seconds each time."""
_REFUSED_FOR: Final = timedelta(hours=6)
"""How long a location for which GHL gave no token is not asked for again."""
_REFUSALS: Final = frozenset(
    {
        ErrorKind.FORBIDDEN,
        ErrorKind.FORBIDDEN_LOCATION,
        ErrorKind.INVALID_REQUEST,
        ErrorKind.NOT_FOUND,
        ErrorKind.SUSPENDED,
    }
)
"""How GHL answers for a location without the app: 400, 401, 403, 404 and 422 were all seen."""


LocationAnswer: TypeAlias = AccessToken | RefusedLocation


class LocationTokens:
    """A cache of location tokens, in the process and in the store that all processes share.

    The store only saves asking GHL again, so where it fails the tokens are asked for, and it is left alone
    for half a minute; tokens that come meanwhile are stored with the next after it. It is read for all
    locations of a tenant at once, and tokens that come while others are being stored are stored together.
    """

    def __init__(
        self,
        store: TokenStore,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._clock = clock
        self._monotonic = monotonic
        self._tokens: defaultdict[str, dict[str, LocationAnswer]] = defaultdict(dict)
        self._read_at: dict[str, float] = {}
        self._paused_until = -math.inf
        self._reading: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._unstored: deque[tuple[str, str, LocationAnswer]] = deque()
        self._storing = threading.Lock()
        self._locks: defaultdict[tuple[str, str], threading.Lock] = defaultdict(threading.Lock)

    def lock(self, tenant_id: str, location_id: str) -> threading.Lock:
        """The lock to hold while the location's token is looked up and, if need be, asked for."""
        return self._locks[tenant_id, location_id]

    def get(self, tenant_id: str, location_id: str) -> LocationAnswer | None:
        """The location's token, or GHL's refusal to give one, while it is good.

        What other processes stored in the last second may be missed.
        """
        cached = self._tokens[tenant_id]
        if location_id not in cached:
            with self._reading[tenant_id]:
                self._read(tenant_id)
        answer = cached.get(location_id)
        return answer if answer is not None and answer.good(self._clock()) else None

    def put(self, tenant_id: str, location_id: str, token: LocationAnswer) -> None:
        """Cache and store a token or a refusal in the place of an older one."""
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
        by_tenant: defaultdict[str, dict[str, LocationAnswer]] = defaultdict(dict)
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


class OAuthLocation(TokenSource):
    """The token of one location of a company in one capture."""

    # GHL answers every call 401 "Unauthorized" for a location in which the app is not installed any more.
    renewed_after = frozenset({ErrorKind.INVALID_CREDENTIAL, ErrorKind.FORBIDDEN})
    names_account = True

    def __init__(
        self, company: OAuthAccount, location_id: str, cache: LocationTokens, *, is_installed: bool
    ) -> None:
        """`is_installed`: GHL lists the app as installed. Where it does not, a refusal says so."""
        super().__init__(resource_id=location_id, reference=company.reference)
        self._company = company
        self._location_id = location_id
        self._cache = cache
        self._is_installed = is_installed
        self._token: AccessToken | None = None
        self._lock = cache.lock(company.tenant.tenant_id, location_id)

    def token(self) -> str:
        """The location's token.

        Raises:
            GhlError: GHL gives no token for the company or the location; of kind NOT_INSTALLED or SUSPENDED
                where that is the location's own state.
            CredentialError: there are no tokens of the tenant.
        """
        with self._lock:
            if self._token is None or not self._token.good(self._company.clock()):
                cached = self._cached()
                if isinstance(cached, RefusedLocation) and not self._is_installed:
                    raise GhlError(cached.kind, cached.message, attempts=0)
                self._token = cached if isinstance(cached, AccessToken) else self._exchange()
            return self._token.value

    def renew(self) -> bool:
        """Ask for a token, unless another capture has just done so; raises like `token`."""
        with self._lock:
            cached = self._cached()
            if isinstance(cached, AccessToken) and cached != self._token:
                self._token = cached
            else:
                self._token = self._exchange()
            return True

    def _cached(self) -> LocationAnswer | None:
        return self._cache.get(self._company.tenant.tenant_id, self._location_id)

    def _exchange(self) -> AccessToken:
        """Ask GHL for the location's token with the company's."""
        company = self._company
        token = company.token()
        try:
            answer = company.client.exchange(
                LOCATION_TOKEN_PATH,
                {"companyId": company.resource_id, "locationId": self._location_id},
                scope=_SCOPE,
                reference=company.reference,
                budget=company.budget,
                resource_id=company.resource_id,
                token=token,
            )
        except GhlError as error:
            raise self._refusal(error) from None
        given = read_access_token(answer, company.clock())
        named = answer.get("locationId")
        if named is not None and named != self._location_id:
            raise GhlError(
                ErrorKind.FORBIDDEN_LOCATION,
                f"GHL gave a token of location {quoted(str(named))} for {self._location_id}; it is not used",
            )
        self.names_account = named is not None
        if self.names_account:
            self._cache.put(company.tenant.tenant_id, self._location_id, given)
        return given

    def _refusal(self, error: GhlError) -> GhlError:
        """The error, as one of the location if it is: GHL has listed the locations for the same token."""
        is_suspended = error.kind is ErrorKind.SUSPENDED
        if is_suspended or (error.kind in _REFUSALS and not self._is_installed):
            kind = ErrorKind.SUSPENDED if is_suspended else ErrorKind.NOT_INSTALLED
            advice = (
                "" if is_suspended else "the app is not installed in the location; install it to capture it: "
            )
            refused = RefusedLocation(
                kind=kind,
                message=f"{advice}{error.message}",
                expires_at=self._company.clock() + _REFUSED_FOR,
            )
            self._cache.put(self._company.tenant.tenant_id, self._location_id, refused)
            message = refused.message
        else:
            of_call = refusal_of_call(error)
            kind, message = of_call.kind, f"GHL gives no token for the location: {of_call.message}"
        # The status is the exchange's, and says nothing of the calls that the token was for.
        return GhlError(kind, message, attempts=error.attempts)
