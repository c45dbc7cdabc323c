"""What one process knows of a location's or company's use of its limits.

GHL counts a request at some moment between its sending and its answer. So a slot stays taken until a whole
interval after the answer, and no delay on the way can put one request too many into GHL's window. What the
headers say of requests that others made fills the window too.
"""

import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from ghl_snapshots.core.errors import ErrorKind, GhlError
from ghl_snapshots.core.shared_limits import Place, Quota
from ghl_snapshots.ghl.limit_headers import LimitHeaders

_BURST: Final = 100
_INTERVAL_SECONDS: Final = 10.0
_SHORTEST_NAP_SECONDS: Final = 0.001
_LONGEST_NAP_SECONDS: Final = 0.02
_SLACK: Final = 0.1
_SLACK_SECONDS: Final = 0.5
_FIRST_BLOCK: Final = 8
_LARGEST_BLOCK: Final = 16
_KEPT: Final = 0.05


@dataclass(slots=True)
class Block:
    """Places of the shared window that were taken together, each for the next request within a short time.

    What is not used by then is lost, so a block is as large as the use of the one before it suggests.
    """

    size: int = _FIRST_BLOCK // 2
    left: int = 0
    ends_at: float = 0.0

    def take(self, now: float) -> bool:
        """Use a place up, if there is one."""
        if not self.left or now >= self.ends_at:
            return False
        self.left -= 1
        return True

    def wanted(self) -> int:
        """How many places to ask for next: twice as many if all were used in time, else as many as were."""
        return max(1, min(_LARGEST_BLOCK, self.size - self.left if self.left else 2 * self.size))

    def begin(self, size: int, ends_at: float) -> None:
        """Go on with another block, one place of which is used at once."""
        self.size, self.left, self.ends_at = size, size - 1, ends_at


