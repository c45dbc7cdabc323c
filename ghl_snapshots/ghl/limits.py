"""GHL's rate limits, kept before GHL has to refuse: a burst and a day's quota for each location and company.

GHL counts a request at some moment between its sending and its answer. So a slot is held from before the
request is sent until a whole interval after its answer, and no delay on the way can put one request too many
into GHL's window. Each process has windows of its own. What other processes and the customer's other apps use
(external usage) is read from the answers' headers; as these may come late, few requests are out before a
resource's first answer, and few of what is left while there is external usage.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final, Protocol

from ghl_snapshots.core.daily_quota import DailyQuota
from ghl_snapshots.core.errors import ErrorKind, GhlError
from ghl_snapshots.ghl.deadline import Deadline

BURST: Final = 100
INTERVAL_SECONDS: Final = 10.0
"""GHL's limit for each location or company: so many requests in so many seconds, unless an answer differs."""
_MAX_BEFORE_ANSWER: Final = 4
"""Requests of a resource that are out before an answer shows external usage."""
_EXTERNAL_SHARE: Final = 16
"""With external usage, one in so many of the slots that are left may be in flight at once."""
_EXTERNAL_MARGIN: Final = 16
"""With external usage, one in so many slots of a burst is not used."""
_POLL_SECONDS: Final = 0.01
_MAX_INTERVAL_SECONDS: Final = 60
_MAX_RETRY_AFTER_SECONDS: Final = 3600
"""A header gone wrong must not close a location for longer."""
_MAX_DIGITS: Final = 9


class DailyQuotas(Protocol):
    """What all processes know of the day's quotas; both methods do without a database that is away."""

    def read(self, resource_ids: Collection[str]) -> Mapping[str, DailyQuota]:
        """The quotas that were noted today, by location or company."""

    def note(self, quotas: Mapping[str, DailyQuota]) -> bool:
        """Note quotas for other processes; whether they are stored."""


@dataclass(slots=True)
class _Window:
    """What this process knows of one location's or company's limits; `lock` guards it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    burst: int = BURST
    interval_seconds: float = INTERVAL_SECONDS
    answered: bool = False
    in_flight: int = 0
    releases: deque[float] = field(default_factory=deque)
    """When the slots of answered requests become free."""
    external: int = 0
    external_until: float = 0.0
    blocked_until: float = 0.0
    quota: DailyQuota | None = None

    def wait_seconds(self, now: float) -> float:
        """Seconds after which a slot may be free; 0 when one is."""
        while self.releases and self.releases[0] <= now:
            self.releases.popleft()
        if self.external and self.external_until <= now:
            self.external, self.answered = 0, False
        if now < self.blocked_until:
            return self.blocked_until - now
        surplus = self.in_flight + len(self.releases) + self.external - self._usable
        if surplus < 0:
            return 0.0 if self.in_flight < self._max_in_flight() else _POLL_SECONDS
        freed = [self.releases[surplus]] if surplus < len(self.releases) else []
        freed += [self.external_until] if self.external else []
        return max(_POLL_SECONDS, min(freed, default=now) - now)

    @property
    def _usable(self) -> int:
        """Slots of a burst that are used, all processes' together: headers on others' usage come late."""
        return self.burst - (self.burst // _EXTERNAL_MARGIN if self.external else 0)

    def _max_in_flight(self) -> int:
        if not self.answered:
            return _MAX_BEFORE_ANSWER
        left = self._usable - len(self.releases) - self.external
        return max(1, left // _EXTERNAL_SHARE) if self.external else left

    def release(self, headers: Mapping[str, str], status: int | None, now: float) -> None:
        """End a request and learn the burst's limits from its answer."""
        self.burst = _number(headers, "X-RateLimit-Max") or self.burst
        if interval := _number(headers, "X-RateLimit-Interval-Milliseconds"):
            self.interval_seconds = min(interval / 1000, _MAX_INTERVAL_SECONDS)
        self.in_flight = max(0, self.in_flight - 1)
        self.releases.append(now + self.interval_seconds)
        self.answered = self.answered or status is not None
        if (remaining := _number(headers, "X-RateLimit-Remaining")) is not None:
            # Of the requests in flight GHL has counted none, all or some: the usage of others lies between.
            high = max(0, self.burst - remaining - len(self.releases))
            self.external = min(high, max(self.external, high - self.in_flight))
            self.external_until = now + self.interval_seconds
        if status == HTTPStatus.TOO_MANY_REQUESTS and not is_daily(headers):
            self.answered = False
            pause = max(self.interval_seconds, _retry_after_seconds(headers))
            self.blocked_until = max(self.blocked_until, now + pause)

    def learn_quota(self, quota: DailyQuota) -> None:
        """Take over a quota, unless a later day's or a lower one is known: answers overtake each other."""
        known = self.quota
        if known is not None and (quota.day, -quota.remaining) < (known.day, -known.remaining):
            return
        daily = quota.daily or (known.daily if known else None)
        self.quota = DailyQuota(day=quota.day, remaining=quota.remaining, daily=daily)

    def check_quota(self, resource_id: str, reserve: float, today: date) -> None:
        """Raise DAILY_LIMIT if the request would leave less than the reserve; GHL's day is the UTC day."""
        quota = self.quota
        if quota is None or quota.day != today:
            return
        if quota.remaining - self.in_flight <= int((quota.daily or 0) * reserve):
            raise _daily_limit(resource_id, quota, reserve)


