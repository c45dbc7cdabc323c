"""An account's access token from the OAuth app that is installed in it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from ghl_snapshots.core.errors import CredentialError, DatabaseLostError, GhlError, LedgerError
from ghl_snapshots.core.model import Tenant
from ghl_snapshots.core.tokens import AccessToken
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.client import GhlClient
from ghl_snapshots.ghl.token_exchange import TokenExchange, not_authorized, reference
from ghl_snapshots.ghl.token_source import TokenSource
from ghl_snapshots.ghl.token_store import TokenStore


class OAuthAccount(TokenSource):
    """The account's own access token in one capture: from the store while it is good, else refreshed.

    Each refresh spends a single-use token, so there is one at most in a capture: for a stored token that has
    run out, or for one that GHL refuses in the credential's own words.
    """

    def __init__(
        self,
        tenant: Tenant,
        *,
        exchange: TokenExchange,
        store: TokenStore,
        client: GhlClient,
        budget: Budget,
        clock: Callable[[], datetime],
    ) -> None:
        super().__init__(resource_id=tenant.ghl_account_id, reference=reference(tenant))
        self.tenant = tenant
        self.client = client
        self.budget = budget
        self.clock = clock
        self._exchange = exchange
        self._store = store
        self._token: AccessToken | None = None
        self._fresh = False
        self._failure: GhlError | None = None
        self._lock = threading.Lock()

    def token(self) -> str:
        """The account's access token; threads that need it at once wait for one to fetch it.

        Raises:
            GhlError: GHL refuses the refresh token or does not answer.
            CredentialError: the tenant has no tokens, or the database does not give or take them.
            DatabaseLostError: the database is away, which says nothing about the credential.
        """
        with self._lock, self._database_trouble():
            self._check_failure()
            if self._token is None:
                self._token = self._stored()
            if self._token is None or not (self._fresh or self._token.good(self.clock())):
                self._token = self._refreshed(refused=None)
            return self._token.value

    def renew(self) -> bool:
        """Spend the refresh token; False for an access token that is as new as this capture."""
        with self._lock, self._database_trouble():
            self._check_failure()
            if self._fresh:
                return False
            self._token = self._refreshed(refused=self._token.value if self._token else None)
            return True

    def _check_failure(self) -> None:
        if self._failure is not None:
            error = self._failure
            raise GhlError(error.kind, error.message, status=error.status, attempts=0)

    def _refreshed(self, *, refused: str | None) -> AccessToken:
        try:
            token = self._exchange.refresh(self.tenant, refused=refused, budget=self.budget)
        except GhlError as error:
            self._failure = error
            raise
        self._fresh = True
        return token

    def _stored(self) -> AccessToken | None:
        tokens = self._store.load(self.tenant.tenant_id)
        if tokens is None:
            raise not_authorized(self.tenant)
        return tokens.access

    @contextmanager
    def _database_trouble(self) -> Iterator[None]:
        """Turn what the token store raises into what the credential's user can make sense of."""
        try:
            yield
        except DatabaseLostError:
            raise
        except LedgerError as error:
            self.budget.deadline.check()
            raise CredentialError(
                f"The OAuth tokens of tenant {self.tenant.tenant_id} cannot be read or stored: {error}"
            ) from None