@dataclass(slots=True)
class Usage:
    """What is known of one location's or company's use of its limits.

    `lock` is held by whoever looks at it or changes it.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    burst: int = _BURST
    interval_seconds: float = _INTERVAL_SECONDS
    in_flight: int = 0
    ends: deque[float] = field(default_factory=deque)
    """When the slots of answered requests become free."""
    others: int = 0
    """Slots that others use, as far as the latest answer tells; nothing is known after `others_until`."""
    others_until: float = 0.0
    taken: int | None = None
    """Places of the shared window that were taken when some were last taken here, that one's own included."""
    taken_is_news: bool = False
    """Whether no answer has come since then: later ones count what other processes have taken meanwhile."""
    block: Block = field(default_factory=Block)
    claiming: threading.Lock = field(default_factory=threading.Lock)
    """Held while a block is asked for, so that other threads wait for it and ask for none themselves."""
    blocked_until: float = 0.0
    daily: int | None = None
    daily_remaining: int | None = None
    day: date | None = None
    told: Quota | None = None
    """What other processes know of a day."""
    untold: int = 0
    """Answers since they were told of it."""

    def learn(self, limits: LimitHeaders, day: date) -> None:
        """Take over what the headers of a request sent on this day say of the limits themselves."""
        self.burst = limits.burst or self.burst
        self.interval_seconds = limits.interval_seconds or self.interval_seconds
        if limits.daily_remaining is not None:
            self.learn_quota(Quota(day=day, remaining=limits.daily_remaining, daily=limits.daily))
            self.untold += 1

    def learn_quota(self, quota: Quota) -> None:
        """Take over what is left of a day's quota, unless a later day has begun."""
        if self.day is not None and quota.day < self.day:
            return
        # Answers overtake each other; within a day the quota only shrinks.
        known = self.daily_remaining if self.day == quota.day else None
        self.daily_remaining = quota.remaining if known is None else min(quota.remaining, known)
        self.daily = quota.daily or self.daily
        self.day = quota.day

    def news(self, *, after: int) -> Quota | None:
        """What to tell other processes of the day.

        That is once so many answers have come since they were told, at once if as many requests fewer are
        left, or none; and the first word of a day, unless more than half of it is left, which can wait.
        """
        if self.day is None or self.daily_remaining is None or not self.untold:
            return None
        known = self.told.remaining if self.told is not None and self.told.day == self.day else None
        if known is None:
            urgent = self.daily is None or 2 * self.daily_remaining <= self.daily
        else:
            urgent = known - self.daily_remaining >= after or self.daily_remaining == 0 < known
        if not urgent and self.untold < after:
            return None
        self.untold = 0
        self.told = Quota(day=self.day, remaining=self.daily_remaining, daily=self.daily)
        return self.told

    def not_told(self) -> None:
        """Take it that what was to be told did not reach the other processes."""
        self.told = None
        self.untold += 1

    def answered(self, now: float) -> None:
        """Begin the interval after which the slot of an answered request becomes free."""
        self.in_flight = max(0, self.in_flight - 1)
        self.ends.append(now + self.interval_seconds)

    def count_others(self, limits: LimitHeaders, now: float) -> None:
        """Take over how much of the window GHL says is used by others than this limiter.

        Of the requests under way some are in GHL's count and some are not, so what others use lies between
        two bounds, and the former estimate is kept as far as it fits. It is raised only by what is compared
        with places just taken, lest other processes' later ones be put down to others.
        """
        if limits.remaining is None:
            return
        self._forget_ended(now)
        # The shared window knows of all our processes; whatever GHL counts beyond it is somebody else's.
        not_answered_here = self.burst - limits.remaining - max(self.taken or 0, len(self.ends))
        if self.taken is None or self.taken_is_news:
            self.others = max(self.others, not_answered_here - self.in_flight)
            self.others_until = now + self.interval_seconds
            self.taken_is_news = False
        self.others = min(self.others, max(0, not_answered_here))

    def learn_place(self, place: Place | None) -> None:
        """Take over what came with the place just taken; None where nobody can tell."""
        self.taken = None if place is None else place.taken + 1
        self.taken_is_news = True
        if place is not None and place.quota is not None:
            self.learn_quota(place.quota)
            self.told = place.quota

    def check_daily(self, resource_id: str, reserve: float, today: date, *, under_way: int) -> None:
        """Go on only above the reserve of the day's quota, the requests under way besides this one counted.

        GHL's day is taken for the UTC day; after it the quota is unknown until the next answer.

        Raises:
            GhlError: DAILY_LIMIT.
        """
        if self.daily_remaining is None or self.day != today:
            return
        kept = int((self.daily or 0) * reserve)
        if self.daily_remaining - under_way <= kept:
            raise _daily_limit(resource_id, self.daily_remaining, self.daily, reserve)

    def wait(self, now: float) -> float:
        """Seconds after which a slot may be free; 0 when one is."""
        self._forget_ended(now)
        if now < self.blocked_until:
            return self.blocked_until - now
        surplus = self.in_flight + len(self.ends) + self.others - self.burst
        if surplus < 0:
            return 0.0
        ends = [self.ends[surplus]] if surplus < len(self.ends) else []
        ends += [self.others_until] if self.others else []
        return max(min(ends) - now, _SHORTEST_NAP_SECONDS) if ends else _LONGEST_NAP_SECONDS

    @property
    def slack_seconds(self) -> float:
        """How much later than its time in the shared window a request may come to GHL."""
        return max(_SLACK_SECONDS, _SLACK * self.interval_seconds)

    @property
    def kept_seconds(self) -> float:
        """How long a place that was taken with others may be used."""
        return _KEPT * self.interval_seconds

    def _forget_ended(self, now: float) -> None:
        while self.ends and self.ends[0] <= now:
            self.ends.popleft()
        if self.others_until <= now:
            self.others = 0


def _daily_limit(resource_id: str, remaining: int, daily: int | None, reserve: float) -> GhlError:
    quota = f"{remaining:,} of {daily:,}" if daily else f"{remaining:,}"
    return GhlError(
        ErrorKind.DAILY_LIMIT,
        f"{resource_id} has {quota} requests left today, and {reserve:.0%} of the day's quota is kept for "
        "the customer's own integrations; nothing more is asked of it before the quota renews",
        attempts=0,
    )
