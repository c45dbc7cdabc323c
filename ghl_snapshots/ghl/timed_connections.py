"""Connections on which no read waits longer than the deadline of the capture it is made for.

The timeout of `requests` is for each read, so a server that sends a byte a second, be it of the head or of
the body, never meets it. So the socket's single reads are timed here.
"""

import http.client
import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from ghl_snapshots.ghl.deadline import Deadline

_TURN_SECONDS: Final = 0.5
_current: ContextVar[Deadline | None] = ContextVar("ghl_deadline", default=None)


@contextmanager
def reading_until(deadline: Deadline) -> Iterator[None]:
    """Let the answers to requests that this thread sends meanwhile keep to the deadline."""
    marker = _current.set(deadline)
    try:
        yield
    finally:
        _current.reset(marker)


class _TimedReads(io.RawIOBase):
    """A socket's incoming bytes; a read keeps to the connection's timeout and to the deadline.

    It waits in short turns, so that a capture that is broken off does not wait for GHL any longer.
    """

    def __init__(self, raw: io.RawIOBase, connection: socket.socket) -> None:
        self._raw = raw
        self._connection = connection
        self._usual_seconds = connection.gettimeout()
        self._deadline = _current.get()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 (as declared by the base)
        if self._deadline is None or self._usual_seconds is None:
            return self._raw.readinto(buffer)
        silent = 0.0
        while turn := min(_TURN_SECONDS, self._usual_seconds - silent, self._deadline.remaining):
            self._wait_at_most(turn)
            try:
                return self._connection.recv_into(buffer)
            except TimeoutError:
                silent += turn
        raise TimeoutError("the deadline is over, or the other side was silent for too long")

    def _wait_at_most(self, seconds: float) -> None:
        """Set the socket's timeout, which is a system call; urllib3 sets its own before it sends again."""
        if self._connection.gettimeout() != seconds:
            self._connection.settimeout(seconds)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    """An answer that is read by `_TimedReads`."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 (passed on)
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedReads(self.fp.detach(), sock))


class _HTTPConnection(HTTPConnection):
    response_class = _TimedResponse


class _HTTPSConnection(HTTPSConnection):
    response_class = _TimedResponse


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


POOL_CLASSES: Final = {"http": _HTTPPool, "https": _HTTPSPool}
