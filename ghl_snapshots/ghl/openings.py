"""Locations opened ahead of the calls to them, so that waiting for their tokens holds up no other call."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

_Key: TypeAlias = tuple[str, str]
"""A tenant's id and a location's."""


class Openings:
    """Asks for locations' tokens on threads of its own; captures that need the same one at once share it."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="ghl-opening")
        self._under_way: dict[_Key, Future[None]] = {}
        self._lock = threading.Lock()

    def begin(self, key: _Key, ask: Callable[[], None]) -> tuple["Future[None]", bool]:
        """Have the location opened, and tell whether it was this call that began it."""
        with self._lock:
            other = self._under_way.get(key)
            if other is not None:
                return other, False
            own = self._under_way[key] = self._pool.submit(ask)
        own.add_done_callback(lambda _: self._end(key))
        return own, True

    def close(self) -> None:
        """Wait for those under way."""
        self._pool.shutdown(cancel_futures=True)

    def _end(self, key: _Key) -> None:
        with self._lock:
            del self._under_way[key]
