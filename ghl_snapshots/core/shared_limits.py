"""What processes tell each other of GHL's limits."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What GHL last said of a UTC day's quota of a location or company."""

    day: date
    remaining: int
    daily: int | None
    """All of the quota, if GHL has said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place in a rate limit that processes share, or several that were taken together."""

    wait_seconds: float
    """After which its request may be sent."""
    taken: int
    """Places of the window that were taken before, for requests that GHL may count by now."""
    places: int = 1
    quota: Quota | None = None
    """What processes have noted of the day's quota, if anything."""
