"""The choke point: an adapter of `requests` that reads one GHL and refuses everything else.

It is used without a session. A session would put the entry of a `.netrc` in the place of our Authorization
header, follow redirects, use proxies of the environment, and send a cookie that came with one tenant's answer
along with the next one's call.

What of `requests` and urllib3 is overridden, and why:
- `send`, so that no way of using the adapter leads past the choke point.
- the connections' `response_class`, whose reads keep to the capture's deadline. The timeout of `requests` is
  one of each read, so a server that sends a byte a second, of the head or of the body, never meets it; nor
  may an interrupted capture wait for GHL. To these reads urllib3 leads only by a class of pool and a class of
  connection for each scheme.
"""

import http.client
import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from ghl_snapshots.core.errors import ErrorKind, GhlError
from ghl_snapshots.ghl.deadline import Deadline

TOKEN_PATH: Final = "/oauth/token"  # noqa: S105 (a path)
LOCATION_TOKEN_PATH: Final = "/oauth/locationToken"  # noqa: S105 (a path)
_SLICE_SECONDS: Final = 0.2
"""A read waits no longer at once, so that an interruption is noticed."""
_current: ContextVar[Deadline | None] = ContextVar("ghl_deadline", default=None)


class ReadOnlyAdapter(HTTPAdapter):
    """Lets out GET, and POST to the two OAuth token paths, to one GHL; refuses everything else."""

    def __init__(self, base_url: str) -> None:
        self._base = urlsplit(base_url)
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def send(
        self,
        request: requests.PreparedRequest,
        *args: Any,  # noqa: ANN401 (passed on)
        **kwargs: Any,  # noqa: ANN401 (passed on)
    ) -> requests.Response:
        """Send the request if it is one that may leave.

        Raises:
            GhlError: REFUSED; not a byte has left.
        """
        self._permit(request)
        return super().send(request, *args, **kwargs)

    def _permit(self, request: requests.PreparedRequest) -> None:
        url = urlsplit(request.url or "")
        if (url.scheme, url.netloc) != (self._base.scheme, self._base.netloc):
            raise _refused(f"a request to {url.scheme}://{url.hostname}: only {self._base.geturl()} is asked")
        if request.method == "GET" and request.body is None:
            return
        if request.method == "POST" and not url.query and url.path in self._token_paths():
            return
        raise _refused(
            f"{request.method} {url.path}: GHL is only read, by GET without a body; POST is for its two "
            "token paths"
        )

    def _token_paths(self) -> tuple[str, str]:
        base = self._base.path.rstrip("/")
        return base + TOKEN_PATH, base + LOCATION_TOKEN_PATH


def _refused(what: str) -> GhlError:
    return GhlError(ErrorKind.REFUSED, f"refused to send {what}", attempts=0)


@contextmanager
def reading_until(deadline: Deadline) -> Iterator[None]:
    """Let the answers to requests that this thread sends meanwhile keep to the deadline."""
    marker = _current.set(deadline)
    try:
        yield
    finally:
        _current.reset(marker)


class _TimedReads(io.RawIOBase):
    """A socket's incoming bytes; a read keeps to the connection's timeout and to the deadline."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket) -> None:
        self._raw = raw
        self._connection = connection
        self._timeout_seconds = connection.gettimeout()
        self._deadline = _current.get()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 (as declared by the base)
        if self._deadline is None or self._timeout_seconds is None:
            return self._raw.readinto(buffer)
        silent = 0.0
        while seconds := min(_SLICE_SECONDS, self._timeout_seconds - silent, self._deadline.remaining):
            self._connection.settimeout(seconds)  # urllib3 sets its own again before it sends
            try:
                return self._connection.recv_into(buffer)
            except TimeoutError:
                silent += seconds
        raise TimeoutError("the deadline is over, or the other side was silent for too long")

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
