"""The tasks of one capture, done by thread pools that other captures use too.

A thread that has done a task puts the next one into the pool's queue, behind those of other captures, so that
a large capture lets them have their turn.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeAlias

Task: TypeAlias = Callable[[], None]


@dataclass(slots=True, eq=False)
class TaskQueue:
    """Tasks that wait for a pool, of which `max_concurrency` may run at once."""

    pool: ThreadPoolExecutor
    max_concurrency: int
    waiting: deque[Task] = field(default_factory=deque)
    running: int = 0


class BoundedExecutor:
    """Runs tasks, `max_concurrency` at a time at most, until there are none; tasks may add others.

    Queues that come first are served first.
    """

    def __init__(self, *queues: TaskQueue, max_concurrency: int) -> None:
        self._queues = queues
        self._max_concurrency = max_concurrency
        self._awaited = False
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def add(self, queue: TaskQueue, tasks: Iterable[Task]) -> None:
        """Queue more tasks."""
        with self._lock:
            queue.waiting.extend(tasks)
        self._submit_waiting()

    def wait(self) -> None:
        """Return when all is done, or raise what a task raised; nothing more is begun then."""
        with self._lock:
            self._awaited = True
            self._end_if_done()
        try:
            self._ended.wait()
        finally:
            self._ended.set()
        # Kept neither here nor in this frame, to which it leads: a cycle would keep the capture's file open.
        failure, self._failure = self._failure, None
        if failure is not None:
            try:
                raise failure
            finally:
                del failure

    def _submit_waiting(self) -> None:
        while (following := self._next()) is not None:
            queue, task = following
            try:
                queue.pool.submit(self._run, queue, task)
            except BaseException as failure:
                # A task that adds tasks may go on in spite of this, but what counts as running never ends.
                self._fail(failure)
                raise

    def _next(self) -> tuple[TaskQueue, Task] | None:
        """The next task that may run, counted as running."""
        with self._lock:
            if self._running() >= self._max_concurrency or self._ended.is_set():
                return None
            for queue in self._queues:
                if queue.waiting and queue.running < queue.max_concurrency:
                    queue.running += 1
                    return queue, queue.waiting.popleft()
            return None

    def _run(self, queue: TaskQueue, task: Task) -> None:
        try:
            task()
            with self._lock:
                queue.running -= 1
                self._end_if_done()
            self._submit_waiting()
        except BaseException as failure:  # noqa: BLE001 (raised again by the thread that waits)
            self._fail(failure)

    def _running(self) -> int:
        return sum(queue.running for queue in self._queues)

    def _fail(self, failure: BaseException) -> None:
        self._failure = failure
        self._ended.set()

    def _end_if_done(self) -> None:
        if self._awaited and not self._running() and not any(queue.waiting for queue in self._queues):
            self._ended.set()
