"""GHL's limits, kept before GHL has to refuse: a burst and a daily quota for each location and company.

GHL counts a request at some moment between its sending and its answer. So a slot stays taken until a whole
interval after the answer, and no delay on the way can put one request too many into GHL's window. What the
headers say of requests that others made fills the window too. That comes too late when several processes
begin at once, so they may share a window besides.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Final, Protocol

from ghl_snapshots.errors import ErrorKind, GhlError
from ghl_snapshots.ghl.deadline import Deadline

_BURST: Final = 100
_INTERVAL_SECONDS: Final = 10.0
_SHORTEST_NAP_SECONDS: Final = 0.001
_LONGEST_NAP_SECONDS: Final = 0.02
_TOO_MANY_REQUESTS: Final = 429
_UNDERWAY: Final = 0.1
"""Part of the interval that is added to a shared slot's time, because its end is set before it is used."""


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


class SharedWindow(Protocol):
    """The slots that several processes take from one window for each location and company."""

    def claim(self, resource_id: str, *, most: int, hold_seconds: float) -> float:
        """Take one of `most` slots for `hold_seconds` and give 0, or give the seconds until one is free."""


class RateLimiter:
    """Holds each request back until its location or company may make it; shared by all threads.

    `margin` is the part of a burst left unused, `daily_reserve` the part of the day's quota left to the
    customer's own integrations; `shared` is the window that other processes keep to as well.
    """

    def __init__(
        self,
        *,
        margin: float = 0.05,
        daily_reserve: float = 0.5,
        shared: SharedWindow | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
        self._margin = margin
        self._daily_reserve = daily_reserve
        self._shared = shared
        self._monotonic = monotonic
        self._today = today
        self._lock = threading.Lock()
        self._usages: dict[str, _Usage] = {}

    def acquire(self, resource_id: str, deadline: Deadline) -> None:
        """Wait for a slot and take it; `observe` must follow, whatever becomes of the request.

        Raises:
            GhlError: DAILY_LIMIT when the day's quota is down to its reserve, TIMEOUT when the slot would
                come after the deadline.
        """
        while wait := self._wait_or_take(resource_id) or self._wait_or_claim(resource_id):
            if wait >= deadline.remaining:
                raise _too_late(resource_id, wait, deadline)
            deadline.sleep(wait)

    def observe(self, resource_id: str, headers: Mapping[str, str], status: int | None) -> None:
        """Learn from an answer, or with status None from there being none, and count down the slot's time."""
        limits = read_limits(headers)
        with self._lock:
            now = self._monotonic()
            usage = self._usages.setdefault(resource_id, _Usage())
            usage.learn(limits, self._today())
            usage.answered(now)
            usage.count_others(limits, now)
            if status == _TOO_MANY_REQUESTS and limits.daily_remaining != 0:
                pause = max(usage.interval_seconds, limits.retry_after_seconds or 0)
                usage.blocked_until = max(usage.blocked_until, now + pause)

    def _wait_or_take(self, resource_id: str) -> float:
        """Take a slot and give 0, or give the seconds after which to ask again."""
        with self._lock:
            usage = self._usages.setdefault(resource_id, _Usage())
            usage.check_daily(resource_id, self._daily_reserve, self._today())
            wait = usage.wait(self._monotonic(), self._margin)
            if not wait:
                usage.in_flight += 1
            return wait

    def _wait_or_claim(self, resource_id: str) -> float:
        """Claim a shared slot for the one just taken and give 0, or put that back and give the wait."""
        if self._shared is None:
            return 0.0
        with self._lock:
            usage = self._usages[resource_id]
            most, hold = usage.most(self._margin), usage.interval_seconds * (1 + _UNDERWAY)
        wait = _NOT_CLAIMED
        try:
            wait = self._shared.claim(resource_id, most=most, hold_seconds=hold)
        finally:
            if wait:
                with self._lock:
                    usage.in_flight -= 1
        return wait


@dataclass(slots=True)
class _Usage:
    """What is known of one location's or company's use of its limits."""

    burst: int = _BURST
    interval_seconds: float = _INTERVAL_SECONDS
    in_flight: int = 0
    ends: deque[float] = field(default_factory=deque)
    """When the slots of answered requests become free."""
    others: int = 0
    """Slots that others use, as far as the latest answer tells; nothing is known after `others_until`."""
    others_until: float = 0.0
    blocked_until: float = 0.0
    daily: int | None = None
    daily_remaining: int | None = None
    day: date | None = None

    def learn(self, limits: LimitHeaders, today: date) -> None:
        """Take over what the headers say of the limits themselves."""
        self.burst = limits.burst or self.burst
        self.interval_seconds = limits.interval_seconds or self.interval_seconds
        if limits.daily_remaining is not None:
            # Answers overtake each other; within a day the quota only shrinks.
            known = self.daily_remaining if self.day == today else None
            self.daily_remaining = min(limits.daily_remaining, known if known is not None else _NO_LIMIT)
            self.daily = limits.daily or self.daily
            self.day = today

    def answered(self, now: float) -> None:
        """Begin the interval after which the slot of an answered request becomes free."""
        self.in_flight = max(0, self.in_flight - 1)
        self.ends.append(now + self.interval_seconds)

    def count_others(self, limits: LimitHeaders, now: float) -> None:
        """Take over how much of the window GHL says is used by others than this limiter.

        Of the requests under way some are in GHL's count and some are not, so what others use lies between
        two bounds, and the former estimate is kept as far as it fits.
        """
        if limits.remaining is None:
            return
        self._forget_ended(now)
        not_answered_here = self.burst - limits.remaining - len(self.ends)
        least, most = max(0, not_answered_here - self.in_flight), max(0, not_answered_here)
        self.others = min(max(self.others, least), most)
        self.others_until = now + self.interval_seconds

    def check_daily(self, resource_id: str, reserve: float, today: date) -> None:
        """Go on only above the reserve of the day's quota, requests under way counted.

        GHL's day is taken for the UTC day; after it the quota is unknown until the next answer.

        Raises:
            GhlError: DAILY_LIMIT.
        """
        if self.daily_remaining is None or self.day != today:
            return
        kept = int((self.daily or 0) * reserve)
        if self.daily_remaining - self.in_flight <= kept:
            raise _daily_limit(resource_id, self.daily_remaining, self.daily, reserve)

    def wait(self, now: float, margin: float) -> float:
        """Seconds after which a slot may be free; 0 when one is."""
        self._forget_ended(now)
        if now < self.blocked_until:
            return self.blocked_until - now
        surplus = self.in_flight + len(self.ends) + self.others - self.most(margin)
        if surplus < 0:
            return 0.0
        ends = [self.ends[surplus]] if surplus < len(self.ends) else []
        ends += [self.others_until] if self.others else []
        return max(min(ends) - now, _SHORTEST_NAP_SECONDS) if ends else _LONGEST_NAP_SECONDS

    def most(self, margin: float) -> int:
        """Requests of a burst that are made use of."""
        return max(1, int(self.burst * (1 - margin)))

    def _forget_ended(self, now: float) -> None:
        while self.ends and self.ends[0] <= now:
            self.ends.popleft()
        if self.others_until <= now:
            self.others = 0


_NOT_CLAIMED: Final = -1.0
_NO_LIMIT: Final = 10**15


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "").strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < len(str(_NO_LIMIT)) else None


def _too_late(resource_id: str, wait: float, deadline: Deadline) -> GhlError:
    if not deadline.remaining:
        return deadline.error()
    return GhlError(
        ErrorKind.TIMEOUT,
        f"the rate limit of {resource_id} allows the next request in {wait:.1f} s, but the capture's total "
        f"time of {deadline.seconds:g} s ends in {deadline.remaining:.1f} s",
        attempts=0,
    )


def _daily_limit(resource_id: str, remaining: int, daily: int | None, reserve: float) -> GhlError:
    quota = f"{remaining:,} of {daily:,}" if daily else f"{remaining:,}"
    return GhlError(
        ErrorKind.DAILY_LIMIT,
        f"{resource_id} has {quota} requests left today, and {reserve:.0%} of the day's quota is kept for "
        "the customer's own integrations; nothing more is asked of it before the quota renews",
        attempts=0,
    )
