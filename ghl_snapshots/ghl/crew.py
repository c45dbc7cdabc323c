"""The work of one capture, done by threads that the captures beside it use too.

Threads of Python take turns at the interpreter. One that holds a lock while it waits for something else has
all others queue for that lock, and one that hands out work makes those that do it wait until its turn comes.
So the lock here is held for a few steps that wait for nothing, and threads go on from piece to piece by
themselves.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, TypeAlias

Piece: TypeAlias = Callable[[], None]

_PIECES_A_TURN: Final = 4
"""After which a thread first does what other captures have put into the pool's queue meanwhile."""


@dataclass(slots=True, eq=False)
class Line:
    """Pieces of work that wait for a pool, of which `most` may be under way at once."""

    pool: ThreadPoolExecutor
    most: int
    waiting: deque[Piece] = field(default_factory=deque)
    running: int = 0
    coming: int = 0
    """Of the running ones, those that have still to take their first piece of a turn."""

    @property
    def has_work(self) -> bool:
        """Whether there is something to do for one more."""
        return len(self.waiting) > self.coming and self.running < self.most


class Crew:
    """Does pieces of work, not more than `width` at a time, until there are none; pieces may add others.

    The lines that come first are served first.
    """

    def __init__(self, *lines: Line, width: int) -> None:
        self._lines = lines
        self._width = width
        self._running = 0
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
            self._end_if_done()
        try:
            self._ended.wait()
        finally:
            self._ended.set()
        if self._failure is not None:
            raise self._failure

    def _begin_what_may_run(self) -> None:
        while (line := self._begun()) is not None:
            line.pool.submit(self._take_turn, line)

    def _begun(self) -> Line | None:
        """Count one more in, if a line has work for it."""
        with self._lock:
            if self._running >= self._width or self._ended.is_set():
                return None
            line = next((line for line in self._lines if line.has_work), None)
            if line is not None:
                line.running += 1
                line.coming += 1
                self._running += 1
            return line

    def _take_turn(self, line: Line) -> None:
        """Do a few pieces, then leave the room to whichever line has work."""
        try:
            for number in range(_PIECES_A_TURN):
                piece = self._next(line, first=number == 0)
                if piece is None:
                    break
                piece()
            with self._lock:
                line.running -= 1
                self._running -= 1
                self._end_if_done()
            self._begin_what_may_run()
        except BaseException as failure:  # noqa: BLE001 (raised again by the thread that waits)
            self._failure = failure
            self._ended.set()

    def _next(self, line: Line, *, first: bool) -> Piece | None:
        """The next piece of a line, if there is one."""
        with self._lock:
            line.coming -= first
            return line.waiting.popleft() if line.waiting and not self._ended.is_set() else None

    def _end_if_done(self) -> None:
        if not self._running and not any(line.waiting for line in self._lines):
            self._ended.set()
