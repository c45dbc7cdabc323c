"""Waiting for what other processes and threads are about to do."""

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


def eventually(value: Callable[[], _T | None], what: str, seconds: float = 180) -> _T:
    """Wait until there is a value (not None, not False), and give it."""
    deadline = time.monotonic() + seconds
    while not (found := value()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain: {what}"
        time.sleep(0.05)
    return found
