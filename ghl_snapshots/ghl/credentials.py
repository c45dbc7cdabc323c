"""From a tenant's credential reference to the tokens that its calls carry."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from ghl_snapshots.errors import CredentialError
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.client import Bearer, GhlClient
from ghl_snapshots.ghl.location_tokens import LocationTokens, OAuthLocation
from ghl_snapshots.ghl.oauth import OAuthAccount, OAuthApp, TokenStore
from ghl_snapshots.model import AccountKind, Tenant

_TOKEN: Final = re.compile(r"[!-~]{1,16384}")
_MOST_FILE_BYTES: Final = 65_536


class Account(Protocol):
    """A tenant's GHL account in one capture."""

    @property
    def own(self) -> Bearer:
        """What calls about the account itself carry."""

    def location(self, location_id: str) -> Bearer:
        """What calls about a location carry; the account's own where it has no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateIntegration:
    """A Private Integration Token, which never changes, as an account and as its bearer."""

    reference: str
    resource_id: str
    _token: str = field(repr=False)

    def token(self) -> str:
        """The token."""
        return self._token

    def renewed(self, refused: str) -> str | None:
        """None."""
        return None

    @property
    def own(self) -> Bearer:
        """Itself."""
        return self

    def location(self, location_id: str) -> Bearer:
        """Itself: an agency's token reads no more than GHL lets it."""
        return self


class _OAuthCompany:
    """A company with the OAuth app, whose locations have tokens of their own."""

    def __init__(self, own: OAuthAccount, kept: LocationTokens) -> None:
        self.own: Bearer = own
        self._company = own
        self._kept = kept
        self._locations: dict[str, OAuthLocation] = {}

    def location(self, location_id: str) -> Bearer:
        fresh = OAuthLocation(self._company, location_id, self._kept)
        return self._locations.setdefault(location_id, fresh)


class _OAuthSubAccount:
    """A single location with the OAuth app."""

    def __init__(self, own: OAuthAccount) -> None:
        self.own: Bearer = own

    def location(self, location_id: str) -> Bearer:
        return self.own


class Credentials:
    """Reads credential references: `env:NAME`, `file:/path` and `oauth`."""

    def __init__(
        self,
        *,
        oauth_app: OAuthApp | None = None,
        token_store: TokenStore | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._oauth_app = oauth_app
        self._token_store = token_store
        self._environment = environment
        self._location_tokens = LocationTokens()

    def account(
        self, tenant: Tenant, *, client: GhlClient, budget: Budget, clock: Callable[[], datetime]
    ) -> Account:
        """The tenant's account for one capture.

        Raises:
            CredentialError: naming the reference, what is wrong with it and what to do.
        """
        kind, _, place = tenant.credential.partition(":")
        if kind == "oauth":
            return self._oauth(tenant, client, budget, clock)
        token = self._from_environment(tenant, place) if kind == "env" else _from_file(tenant, Path(place))
        return PrivateIntegration(
            reference=tenant.credential, resource_id=tenant.ghl_account_id, _token=token
        )

    def _from_environment(self, tenant: Tenant, name: str) -> str:
        if name not in self._environment:
            raise _unusable(tenant, f"the environment variable {name} is not set; set it to the token")
        return _checked(tenant, self._environment[name], f"the environment variable {name}")

    def _oauth(
        self, tenant: Tenant, client: GhlClient, budget: Budget, clock: Callable[[], datetime]
    ) -> Account:
        if self._oauth_app is None:
            raise _unusable(tenant, "GHL_OAUTH_CLIENT_ID and GHL_OAUTH_CLIENT_SECRET are not both set")
        if self._token_store is None:
            raise _unusable(tenant, "there is no database to keep its tokens in")
        own = OAuthAccount(
            tenant, app=self._oauth_app, store=self._token_store, client=client, budget=budget, clock=clock
        )
        if tenant.account_kind is AccountKind.LOCATION:
            return _OAuthSubAccount(own)
        return _OAuthCompany(own, self._location_tokens)


def _from_file(tenant: Tenant, path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_MOST_FILE_BYTES)
    except OSError as error:
        raise _unusable(tenant, f"the file cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _unusable(tenant, "the file is not text; put the token there and nothing else") from None
    return _checked(tenant, text, "the file")


def _checked(tenant: Tenant, text: str, place: str) -> str:
    """The token in a text that may end in a line break."""
    token = text.strip()
    if not token:
        raise _unusable(tenant, f"{place} is empty; put the token there")
    if not _TOKEN.fullmatch(token):
        raise _unusable(tenant, f"{place} holds what cannot be a token; put the token there and nothing else")
    return token


def _unusable(tenant: Tenant, problem: str) -> CredentialError:
    return CredentialError(f"Credential {tenant.credential} of tenant {tenant.tenant_id}: {problem}.")
