"""The time that one capture may take in all."""

import threading
import time
from collections.abc import Callable
from typing import Final

from ghl_snapshots.core.errors import ErrorKind, GhlError

_PLANNED_CALLS: Final = 1000
"""So many calls have the time that a deadline is made with; each further one has its part of as much."""


class Deadline:
    """Counts down from its making; every wait of a capture is cut short by it or by `cancelled`.

    It moves out with the calls that are planned, so that a large account has the time that it takes.
    """

    def __init__(
        self,
        seconds: float,
        *,
        cancelled: threading.Event | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base_seconds = seconds
        self._monotonic = monotonic
        self._began_at = monotonic()
        self._planned = 0
        self._lock = threading.Lock()
        self._cancelled = cancelled or threading.Event()

    @property
    def seconds(self) -> float:
        """The time in all, as far as calls are planned by now."""
        return self._base_seconds * max(1.0, self._planned / _PLANNED_CALLS)

    def plan(self, calls: int) -> None:
        """Count more calls that are to be made until then."""
        with self._lock:
            self._planned += calls

    @property
    def remaining(self) -> float:
        """Seconds left, 0 when there are none."""
        return (
            0.0 if self._cancelled.is_set() else max(0.0, self._began_at + self.seconds - self._monotonic())
        )

    def cancel(self) -> None:
        """Leave no time to anything that still goes on."""
        self._cancelled.set()

    def check(self) -> None:
        """Go on only if there is time left.

        Raises:
            GhlError: TIMEOUT, when there is not.
        """
        if not self.remaining:
            raise self.error()

    def sleep(self, seconds: float) -> None:
        """Wait this long, or until there is no time left."""
        self._cancelled.wait(min(seconds, self.remaining))

    def error(self) -> GhlError:
        """The error of a call that the deadline kept from being made or ended."""
        if self._cancelled.is_set():
            return GhlError(ErrorKind.TIMEOUT, "the capture was interrupted", attempts=0)
        return GhlError(
            ErrorKind.TIMEOUT,
            f"the capture's total time of {self.seconds:g} s was over before this call was done; "
            "GHL_SNAPSHOTS_CAPTURE_TIMEOUT_SECONDS sets it",
            attempts=0,
        )
