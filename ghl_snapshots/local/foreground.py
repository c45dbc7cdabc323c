"""Programs that run in the foreground of a command of ours, which does nothing but wait for them."""

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_PASSED_ON = (signal.SIGTERM, signal.SIGHUP)


def script(name: str) -> str:
    """A console script of the virtual environment that this interpreter belongs to."""
    return str(Path(sys.executable).parent / name)


def run_in_foreground(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a program to its end and give its exit code, as a shell would.

    Ctrl-C reaches the program by itself, which may take it for the end of a statement only; other signals are
    passed on to it, so that what it needs from us is there until it has ended.
    """
    with subprocess.Popen(command, env=dict(environment)) as child:
        before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT,)}
        for number in _PASSED_ON:
            before[number] = signal.signal(number, lambda received, _: child.send_signal(received))
        try:
            code = child.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    return code if code >= 0 else 128 - code
