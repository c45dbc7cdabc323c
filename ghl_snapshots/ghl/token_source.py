"""Whose token a call carries."""

from abc import ABC, abstractmethod
from collections.abc import Set as AbstractSet
from typing import ClassVar

from ghl_snapshots.core.errors import ErrorKind


class TokenSource(ABC):
    """Gives the token for calls about an account or a location during one capture."""

    renewed_after: ClassVar[AbstractSet[ErrorKind]] = frozenset({ErrorKind.INVALID_CREDENTIAL})
    """What GHL says of a token that another one may replace."""
    names_account: bool = False
    """Whether GHL named the account when it gave the token."""

    def __init__(self, *, resource_id: str, reference: str) -> None:
        self.resource_id = resource_id
        """The location or company for which GHL counts the requests."""
        self.reference = reference
        """The credential in words for an error, such as env:ACME_GHL_TOKEN."""

    @abstractmethod
    def token(self) -> str:
        """A token to ask with, the same for all calls while it lives.

        Raises:
            GhlError: GHL gives none.
            CredentialError: the credential's reference yields none.
        """

    @abstractmethod
    def renew(self) -> bool:
        """Replace the token, which GHL refuses; False where there is no other. Raises like `token`."""
