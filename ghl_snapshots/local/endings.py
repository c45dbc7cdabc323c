"""Whether a process has ended, also one that is not this one's child.

A zombie has ended, but `psutil` counts it as running and waits until its parent collects it, which the first
process of a container may do late or never.
"""

import time
from collections.abc import Sequence

import psutil

_PAUSE_SECONDS = 0.01


def wait_for_end(processes: Sequence[psutil.Process], timeout_seconds: float) -> list[psutil.Process]:
    """Wait until all of them have ended or the time is over; those that still run."""
    deadline = time.monotonic() + timeout_seconds
    while (running := [each for each in processes if runs(each)]) and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
    return running


def runs(process: psutil.Process) -> bool:
    """Whether the process has not ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
