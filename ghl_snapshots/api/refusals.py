"""How often each caller was refused lately: nobody may fill the audit trail, which nobody may purge.

Every refused call is in the log. In the audit trail are those with a key, and of others the first of each
caller in a minute; the next event says how many have none. Past a number of them the answer is that alone.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

_SECONDS = 60.0
_MAX_CALLERS = 1000
_OTHERS = "others"
"""All callers together beyond the most that are counted apart."""


@dataclass(slots=True, kw_only=True)
class _Minute:
    ends: float
    calls: int = 0
    unrecorded: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One of a caller's refused calls."""

    recorded: bool
    """Whether it is to be an event of the audit trail."""
    unrecorded: int
    """The caller's calls without an event since the last one that has one."""
    wait_seconds: int
    """How long the caller must wait, because it was refused too often; 0 if it need not."""


class Refusals:
    """The refused calls of the last minute by caller, in this process. Thread-safe."""

    def __init__(self, *, per_minute: int = 60, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._minutes: dict[str, _Minute] = {}
        self._mutex = threading.Lock()

    def count(self, caller: str, *, known: bool) -> Refusal:
        """Count a refused call of a caller, who is known by a key or not."""
        with self._mutex:
            now = self._clock()
            minute = self._minute_of(caller, now)
            minute.calls += 1
            excess = minute.calls > self._per_minute
            recorded = not excess and (known or minute.calls == 1)
            unrecorded, minute.unrecorded = minute.unrecorded, 0 if recorded else minute.unrecorded + 1
            wait_seconds = max(1, round(minute.ends - now)) if excess else 0
            return Refusal(recorded=recorded, unrecorded=unrecorded, wait_seconds=wait_seconds)

    def _minute_of(self, caller: str, now: float) -> _Minute:
        minute = self._minutes.get(caller)
        if minute is None and len(self._minutes) >= _MAX_CALLERS:
            self._minutes = {name: each for name, each in self._minutes.items() if each.ends > now}
            if len(self._minutes) >= _MAX_CALLERS:
                caller, minute = _OTHERS, self._minutes.get(_OTHERS)
        if minute is None or minute.ends <= now:
            unrecorded = minute.unrecorded if minute else 0
            minute = self._minutes[caller] = _Minute(ends=now + _SECONDS, unrecorded=unrecorded)
        return minute
