"""A capture's work is done by shared threads: all of it, never too much at once, and in turn with others."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from ghl_snapshots.ghl.bounded_executor import BoundedExecutor, TaskQueue

TIMEOUT_SECONDS = 20


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


class Busy:
    """Counts how many tasks are under way at once; each waits for a moment, so that others come to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0
        self.done = 0

    def __call__(self) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        threading.Event().wait(0.002)
        with self._lock:
            self._now -= 1
            self.done += 1


def test_without_work_nothing_is_waited_for(pool: ThreadPoolExecutor) -> None:
    BoundedExecutor(TaskQueue(pool, max_concurrency=8), max_concurrency=8).wait()


@pytest.mark.parametrize("max_concurrency", [1, 3, 8])
def test_all_work_is_done_and_never_more_than_the_max_concurrency_at_once(
    pool: ThreadPoolExecutor, max_concurrency: int
) -> None:
    busy, queue = Busy(), TaskQueue(pool, max_concurrency=100)
    executor = BoundedExecutor(queue, max_concurrency=max_concurrency)
    executor.add(queue, [busy] * 50)
    executor.wait()
    assert (busy.done, busy.most) == (50, max_concurrency)


def test_a_queue_has_a_max_concurrency_of_its_own(pool: ThreadPoolExecutor) -> None:
    few, many = Busy(), Busy()
    narrow, wide = TaskQueue(pool, max_concurrency=2), TaskQueue(pool, max_concurrency=8)
    executor = BoundedExecutor(narrow, wide, max_concurrency=8)
    executor.add(narrow, [few] * 20)
    executor.add(wide, [many] * 20)
    executor.wait()
    assert (few.done, few.most, many.done) == (20, 2, 20)


def test_the_first_queue_is_served_first() -> None:
    """Even if it gets its work after the other one."""
    served: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        first, second = TaskQueue(pool, max_concurrency=1), TaskQueue(pool, max_concurrency=1)
        executor = BoundedExecutor(first, second, max_concurrency=1)

        def begin() -> None:
            executor.add(second, [partial(served.append, "second")] * 8)
            executor.add(first, [partial(served.append, "first")] * 6)

        executor.add(second, [begin])
        executor.wait()
    assert served == ["first"] * 6 + ["second"] * 8


def test_work_may_bring_more_work(pool: ThreadPoolExecutor) -> None:
    """As each agent of a list brings its actions, and each page of locations its calls."""
    queue, done = TaskQueue(pool, max_concurrency=8), []
    executor = BoundedExecutor(queue, max_concurrency=4)

    def task(depth: int) -> None:
        done.append(depth)
        executor.add(queue, [partial(task, depth - 1)] * 3 if depth else [])

    executor.add(queue, [partial(task, 4)])
    executor.wait()
    assert sorted(done) == sorted(4 - depth for depth in range(5) for _ in range(3**depth))


def test_what_a_task_raises_is_raised_and_nothing_more_is_begun(pool: ThreadPoolExecutor) -> None:
    queue, busy = TaskQueue(pool, max_concurrency=1), Busy()
    executor = BoundedExecutor(queue, max_concurrency=1)

    def fail() -> None:
        raise MemoryError("no room")

    executor.add(queue, [busy, fail, busy, busy])
    with pytest.raises(MemoryError, match="no room"):
        executor.wait()
    pool.shutdown()
    assert busy.done == 1


def test_others_that_are_at_work_take_up_nothing_more_after_a_failure(pool: ThreadPoolExecutor) -> None:
    queue, failed, at_work = TaskQueue(pool, max_concurrency=2), threading.Event(), threading.Event()
    executor, busy = BoundedExecutor(queue, max_concurrency=2), Busy()

    def fail() -> None:
        at_work.wait(TIMEOUT_SECONDS)
        raise MemoryError

    def work() -> None:
        at_work.set()
        failed.wait(TIMEOUT_SECONDS)

    executor.add(queue, [fail, work, busy, busy])
    with pytest.raises(MemoryError):
        executor.wait()
    failed.set()
    pool.shutdown()
    assert busy.done == 0


def test_a_pool_that_was_shut_down_is_told_and_not_waited_for(pool: ThreadPoolExecutor) -> None:
    queue = TaskQueue(pool, max_concurrency=1)
    executor = BoundedExecutor(queue, max_concurrency=1)
    executor.add(queue, [partial(pool.shutdown, wait=False), *[lambda: None] * 10])
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.wait()


def test_work_that_cannot_be_begun_ends_all_even_if_the_task_that_adds_it_goes_on(
    pool: ThreadPoolExecutor,
) -> None:
    """A listing records whatever happens to it; the capture must not wait for what never comes."""
    queue = TaskQueue(pool, max_concurrency=8)
    executor = BoundedExecutor(queue, max_concurrency=8)

    def listing() -> None:
        pool.shutdown(wait=False)
        with contextlib.suppress(RuntimeError):
            executor.add(queue, [lambda: None])

    def wait() -> None:
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.wait()
        raised.set()

    raised = threading.Event()
    executor.add(queue, [listing])
    threading.Thread(target=wait, daemon=True).start()
    assert raised.wait(TIMEOUT_SECONDS)


def test_work_that_comes_after_all_is_done_is_done_too(pool: ThreadPoolExecutor) -> None:
    queue, done = TaskQueue(pool, max_concurrency=1), threading.Semaphore(0)
    executor = BoundedExecutor(queue, max_concurrency=1)
    for _ in range(2):
        executor.add(queue, [done.release])
        assert done.acquire(timeout=TIMEOUT_SECONDS)
        threading.Event().wait(0.01)
    executor.wait()


def test_a_large_capture_lets_others_have_their_turn() -> None:
    """One thread does both: the second capture's only task waits for one of the first one's."""
    order: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        begin = threading.Event()
        large, small = TaskQueue(pool, max_concurrency=1), TaskQueue(pool, max_concurrency=1)
        executors = BoundedExecutor(large, max_concurrency=1), BoundedExecutor(small, max_concurrency=1)

        def task(name: str, after: Callable[[], object]) -> None:
            after()
            order.append(name)

        executors[0].add(large, [partial(task, "large", partial(begin.wait, TIMEOUT_SECONDS))])
        executors[0].add(large, [partial(task, "large", lambda: None)] * 20)
        executors[1].add(small, [partial(task, "small", lambda: None)])
        begin.set()
        for executor in executors:
            executor.wait()
    assert order == ["large", "small"] + ["large"] * 20
