"""GHL's limits, kept before GHL has to refuse: a burst and a daily quota for each location and company.

What the headers say of requests that others made comes too late when several processes begin at once. So the
processes of a deployment share a window besides, in which each request takes its place before it is sent.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from http import HTTPStatus
from typing import Final, Protocol

from ghl_snapshots.core.errors import ErrorKind, GhlError
from ghl_snapshots.core.shared_limits import Place, Quota
from ghl_snapshots.ghl.deadline import Deadline
from ghl_snapshots.ghl.limit_headers import read_limits
from ghl_snapshots.ghl.usage import Usage


class SharedWindow(Protocol):
    """The slots that several processes take from one window for each location and company."""

    def claim(
        self,
        resource_id: str,
        *,
        day: date,
        most: int,
        hold_seconds: float,
        patience_seconds: float,
        wanted: int = 1,
        keep_seconds: float = 0.0,
    ) -> Place | None:
        """Take the next of `most` places, each held for `hold_seconds` from its own time on.

        Where many are free, up to `wanted` are taken together, to be used within `keep_seconds`. None is
        taken if it is further off than the patience. None is given if the window cannot be reached.
        What was noted of the UTC day's quota comes with the place.
        """

    def note_quotas(self, quotas: Mapping[str, Quota]) -> bool:
        """Remember what GHL says is left of days' quotas, by location or company, and tell whether it is."""

    def close(self) -> None:
        """Give up the connection to the window."""


_NOTED_AFTER: Final = 50
"""Answers, or requests fewer, after which what is left of a quota is noted again."""


class RateLimiter:
    """Holds each request back until its location or company may make it; shared by all threads.

    `shared` is the window that other processes keep to as well.
    """

    def __init__(
        self,
        *,
        shared: SharedWindow | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
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
        while wait := self._wait_or_take(resource_id, usage, daily_reserve):
            if wait >= deadline.remaining:
                raise _too_late(resource_id, wait, deadline)
            deadline.sleep(wait)
        try:
            if self._shared is not None:
                self._wait_for_place(self._shared, resource_id, usage, deadline)
                with usage.lock:  # other processes may have told meanwhile that the day is spent
                    usage.check_daily(
                        resource_id, daily_reserve, self._today(), under_way=usage.in_flight - 1
                    )
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
            news = usage.news(after=_NOTED_AFTER)
        self._note({resource_id: news})

    def _usage(self, resource_id: str) -> Usage:
        """What is known of the resource's use; each has a lock of its own, lest all threads queue for one."""
        return self._usages.get(resource_id) or self._usages.setdefault(resource_id, Usage())

    def _wait_or_take(self, resource_id: str, usage: Usage, daily_reserve: float) -> float:
        """Take a slot and give 0, or give the seconds after which to ask again."""
        try:
            with usage.lock:
                usage.check_daily(resource_id, daily_reserve, self._today(), under_way=usage.in_flight)
                wait = usage.wait(self._monotonic())
                if not wait:
                    usage.in_flight += 1
                return wait
        except GhlError:
            self._note({resource_id: self._news(usage)})
            raise

    def close(self) -> None:
        """Give up the connection to the shared window."""
        if self._shared is not None:
            self._note({resource_id: self._news(usage) for resource_id, usage in list(self._usages.items())})
            self._shared.close()

    def _news(self, usage: Usage) -> Quota | None:
        """What other processes do not know of the day."""
        with usage.lock:
            return usage.news(after=1)

    def _note(self, news: Mapping[str, Quota | None]) -> None:
        quotas = {resource_id: quota for resource_id, quota in news.items() if quota is not None}
        if quotas and self._shared is not None and not self._shared.note_quotas(quotas):
            for resource_id in quotas:
                usage = self._usage(resource_id)
                with usage.lock:
                    usage.not_told()

    def _wait_for_place(
        self, shared: SharedWindow, resource_id: str, usage: Usage, deadline: Deadline
    ) -> None:
        """Take a place in the shared window for the slot just taken, and wait until its time has come."""
        with usage.claiming:
            if usage.block.take(self._monotonic()):
                return
            wait = self._claimed(shared, resource_id, usage, deadline)
        if wait >= deadline.remaining:
            raise _too_late(resource_id, wait, deadline)
        deadline.sleep(wait)
        deadline.check()

    def _claimed(self, shared: SharedWindow, resource_id: str, usage: Usage, deadline: Deadline) -> float:
        """Take a place, with others for the requests to come, and give the seconds until its time."""
        with usage.lock:
            most, hold = usage.burst - usage.others, usage.interval_seconds + usage.slack_seconds
        # The block's time is counted from before it is asked for, so that it ends here before it ends there.
        asked_at = self._monotonic()
        place = shared.claim(
            resource_id,
            day=self._today(),
            most=max(1, most),
            hold_seconds=hold,
            patience_seconds=deadline.remaining,
            wanted=usage.block.wanted(),
            keep_seconds=usage.kept_seconds,
        )
        usage.block.begin(place.places if place else 1, asked_at + usage.kept_seconds)
        with usage.lock:
            usage.learn_place(place)
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
