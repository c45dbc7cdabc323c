"""The time that one capture may take in all."""

import threading
import time
from collections.abc import Callable

from ghl_snapshots.core.errors import ErrorKind, GhlError


class Deadline:
    """Counts down from its making; every wait of a capture is cut short by it or by `cancelled`."""

    def __init__(
        self,
        seconds: float,
        *,
        cancelled: threading.Event | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds = seconds
        self._monotonic = monotonic
        self._ends_at = monotonic() + seconds
        self._cancelled = cancelled or threading.Event()

    @property
    def remaining(self) -> float:
        """Seconds left, 0 when there are none."""
        return 0.0 if self._cancelled.is_set() else max(0.0, self._ends_at - self._monotonic())

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
