"""GHL's two limits per resource: a burst in a sliding window, and a quota for each UTC day."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

SECONDS_A_DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a resource has left after a request, and whether that request was within the limits."""

    allowed: bool
    remaining: int
    daily_remaining: int


@dataclass(slots=True)
class _Usage:
    recent: deque[float] = field(default_factory=deque)
    day: int = -1
    spent: int = 0


@dataclass(slots=True, kw_only=True)
class RateLimits:
    """Counts requests per location or company; the limits may be changed while it is in use.

    The window slides, which is the strictest reading of "100 requests in 10 s". A refused request counts
    against neither limit.
    """

    burst_limit: int
    burst_window_seconds: float
    daily_limit: int
    monotonic: Callable[[], float]
    wall_clock: Callable[[], float]
    _usages: dict[str, _Usage] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def take(self, resource_id: str) -> Allowance:
        """Count one request of the resource, or refuse it."""
        with self._lock:
            usage = self._current(resource_id)
            allowed = len(usage.recent) < self.burst_limit and usage.spent < self.daily_limit
            if allowed:
                usage.recent.append(self.monotonic())
                usage.spent += 1
            return self._allowance(usage, allowed=allowed)

    def peek(self, resource_id: str | None) -> Allowance:
        """What the resource has left, without counting a request; all of it for an unknown resource."""
        with self._lock:
            usage = self._current(resource_id) if resource_id in self._usages and resource_id else _Usage()
            return self._allowance(usage, allowed=True)

    def spend_daily(self, resource_id: str, requests: int) -> None:
        """Count requests against the day's quota as if the customer's other apps had made them."""
        with self._lock:
            self._current(resource_id).spent += requests

    def headers(self, allowance: Allowance) -> dict[str, str]:
        """The rate-limit headers that every answer carries."""
        return {
            "X-RateLimit-Limit-Daily": str(self.daily_limit),
            "X-RateLimit-Daily-Remaining": str(allowance.daily_remaining),
            "X-RateLimit-Interval-Milliseconds": str(round(self.burst_window_seconds * 1000)),
            "X-RateLimit-Max": str(self.burst_limit),
            "X-RateLimit-Remaining": str(allowance.remaining),
        }

    def _current(self, resource_id: str) -> _Usage:
        usage = self._usages.setdefault(resource_id, _Usage())
        horizon = self.monotonic() - self.burst_window_seconds
        while usage.recent and usage.recent[0] <= horizon:
            usage.recent.popleft()
        today = int(self.wall_clock() // SECONDS_A_DAY)
        if usage.day != today:
            usage.day, usage.spent = today, 0
        return usage

    def _allowance(self, usage: _Usage, *, allowed: bool) -> Allowance:
        return Allowance(
            allowed=allowed,
            remaining=max(0, self.burst_limit - len(usage.recent)),
            daily_remaining=max(0, self.daily_limit - usage.spent),
        )