class RateLimiter:
    """Holds each request back until its location or company may make it; shared by all threads."""

    def __init__(
        self,
        *,
        quotas: DailyQuotas | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
        self._quotas = quotas
        self._monotonic = monotonic
        self._today = today
        self._windows: dict[str, _Window] = {}
        self._unreported: set[str] = set()
        """The resources whose quota is not noted for other processes yet; a run has thousands of others."""
        self._reporting = threading.Lock()

    def acquire(self, resource_id: str, deadline: Deadline, *, daily_reserve: float = 0.5) -> date:
        """Wait for a slot and take it; `observe` must follow, whatever becomes of the request.

        Gives the UTC day on which the request is sent, whose quota its answer reports. `daily_reserve` is
        the part of the day's quota that is left to the customer's own integrations.

        Raises:
            GhlError: DAILY_LIMIT when the day's quota is down to its reserve, TIMEOUT when the slot would
                come after the deadline.
        """
        window = self._window(resource_id)
        while True:
            with window.lock:
                today = self._today()
                window.check_quota(resource_id, daily_reserve, today)
                wait = window.wait_seconds(self._monotonic())
                if not wait:
                    window.in_flight += 1
                    return today
            if wait >= deadline.remaining:
                raise _too_late(resource_id, wait, deadline)
            deadline.sleep(wait)

    def observe(
        self, resource_id: str, headers: Mapping[str, str], status: int | None, *, day: date | None = None
    ) -> None:
        """Learn from an answer, or with status None from there being none, and begin to free the slot.

        `day` is the day on which the request was sent, by default the present one.
        """
        window = self._window(resource_id)
        with window.lock:
            window.release(headers, status, self._monotonic())
            remaining = _number(headers, "X-RateLimit-Daily-Remaining")
            if remaining is not None:
                daily = _number(headers, "X-RateLimit-Limit-Daily")
                window.learn_quota(DailyQuota(day=day or self._today(), remaining=remaining, daily=daily))
        if remaining is not None:
            with self._reporting:
                self._unreported.add(resource_id)
        if status == HTTPStatus.TOO_MANY_REQUESTS and remaining == 0:
            self.note_quotas()

    def read_quotas(self, resource_ids: Collection[str]) -> None:
        """Learn what other processes have noted of the day's quotas."""
        for resource_id, quota in (self._quotas.read(resource_ids) if self._quotas else {}).items():
            window = self._window(resource_id)
            with window.lock:
                window.learn_quota(quota)

    def quota(self, resource_id: str) -> DailyQuota | None:
        """What is known of the day's quota of a location or company."""
        return self._window(resource_id).quota

    def note_quotas(self) -> None:
        """Note for other processes what answers have reported of the day's quotas since the last time."""
        if self._quotas is None:
            return
        with self._reporting:
            unreported, self._unreported = self._unreported, set()
        known = {resource_id: self.quota(resource_id) for resource_id in unreported}
        quotas = {resource_id: quota for resource_id, quota in known.items() if quota is not None}
        if quotas and not self._quotas.note(quotas):
            with self._reporting:
                self._unreported |= quotas.keys()

    def _window(self, resource_id: str) -> _Window:
        return self._windows.get(resource_id) or self._windows.setdefault(resource_id, _Window())


def is_daily(headers: Mapping[str, str]) -> bool:
    """Whether a 429 with these headers is for the day's quota, which no waiting of ours brings back."""
    return _number(headers, "X-RateLimit-Daily-Remaining") == 0


def _number(headers: Mapping[str, str], name: str) -> int | None:
    """A header's whole number, a billion at most; None where there is none."""
    text = headers.get(name, "").strip()
    if not text.isascii() or not text.isdecimal() or len(text) > 2 * _MAX_DIGITS:
        return None
    return min(int(text), 10**_MAX_DIGITS)


def _retry_after_seconds(headers: Mapping[str, str]) -> float:
    """How long GHL asks to wait, in either form that HTTP has for it; 0 where it does not."""
    seconds: float | None = _number(headers, "Retry-After")
    until = _moment(headers, "Retry-After")
    if seconds is None and until is not None:
        # By GHL's clock where the answer has it, since ours may be wrong.
        seconds = (until - (_moment(headers, "Date") or datetime.now(UTC))).total_seconds()
    return min(max(0.0, seconds or 0.0), _MAX_RETRY_AFTER_SECONDS)


def _moment(headers: Mapping[str, str], name: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(headers.get(name, ""))
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _too_late(resource_id: str, wait: float, deadline: Deadline) -> GhlError:
    if not deadline.remaining:
        return deadline.error()
    return GhlError(
        ErrorKind.TIMEOUT,
        f"the rate limit of {resource_id} allows the next request in {wait:.1f} s, but the capture's total "
        f"time of {deadline.seconds:g} s ends in {deadline.remaining:.1f} s",
        attempts=0,
    )


def _daily_limit(resource_id: str, quota: DailyQuota, reserve: float) -> GhlError:
    left = f"{quota.remaining:,} of {quota.daily:,}" if quota.daily else f"{quota.remaining:,}"
    return GhlError(
        ErrorKind.DAILY_LIMIT,
        f"{resource_id} has {left} requests left today, and {reserve:.0%} of the day's quota is kept for "
        "the customer's own integrations; nothing more is asked of it before the quota renews",
        attempts=0,
    )
