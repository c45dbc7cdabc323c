"""What one capture may spend, and what it has spent."""

import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Self

from ghl_snapshots.core.capture_settings import CaptureSettings
from ghl_snapshots.ghl.deadline import Deadline


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One capture's time and settings, and a thread-safe count of the requests that it sent."""

    deadline: Deadline
    settings: CaptureSettings = field(default_factory=CaptureSettings)
    _calls: Counter[tuple[str, int | None]] = field(default_factory=Counter, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def apart(self, seconds: float) -> Self:
        """The same count with a time of its own, for what must not be cut short with the capture."""
        return replace(self, deadline=Deadline(seconds))

    def count(self, endpoint: str, status: int | None) -> None:
        """Note a request that was sent; `status` is None where no whole answer came."""
        with self._lock:
            self._calls[endpoint, status] += 1

    def calls(self) -> dict[tuple[str, int | None], int]:
        """The requests sent so far by endpoint and status, in a fixed order."""
        with self._lock:
            return dict(sorted(self._calls.items(), key=lambda item: (item[0][0], item[0][1] or 0)))
