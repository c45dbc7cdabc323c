"""Work on several items at once, over as many connections."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

# How many connections work at once, and how many pieces of work may wait for them to come to an end.
_CONNECTIONS = 2
_AHEAD = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


def parallel_map(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """What the work on each of the items comes to, in their order, while the next ones are worked on."""
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(_CONNECTIONS)
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # Where the walk is broken off, only what is under way already is waited for.
        pool.shutdown(cancel_futures=True)
