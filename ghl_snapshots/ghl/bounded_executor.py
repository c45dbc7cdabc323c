"""The work of one capture, done by threads that the captures beside it use too.

Threads of Python take turns at the interpreter. One that holds a lock while it waits for something else has
all others queue for that lock, and one that hands out work makes those that do it wait until its turn comes.
So the lock here is held for a few steps that wait for nothing, and whoever has done a piece of work puts the
next one into the pool's queue, behind those of other captures.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeAlias

Piece: TypeAlias = Callable[[], None]


@dataclass(slots=True, eq=False)
class Line:
    """Pieces of work that wait for a pool, of which `most` may be under way at once."""

    pool: ThreadPoolExecutor
    most: int
    waiting: deque[Piece] = field(default_factory=deque)
    running: int = 0


class Crew:
    """Does pieces of work, not more than `width` at a time, until there are none; pieces may add others.

    The lines that come first are served first.
    """

    def __init__(self, *lines: Line, width: int) -> None:
        self._lines = lines
        self._width = width
        self._awaited = False
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def add(self, line: Line, pieces: Iterable[Piece]) -> None:
        """Line up more work."""
        with self._lock:
            line.waiting.extend(pieces)
        self._begin_what_may_run()

    def wait(self) -> None:
        """Return when all is done, or raise what a piece of work raised; nothing more is begun then."""
        with self._lock:
            self._awaited = True
            self._end_if_done()
        try:
            self._ended.wait()
        finally:
            self._ended.set()
        if self._failure is not None:
            raise self._failure

    def _begin_what_may_run(self) -> None:
        while (begun := self._begun()) is not None:
            line, piece = begun
            try:
                line.pool.submit(self._do, line, piece)
            except BaseException as failure:
                # Whoever adds work may go on in spite of this, but what was counted in is never done.
                self._fail(failure)
                raise

    def _begun(self) -> tuple[Line, Piece] | None:
        """The next piece that may run, counted in."""
        with self._lock:
            if self._running() >= self._width or self._ended.is_set():
                return None
            line = next((line for line in self._lines if line.waiting and line.running < line.most), None)
            if line is None:
                return None
            line.running += 1
            return line, line.waiting.popleft()

    def _do(self, line: Line, piece: Piece) -> None:
        try:
            piece()
            with self._lock:
                line.running -= 1
                self._end_if_done()
            self._begin_what_may_run()
        except BaseException as failure:  # noqa: BLE001 (raised again by the thread that waits)
            self._fail(failure)

    def _running(self) -> int:
        return sum(line.running for line in self._lines)

    def _fail(self, failure: BaseException) -> None:
        self._failure = failure
        self._ended.set()

    def _end_if_done(self) -> None:
        if self._awaited and not self._running() and not any(line.waiting for line in self._lines):
            self._ended.set()
