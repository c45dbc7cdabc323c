"""OAuth tokens as GHL gives them and as a token store keeps them."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from ghl_snapshots.core.errors import ErrorKind

EXCHANGE_SECONDS: Final = 60.0
"""How long an exchange takes at most once it has begun: asking GHL and storing the answer, with all tries.

Whatever ends processes leaves them as much time, since GHL gives the answer to a single-use grant once.
"""

_EARLY: Final = timedelta(minutes=5)
LONGEST_LIFE: Final = timedelta(days=1)
"""Of GHL's tokens. What seems to live much longer was stored by a machine whose clock was wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """An access token of an account or a location."""

    value: str = field(repr=False)
    expires_at: datetime
    early: timedelta = _EARLY
    """How long before its end it is no longer used, so that it does not expire on its way."""

    def good(self, now: datetime) -> bool:
        """Whether it may still be used."""
        return now + self.early < self.expires_at < now + 2 * LONGEST_LIFE


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedLocation:
    """GHL's refusal to give a token for a company's location, remembered for some hours."""

    kind: ErrorKind
    message: str
    expires_at: datetime

    def good(self, now: datetime) -> bool:
        """Whether it may still be believed."""
        return now < self.expires_at < now + 2 * LONGEST_LIFE


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTokens:
    """A tenant's OAuth tokens; the refresh token is single use."""

    refresh_token: str = field(repr=False)
    access: AccessToken | None = None
