"""What GHL said of a day's quota."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyQuota:
    """Requests that GHL still allowed a location or company on a UTC day when it last said so."""

    day: date
    remaining: int
    daily: int | None
    """The whole day's quota, if GHL has said so."""
