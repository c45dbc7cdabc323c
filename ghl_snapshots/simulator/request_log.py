"""What the simulator was asked: a count of all requests and a log of the latest."""

import threading
from collections import Counter, deque
from dataclasses import dataclass
from datetime import UTC, datetime

_MAX_LOGGED = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRequest:
    """One request; `route` is a template, or the path itself where GHL has none like it.

    `path` holds the query too. `resource_id` is the location or company whose token came with it. `status` is
    None where the connection was reset before an answer.
    """

    method: str
    path: str
    route: str
    resource_id: str | None
    status: int | None
    at: datetime


class RequestLog:
    """A thread-safe log of the latest 200,000 requests, with counts of all."""

    def __init__(self) -> None:
        self._requests: deque[LoggedRequest] = deque(maxlen=_MAX_LOGGED)
        self._counts: Counter[tuple[str, str, int | None]] = Counter()
        self._lock = threading.Lock()

    def add(self, *, method: str, path: str, route: str, resource_id: str | None, status: int | None) -> None:
        """Log a request that is being answered now."""
        logged = LoggedRequest(
            method=method,
            path=path,
            route=route,
            resource_id=resource_id,
            status=status,
            at=datetime.now(UTC),
        )
        with self._lock:
            self._requests.append(logged)
            self._counts[method, route, status] += 1

    def requests(self) -> tuple[LoggedRequest, ...]:
        """The latest requests, the oldest first."""
        with self._lock:
            return tuple(self._requests)

    def counts(self) -> Counter[tuple[str, str, int | None]]:
        """How many requests there were by method, route and status."""
        with self._lock:
            return Counter(self._counts)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._requests.clear()
            self._counts.clear()
