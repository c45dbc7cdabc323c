"""Waiting for what other processes and threads are about to do."""

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")

_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 0.5


def eventually(value: Callable[[], _T | None], what: str, seconds: float = 180) -> _T:
    """Wait until there is a value (not None, not False), and give it; asked ever less often."""
    deadline, pause = time.monotonic() + seconds, _PAUSE_SECONDS
    while not (found := value()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain: {what}"
        time.sleep(pause)
        pause = min(1.2 * pause, _LONGEST_PAUSE_SECONDS)
    return found
