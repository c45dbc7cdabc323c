"""A signal that comes when a child runs and the one who starts it does not know of it yet."""

import signal
import subprocess
import sys
from typing import Any

import pytest

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


def interrupt_start(monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> list[subprocess.Popen[bytes]]:
    """Have each start of a child be interrupted like this; the children that were started since."""
    children: list[subprocess.Popen[bytes]] = []

    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            children.append(self)
            signal.raise_signal(number)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    return children
