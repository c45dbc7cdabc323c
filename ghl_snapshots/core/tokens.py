"""The OAuth tokens that are kept between captures."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTokens:
    """A tenant's OAuth tokens as a token store keeps them; the refresh token is single use."""

    refresh_token: str = field(repr=False)
    access_token: str | None = field(default=None, repr=False)
    access_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationToken:
    """The access token of a company's location, and when it runs out."""

    value: str = field(repr=False)
    expires_at: datetime
