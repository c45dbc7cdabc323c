"""Whose token a call carries, and what GHL's answers have shown of it."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Set as AbstractSet
from typing import ClassVar

from ghl_snapshots.core.errors import ErrorKind, GhlError
from ghl_snapshots.core.model import AccountKind, Tenant
from ghl_snapshots.ghl.endpoints import LOCATION_DETAIL, LOCATION_SEARCH
from ghl_snapshots.ghl.fetch_target import FetchTarget


class TokenSource(ABC):
    """Gives the token for calls about an account or a location during one capture."""

    renewed_after: ClassVar[AbstractSet[ErrorKind]] = frozenset({ErrorKind.INVALID_CREDENTIAL})
    """What GHL says of a token that another one may replace."""
    names_location: bool = False
    """Whether GHL named the location when it gave the token."""

    def __init__(self, *, resource_id: str, reference: str, proof: FetchTarget) -> None:
        self.resource_id = resource_id
        """The location or company for which GHL counts the requests."""
        self.reference = reference
        """The credential in words for an error, such as env:ACME_GHL_TOKEN."""
        self.proof = proof
        """The independent call whose good answer proves that a token opens the location or company."""
        self.good_tokens: set[str] = set()
        """Those that GHL has given a good answer with, to whatever call."""
        self.second_answers: dict[str, GhlError | None] = {}
        """What the independent call was answered, by token."""
        self.lock = threading.Lock()

    @abstractmethod
    def token(self) -> str:
        """A token to ask with.

        Raises:
            GhlError: GHL gives none.
            CredentialError: the credential's reference yields none.
        """

    @abstractmethod
    def renewed(self, refused: str) -> str | None:
        """Another token in the place of one that GHL refused; None where there can be none."""


def proof_of_account(tenant: Tenant) -> FetchTarget:
    """The call that proves a token to be the account's."""
    if tenant.account_kind is AccountKind.COMPANY:
        return FetchTarget(endpoint=LOCATION_SEARCH, company_id=tenant.ghl_account_id)
    return proof_of_location(tenant.ghl_account_id)


def proof_of_location(location_id: str) -> FetchTarget:
    """The call that proves a token to be the location's."""
    return FetchTarget(endpoint=LOCATION_DETAIL, location_id=location_id)
