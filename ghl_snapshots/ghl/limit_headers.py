"""What GHL's answers say of its rate limits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_MOST_DIGITS: Final = 15


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
    return LimitHeaders(
        burst=_number(headers, "X-RateLimit-Max"),
        remaining=_number(headers, "X-RateLimit-Remaining"),
        interval_seconds=interval / 1000 if interval else None,
        daily=_number(headers, "X-RateLimit-Limit-Daily"),
        daily_remaining=_number(headers, "X-RateLimit-Daily-Remaining"),
        retry_after_seconds=_number(headers, "Retry-After"),
    )


def is_daily(headers: Mapping[str, str]) -> bool:
    """Whether a 429 with these headers is for the day's quota, which no waiting of ours brings back."""
    return read_limits(headers).daily_remaining == 0


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "").strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS else None
