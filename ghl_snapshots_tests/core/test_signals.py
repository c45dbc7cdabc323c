"""Signals that end the process end it in order, and none is lost."""

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ghl_snapshots.core.signals import deferred_signals, ended_by_signals, handled, heeded_signals
from ghl_snapshots_tests.local.interrupted_start import SLEEPER


def receive(number: signal.Signals, done: list[str], failure: Exception | None = None) -> None:
    """Receive a signal in a block that ends by itself or with a failure."""
    with ended_by_signals(), deferred_signals():
        signal.raise_signal(number)
        done.append("the rest of the block")
        if failure is not None:
            raise failure


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_deferred_signal_takes_effect_after_the_block(number: signal.Signals) -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        receive(number, done)
    assert done


def test_a_deferred_signal_is_not_lost_where_the_block_fails() -> None:
    with pytest.raises(KeyboardInterrupt):
        receive(signal.SIGTERM, [], OSError("disk full"))


@contextmanager
def sent_past_the_main_thread(number: signal.Signals) -> Iterator[threading.Event]:
    """Have another thread take a signal; sets the event if the block goes on for 30 seconds all the same."""
    block_ended, too_late = threading.Event(), threading.Event()

    def take() -> None:
        time.sleep(0.2)  # the main thread waits by now
        signal.pthread_kill(threading.get_ident(), number)
        if not block_ended.wait(30):
            too_late.set()

    thread = threading.Thread(target=take)
    thread.start()
    try:
        yield too_late
    finally:
        block_ended.set()
        thread.join()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_another_thread_took_interrupts_a_wait_of_the_main_thread(
    number: signal.Signals,
) -> None:
    with ended_by_signals(), sent_past_the_main_thread(number) as too_late:
        with pytest.raises(KeyboardInterrupt):
            too_late.wait()
        assert not too_late.is_set()


def test_such_a_signal_interrupts_a_wait_for_a_child_whoever_handles_it() -> None:
    """As in Dagster's runs, and in commands that pass signals on to a program."""
    with (
        subprocess.Popen(SLEEPER) as child,
        handled({signal.SIGTERM: lambda *_: child.kill()}),
        heeded_signals(),
        sent_past_the_main_thread(signal.SIGTERM) as too_late,
    ):
        assert child.wait() == -signal.SIGKILL
        assert not too_late.is_set()
