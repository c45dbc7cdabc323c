"""Whose token a call carries."""

from typing import Protocol


class TokenSource(Protocol):
    """Gives the token for calls about an account or a location during one capture."""

    @property
    def resource_id(self) -> str:
        """The location or company for which GHL counts the requests."""

    @property
    def reference(self) -> str:
        """The credential in words for an error, such as env:ACME_GHL_TOKEN."""

    def token(self) -> str:
        """A token to ask with.

        Raises:
            GhlError: GHL gives none.
            CredentialError: the credential's reference yields none.
        """

    def renewed(self, refused: str) -> str | None:
        """Another token in the place of one that GHL refused; None where there can be none."""
