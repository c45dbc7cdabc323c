"""A capture's work is done by shared threads: all of it, never too much at once, and in turn with others."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from ghl_snapshots.ghl.bounded_executor import Crew, Line

PATIENCE_SECONDS = 20


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


class Busy:
    """Counts how many pieces are under way at once; each waits for a moment, so that others come to it."""

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
    Crew(Line(pool, most=8), width=8).wait()


@pytest.mark.parametrize("width", [1, 3, 8])
def test_all_work_is_done_and_never_more_than_the_width_at_once(pool: ThreadPoolExecutor, width: int) -> None:
    busy, line = Busy(), Line(pool, most=100)
    crew = Crew(line, width=width)
    crew.add(line, [busy] * 50)
    crew.wait()
    assert (busy.done, busy.most) == (50, width)


def test_a_line_has_a_width_of_its_own(pool: ThreadPoolExecutor) -> None:
    few, many = Busy(), Busy()
    narrow, wide = Line(pool, most=2), Line(pool, most=8)
    crew = Crew(narrow, wide, width=8)
    crew.add(narrow, [few] * 20)
    crew.add(wide, [many] * 20)
    crew.wait()
    assert (few.done, few.most, many.done) == (20, 2, 20)


def test_the_first_line_is_served_first() -> None:
    """Even if it gets its work after the other one."""
    served: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        first, second = Line(pool, most=1), Line(pool, most=1)
        crew = Crew(first, second, width=1)

        def begin() -> None:
            crew.add(second, [partial(served.append, "second")] * 8)
            crew.add(first, [partial(served.append, "first")] * 6)

        crew.add(second, [begin])
        crew.wait()
    assert served == ["first"] * 6 + ["second"] * 8


def test_work_may_bring_more_work(pool: ThreadPoolExecutor) -> None:
    """As each agent of a list brings its actions, and each page of locations its calls."""
    line, done = Line(pool, most=8), []
    crew = Crew(line, width=4)

    def piece(depth: int) -> None:
        done.append(depth)
        crew.add(line, [partial(piece, depth - 1)] * 3 if depth else [])

    crew.add(line, [partial(piece, 4)])
    crew.wait()
    assert sorted(done) == sorted(4 - depth for depth in range(5) for _ in range(3**depth))


def test_what_a_piece_raises_is_raised_and_nothing_more_is_begun(pool: ThreadPoolExecutor) -> None:
    line, busy = Line(pool, most=1), Busy()
    crew = Crew(line, width=1)

    def fail() -> None:
        raise MemoryError("no room")

    crew.add(line, [busy, fail, busy, busy])
    with pytest.raises(MemoryError, match="no room"):
        crew.wait()
    pool.shutdown()
    assert busy.done == 1


def test_others_that_are_at_work_take_up_nothing_more_after_a_failure(pool: ThreadPoolExecutor) -> None:
    line, failed, at_work = Line(pool, most=2), threading.Event(), threading.Event()
    crew, busy = Crew(line, width=2), Busy()

    def fail() -> None:
        at_work.wait(PATIENCE_SECONDS)
        raise MemoryError

    def work() -> None:
        at_work.set()
        failed.wait(PATIENCE_SECONDS)

    crew.add(line, [fail, work, busy, busy])
    with pytest.raises(MemoryError):
        crew.wait()
    failed.set()
    pool.shutdown()
    assert busy.done == 0


def test_a_pool_that_was_shut_down_is_told_and_not_waited_for(pool: ThreadPoolExecutor) -> None:
    line = Line(pool, most=1)
    crew = Crew(line, width=1)
    crew.add(line, [partial(pool.shutdown, wait=False), *[lambda: None] * 10])
    with pytest.raises(RuntimeError, match="after shutdown"):
        crew.wait()


def test_work_that_cannot_be_begun_ends_all_even_if_the_piece_that_adds_it_goes_on(
    pool: ThreadPoolExecutor,
) -> None:
    """A listing records whatever happens to it; the capture must not wait for what never comes."""
    line = Line(pool, most=8)
    crew = Crew(line, width=8)

    def listing() -> None:
        pool.shutdown(wait=False)
        with contextlib.suppress(RuntimeError):
            crew.add(line, [lambda: None])

    def wait() -> None:
        with pytest.raises(RuntimeError, match="after shutdown"):
            crew.wait()
        raised.set()

    raised = threading.Event()
    crew.add(line, [listing])
    threading.Thread(target=wait, daemon=True).start()
    assert raised.wait(PATIENCE_SECONDS)


def test_work_that_comes_after_all_is_done_is_done_too(pool: ThreadPoolExecutor) -> None:
    line, done = Line(pool, most=1), threading.Semaphore(0)
    crew = Crew(line, width=1)
    for _ in range(2):
        crew.add(line, [done.release])
        assert done.acquire(timeout=PATIENCE_SECONDS)
        threading.Event().wait(0.01)
    crew.wait()


def test_a_large_capture_lets_others_have_their_turn() -> None:
    """One thread does both: the second capture's only piece waits for one of the first one's."""
    order: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        begin = threading.Event()
        large, small = Line(pool, most=1), Line(pool, most=1)
        crews = Crew(large, width=1), Crew(small, width=1)

        def piece(name: str, after: Callable[[], object]) -> None:
            after()
            order.append(name)

        crews[0].add(large, [partial(piece, "large", partial(begin.wait, PATIENCE_SECONDS))])
        crews[0].add(large, [partial(piece, "large", lambda: None)] * 20)
        crews[1].add(small, [partial(piece, "small", lambda: None)])
        begin.set()
        for crew in crews:
            crew.wait()
    assert order == ["large", "small"] + ["large"] * 20
