"""A program in the foreground gets the signals that its command gets, whenever they come."""

import os
import signal
import sys

import pytest

from ghl_snapshots.local.foreground import run_in_foreground
from ghl_snapshots_tests.local.interrupted_start import SLEEPER, interrupt_start

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle_of_the_start_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """Or the program would be left behind."""
    interrupt_start(monkeypatch, number)
    assert run_in_foreground(SLEEPER, os.environ) == 128 + number


def test_ctrl_c_is_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It reaches all that run in a terminal, and psql takes it for the end of a statement only."""
    interrupt_start(monkeypatch, signal.SIGINT)
    assert run_in_foreground([sys.executable, "-c", "raise SystemExit(7)"], os.environ) == 7


def test_what_nohup_has_a_command_ignore_its_program_ignores_too() -> None:
    tell = "import signal; raise SystemExit(7 if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else 8)"
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run_in_foreground([sys.executable, "-c", tell], os.environ) == 7
    finally:
        signal.signal(signal.SIGHUP, before)
