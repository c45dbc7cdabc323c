"""Programs that run in the foreground of a command of ours, which does nothing but wait for them."""

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from ghl_snapshots.core.signals import handled

_PASSED_ON = (signal.SIGTERM, signal.SIGHUP)


def script(name: str) -> str:
    """A console script of the virtual environment that this interpreter belongs to."""
    return str(Path(sys.executable).parent / name)


def run_in_foreground(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a program to its end and give its exit code, as a shell would.

    Ctrl-C reaches the program by itself, which may take it for the end of a statement only; other signals are
    passed on to it, so that what it needs from us is there until it has ended.
    """
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        if child is None:
            early.append(number)
        else:
            child.send_signal(number)

    # What nohup had us ignore, the program inherits.
    heeded = [number for number in _PASSED_ON if signal.getsignal(number) is not signal.SIG_IGN]
    with handled({signal.SIGINT: lambda *_: None, **dict.fromkeys(heeded, pass_on)}):
        child = subprocess.Popen(command, env=dict(environment))
        for number in early:
            child.send_signal(number)
        code = child.wait()
    return code if code >= 0 else 128 - code
