"""What the GHL client needs of the place where OAuth tokens are stored; the ledger implements it."""

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from ghl_snapshots.core.tokens import AccessToken, RefusedLocation, StoredTokens


class LockedTokens(Protocol):
    """A tenant's tokens while no other process may refresh them."""

    @property
    def tokens(self) -> StoredTokens | None:
        """The tokens, or None if the tenant has none; raises CredentialError where they cannot be read."""

    def store(self, tokens: StoredTokens, *, timeout_seconds: float = ...) -> None:
        """Replace the tokens by those that follow; they are durable when this returns."""

    def install(self, tokens: StoredTokens, *, timeout_seconds: float = ...) -> None:
        """Begin anew with the tokens of a new authorization; they are durable when this returns."""

    def set_aside(self, tokens: StoredTokens, account_id: str, *, timeout_seconds: float = ...) -> None:
        """Store tokens that GHL gave for another account, where nothing uses them."""


class TokenStore(Protocol):
    """Where tenants' OAuth tokens are stored between captures."""

    def load(self, tenant_id: str) -> StoredTokens | None:
        """The tenant's tokens, or None if it has none."""

    def locked(self, tenant_id: str, *, timeout_seconds: float = ...) -> AbstractContextManager[LockedTokens]:
        """The tenant's tokens, for one process at a time.

        Raises:
            TokensLockedError: another process has them for longer than the timeout.
            LedgerError: the database does not answer.
        """

    def location_tokens(
        self, tenant_id: str, *, known: Collection[str] = ()
    ) -> Mapping[str, AccessToken | RefusedLocation]:
        """The stored tokens and refusals of the company's locations, those that are `known` left out."""

    def store_location_tokens(
        self, tenant_id: str, tokens: Mapping[str, AccessToken | RefusedLocation]
    ) -> None:
        """Store locations' tokens and refusals in the place of older ones."""
