"""GHL's limits, kept before GHL has to refuse: a burst and a daily quota for each location and company.

What the headers say of requests that others made comes too late when several processes begin at once. So the
processes of a deployment share a window besides, in which each request takes its place before it is sent.
"""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from http import HTTPStatus
from typing import Protocol

from ghl_snapshots.errors import ErrorKind, GhlError
from ghl_snapshots.ghl.deadline import Deadline
from ghl_snapshots.ghl.limit_headers import read_limits
from ghl_snapshots.ghl.usage import DayQuota, Usage
from ghl_snapshots.shared_limits import Place, Quota


class SharedWindow(Protocol):
    """The slots that several processes take from one window for each location and company."""

    def claim(
        self,
        resource_id: str,
        *,
        most: int,
        hold_seconds: float,
        patience_seconds: float,
        wanted: int = 1,
        keep_seconds: float = 0.0,
    ) -> Place | None:
        """Take the next of `most` places, each held for `hold_seconds` from its own time on.

        Where many are free, up to `wanted` are taken together, to be used within `keep_seconds`. None is
        taken if it is further off than the patience. None is given if the window cannot be reached.
        """

    def note_quota(self, resource_id: str, *, day: date, remaining: int, daily: int | None) -> None:
        """Remember what GHL says is left of a location's or company's quota of a UTC day."""

    def known_quota(self, resource_id: str, *, day: date) -> Quota | None:
        """What was noted of the quota of a day, if anything was."""

    def close(self) -> None:
        """Give up the connection to the window."""


_NOTED_EVERY = 50
"""Requests after which the rest of a quota is noted again."""


class RateLimiter:
    """Holds each request back until its location or company may make it; shared by all threads.

    `margin` is the part of a burst left unused; `shared` is the window that other processes keep to as well.
    """

    def __init__(
        self,
        *,
        margin: float = 0.05,
        shared: SharedWindow | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
        self._margin = margin
        self._shared = shared
        self._monotonic = monotonic
        self._today = today
        self._usages: dict[str, Usage] = {}

    def acquire(self, resource_id: str, deadline: Deadline, *, daily_reserve: float = 0.5) -> date:
        """Wait for a slot and take it; `observe` must follow, whatever becomes of the request.

        Gives the UTC day on which the request is sent, of whose quota its answer tells.

        `daily_reserve` is the part of the day's quota that is left to the customer's own integrations.

        Raises:
            GhlError: DAILY_LIMIT when the day's quota is down to its reserve, TIMEOUT when the slot would
                come after the deadline.
        """
        usage = self._usage(resource_id)
        self._ask_others(resource_id, usage)
        while wait := self._wait_or_take(resource_id, usage, daily_reserve):
            if wait >= deadline.remaining:
                raise _too_late(resource_id, wait, deadline)
            deadline.sleep(wait)
        try:
            self._wait_for_place(resource_id, usage, deadline)
        except BaseException:
            with usage.lock:
                usage.in_flight -= 1
            raise
        return self._today()

    def observe(
        self, resource_id: str, headers: Mapping[str, str], status: int | None, *, day: date | None = None
    ) -> None:
        """Learn from an answer, or with status None from there being none, and count down the slot's time.

        `day` is the day on which the request was sent, by default the present one.
        """
        limits = read_limits(headers)
        usage = self._usage(resource_id)
        with usage.lock:
            now = self._monotonic()
            usage.learn(limits, day or self._today())
            usage.answered(now)
            usage.count_others(limits, now)
            if status == HTTPStatus.TOO_MANY_REQUESTS and limits.daily_remaining != 0:
                pause = max(usage.interval_seconds, limits.retry_after_seconds or 0)
                usage.blocked_until = max(usage.blocked_until, now + pause)
            news = usage.news(every=_NOTED_EVERY)
        self._note(resource_id, news)

    def _usage(self, resource_id: str) -> Usage:
        """What is known of the resource's use; each has a lock of its own, lest all threads queue for one."""
        return self._usages.get(resource_id) or self._usages.setdefault(resource_id, Usage())

    def _wait_or_take(self, resource_id: str, usage: Usage, daily_reserve: float) -> float:
        """Take a slot and give 0, or give the seconds after which to ask again."""
        try:
            with usage.lock:
                usage.check_daily(resource_id, daily_reserve, self._today())
                wait = usage.wait(self._monotonic(), self._margin)
                if not wait:
                    usage.in_flight += 1
                return wait
        except GhlError:
            self._note_news(resource_id, usage)
            raise

    def close(self) -> None:
        """Give up the connection to the shared window."""
        if self._shared is not None:
            for resource_id, usage in self._usages.items():
                self._note_news(resource_id, usage)
            self._shared.close()

    def _note_news(self, resource_id: str, usage: Usage) -> None:
        """Note what is left of the day, however little it differs from what was noted."""
        with usage.lock:
            news = usage.news(every=1)
        self._note(resource_id, news)

    def _note(self, resource_id: str, news: DayQuota | None) -> None:
        if news is not None and self._shared is not None:
            self._shared.note_quota(resource_id, day=news.day, remaining=news.remaining, daily=news.daily)

    def _ask_others(self, resource_id: str, usage: Usage) -> None:
        """Before the first request of a day, take over what other processes know of its quota."""
        today = self._today()
        if self._shared is None or usage.asked_on == today:
            return
        with usage.claiming:
            if usage.asked_on == today:
                return
            quota = self._shared.known_quota(resource_id, day=today)
            with usage.lock:
                if quota is not None:
                    usage.learn_quota(quota.remaining, quota.daily, today)
                usage.asked_on = today

    def _wait_for_place(self, resource_id: str, usage: Usage, deadline: Deadline) -> None:
        """Take a place in the shared window for the slot just taken, and wait until its time has come."""
        if self._shared is None:
            return
        with usage.claiming:
            if usage.block.take(self._monotonic()):
                return
            wait = self._claimed(self._shared, resource_id, usage, deadline)
        if wait >= deadline.remaining:
            raise _too_late(resource_id, wait, deadline)
        deadline.sleep(wait)
        deadline.check()

    def _claimed(self, shared: SharedWindow, resource_id: str, usage: Usage, deadline: Deadline) -> float:
        """Take a place, with others for the requests to come, and give the seconds until its time."""
        with usage.lock:
            most, hold = usage.most(self._margin) - usage.others, usage.interval_seconds + usage.slack_seconds
        # The block's time is counted from before it is asked for, so that it ends here before it ends there.
        asked_at = self._monotonic()
        place = shared.claim(
            resource_id,
            most=max(1, most),
            hold_seconds=hold,
            patience_seconds=deadline.remaining,
            wanted=usage.block.wanted(),
            keep_seconds=usage.kept_seconds,
        )
        usage.block.begin(place.places if place else 1, asked_at + usage.kept_seconds)
        with usage.lock:
            usage.learn_taken(place.taken if place is not None else None)
        return place.wait_seconds if place is not None else 0.0


def _too_late(resource_id: str, wait: float, deadline: Deadline) -> GhlError:
    if not deadline.remaining:
        return deadline.error()
    return GhlError(
        ErrorKind.TIMEOUT,
        f"the rate limit of {resource_id} allows the next request in {wait:.1f} s, but the capture's total "
        f"time of {deadline.seconds:g} s ends in {deadline.remaining:.1f} s",
        attempts=0,
    )
