"""Signals that end a process in order, and never in the middle of what can be done only once."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any, Final, TypeAlias

_Handler: TypeAlias = Callable[[int, FrameType | None], object]
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INTERRUPTION: Final = signal.SIGURG
"""It means nothing to anybody, and is ignored where no handler is set."""
_INTERRUPTIONS: Final = 10
_PAUSE_SECONDS: Final = 0.1


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Take SIGTERM and a closed terminal for Ctrl-C.

    And Ctrl-C for itself also in the background of a script, where a shell has a process ignore it.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with handled({signal.SIGINT: interrupt, signal.SIGTERM: interrupt}), heeded_signals():
        yield


@contextmanager
def heeded_signals() -> Iterator[None]:
    """Have signals interrupt each wait of Python's, and take a closed terminal for SIGTERM.

    Unless nohup has the process outlive its terminal.
    """

    def terminate(_number: int, _frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGTERM)  # a handler that was set since then ends the process its own way

    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    with handled({} if ignored else {signal.SIGHUP: terminate}), _interrupted_waits():
        yield


@contextmanager
def _interrupted_waits() -> Iterator[None]:
    """Have a signal end what the main thread waits in, so that its handler is called.

    Python calls handlers between two instructions of the main thread. A signal that another thread took, or
    that came just before the main thread began to wait, is heeded only when the wait is over: maybe never.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    undo = ExitStack()
    try:
        with deferred_signals():
            received, noting = socket.socketpair()
            noting.settimeout(0)
            thread = threading.Thread(
                target=_interrupt_waits, args=(received, threading.get_ident()), daemon=True
            )
            thread.start()
            undo.callback(thread.join)
            undo.enter_context(noting)  # whose end is the thread's
            undo.enter_context(handled({_INTERRUPTION: lambda *_: None}))
            before = signal.set_wakeup_fd(noting.fileno(), warn_on_full_buffer=False)
            undo.callback(signal.set_wakeup_fd, before)
        yield
    finally:
        try:
            with deferred_signals():
                undo.close()
        finally:
            undo.close()  # if a signal came before it could be deferred


def _interrupt_waits(received: socket.socket, main_thread: int) -> None:
    """Interrupt the main thread for each signal, a few times, since it may begin to wait only then."""
    left = 0
    with received:
        while True:
            received.settimeout(_PAUSE_SECONDS if left else None)
            try:
                numbers = received.recv(4096)
            except TimeoutError:
                left -= 1
                signal.pthread_kill(main_thread, _INTERRUPTION)
                continue
            if not numbers:
                return
            if set(numbers) != {_INTERRUPTION}:
                left = _INTERRUPTIONS


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
