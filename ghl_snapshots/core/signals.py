"""Signals that end a process in order, and never in the middle of what can be done only once."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeAlias

_Handler: TypeAlias = Callable[[int, FrameType | None], object]
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Take SIGTERM and a closed terminal for Ctrl-C.

    And Ctrl-C for itself also in the background of a script, where a shell has a process ignore it.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with handled({signal.SIGINT: interrupt, signal.SIGTERM: interrupt}), hangup_terminates():
        yield


@contextmanager
def hangup_terminates() -> Iterator[None]:
    """Take a closed terminal for SIGTERM, unless nohup has the process outlive it."""

    def terminate(_number: int, _frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGTERM)  # a handler that was set since then ends the process its own way

    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    with handled({} if ignored else {signal.SIGHUP: terminate}):
        yield


@contextmanager
def deferred_signals() -> Iterator[None]:
    """Let signals that end the process take effect after the block only, however that ends."""
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    # None is a handler that is not Python's, and could not be put back.
    handlers = {number: note for number in _ENDING if signal.getsignal(number) not in {None, signal.SIG_IGN}}
    try:
        with handled(handlers):
            yield
    finally:
        for number in dict.fromkeys(received):
            signal.raise_signal(number)


@contextmanager
def handled(handlers: Mapping[signal.Signals, _Handler]) -> Iterator[None]:
    """Put the handlers in force for the block; only the main thread can, and only there they run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[signal.Signals, Any] = {}
    try:
        for number, handler in handlers.items():
            before[number] = signal.signal(number, handler)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
