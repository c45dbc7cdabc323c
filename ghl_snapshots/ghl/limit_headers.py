"""What GHL's answers say of its rate limits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_MOST_DIGITS: Final = 15
LONGEST_INTERVAL_SECONDS: Final = 60
"""An interval is believed to be no longer than this; GHL's is ten seconds."""
LONGEST_RETRY_AFTER_SECONDS: Final = 3600
"""A location is left in peace no longer than this at GHL's word; a header gone wrong must not close it."""
_MOST: Final = 1_000_000_000
"""A count is believed to be no greater than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitHeaders:
    """What an answer's rate-limit headers say; None where a header is missing or no number."""

    burst: int | None
    remaining: int | None
    interval_seconds: float | None
    daily: int | None
    daily_remaining: int | None
    retry_after_seconds: int | None


def read_limits(headers: Mapping[str, str]) -> LimitHeaders:
    """Read the headers, whose names GHL documents as X-RateLimit-…; `headers` is looked up without case."""
    interval = _number(headers, "X-RateLimit-Interval-Milliseconds")
    pause = _number(headers, "Retry-After")
    return LimitHeaders(
        burst=_number(headers, "X-RateLimit-Max"),
        remaining=_number(headers, "X-RateLimit-Remaining"),
        interval_seconds=min(interval / 1000, LONGEST_INTERVAL_SECONDS) if interval else None,
        daily=_number(headers, "X-RateLimit-Limit-Daily"),
        daily_remaining=_number(headers, "X-RateLimit-Daily-Remaining"),
        retry_after_seconds=None if pause is None else min(pause, LONGEST_RETRY_AFTER_SECONDS),
    )


def is_daily(headers: Mapping[str, str]) -> bool:
    """Whether a 429 with these headers is for the day's quota, which no waiting of ours brings back."""
    return read_limits(headers).daily_remaining == 0


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "").strip()
    if not text.isascii() or not text.isdecimal() or len(text) > _MOST_DIGITS:
        return None
    return min(int(text), _MOST)
