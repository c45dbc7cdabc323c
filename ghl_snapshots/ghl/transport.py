"""HTTP to GHL: one request out by way of the choke point, one answer in, whatever its status."""

import http.client
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import requests
import urllib3

from ghl_snapshots.core.capture_settings import CaptureSettings
from ghl_snapshots.core.errors import ErrorKind, GhlError
from ghl_snapshots.ghl.deadline import Deadline
from ghl_snapshots.ghl.json_slices import malformed
from ghl_snapshots.ghl.read_only import ReadOnlyAdapter, reading_until

_CHUNK_BYTES: Final = 65_536
_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": "ghl-snapshots",
}
_TRANSPORT_ERRORS: Final = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One HTTP answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    """Looked up without regard to case."""
    body: bytes = field(repr=False)


class Transport:
    """Sends requests to one GHL, each thread over connections of its own that are kept open."""

    def __init__(self, base_url: str, *, max_body_bytes: int = 64 * 1024 * 1024) -> None:
        self._base_url = base_url.rstrip("/")
        self._max_body_bytes = max_body_bytes
        self._thread = threading.local()
        self._adapters: list[ReadOnlyAdapter] = []
        self._lock = threading.Lock()

    def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        deadline: Deadline,
        settings: CaptureSettings,
        query: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request and read the whole answer, whatever its status.

        Raises:
            GhlError: REFUSED before anything is sent, CONNECTION, TIMEOUT, or MALFORMED_RESPONSE for a body
                that is too large.
        """
        deadline.check()
        started = time.monotonic()
        try:
            request = requests.Request(
                method, self._base_url + path, {**_HEADERS, **headers}, data=form, params=query
            ).prepare()
            with (
                reading_until(deadline),
                self._adapter().send(request, stream=True, timeout=_timeouts(settings, deadline)) as response,
            ):
                body = self._body(response.raw)
                return Reply(status=response.status_code, headers=response.raw.headers, body=body)
        except _TRANSPORT_ERRORS as error:
            raise self._failure(error, deadline, settings, time.monotonic() - started) from None

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            while self._adapters:
                self._adapters.pop().close()

    def _adapter(self) -> ReadOnlyAdapter:
        """The calling thread's adapter."""
        adapter: ReadOnlyAdapter | None = getattr(self._thread, "adapter", None)
        if adapter is None:
            adapter = self._thread.adapter = ReadOnlyAdapter(self._base_url)
            with self._lock:
                self._adapters.append(adapter)
        return adapter

    def _body(self, incoming: urllib3.BaseHTTPResponse) -> bytes:
        chunks: list[bytes] = []
        size = 0
        for chunk in incoming.stream(_CHUNK_BYTES, decode_content=True):
            size += len(chunk)
            if size > self._max_body_bytes:
                raise malformed(f"the body is larger than {self._max_body_bytes:,} bytes")
            chunks.append(chunk)
        return b"".join(chunks)

    def _failure(
        self, error: Exception, deadline: Deadline, settings: CaptureSettings, elapsed: float
    ) -> GhlError:
        """What went wrong, in words that name no path and no header."""
        if not deadline.remaining:
            return deadline.error()
        if isinstance(error, requests.ConnectTimeout):
            seconds = settings.connect_timeout_seconds
            return GhlError(ErrorKind.TIMEOUT, f"no connection to {self._base_url} within {seconds:g} s")
        causes = list(_causes(error))
        if any(isinstance(cause, _TIMEOUTS) for cause in causes):
            return GhlError(ErrorKind.TIMEOUT, f"GHL was silent for {settings.read_timeout_seconds:g} s")
        return GhlError(
            ErrorKind.CONNECTION, f"{_description(causes[-1])} after {elapsed:.1f} s ({self._base_url})"
        )


def _timeouts(settings: CaptureSettings, deadline: Deadline) -> tuple[float, float]:
    """Connect and read timeouts; at least a millisecond, because 0 would mean none at all."""
    remaining = max(0.001, deadline.remaining)
    return min(settings.connect_timeout_seconds, remaining), min(settings.read_timeout_seconds, remaining)


# urllib3 counts a refused connection among the timeouts of connecting, so those are sorted out before.
_TIMEOUTS: Final = (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError, TimeoutError)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and those that it wraps, the innermost last."""
    yield error
    for inner in (getattr(error, "reason", None), *error.args, error.__cause__):
        if isinstance(inner, BaseException):
            yield from _causes(inner)
            return


def _description(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return _WORDS.get(type(error).__name__, type(error).__name__)


_WORDS: Final = {
    "IncompleteRead": "the body was cut off",
    "RemoteDisconnected": "the connection was closed before an answer",
    "ConnectionResetError": "the connection was reset",
    "ConnectionRefusedError": "the connection was refused",
}
