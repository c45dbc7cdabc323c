"""One client connection: requests are read with little ceremony, replies written whole, effects let loose.

The standard library's request handler parses headers as mail, at ten times the cost; the simulator shares its
cores with the client that is being measured.
"""

import contextlib
import socket
import socketserver
import struct
import threading
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import parse_qsl

from ghl_snapshots.simulator.faults import Effect
from ghl_snapshots.simulator.messages import Reply, Request

_MAX_HEAD_BYTES = 65_536
_MAX_BODY_BYTES = 1_048_576
_STATUS_LINES = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n" for status in HTTPStatus}


class ConnectionEnded(Exception):  # noqa: N818 (an end, not an error)
    """The connection is over, by either side."""


class ClientWire:
    """A client's socket as effects see it; see `faults.Wire`."""

    def __init__(self, client: socket.socket, stopping: threading.Event) -> None:
        self._client = client
        self._stopping = stopping

    def send(self, data: bytes) -> None:
        """Send the bytes."""
        self._client.sendall(data)

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than the simulator runs."""
        if self._stopping.wait(min(seconds, threading.TIMEOUT_MAX)):
            raise ConnectionEnded

    def close(self) -> None:
        """End the connection in good order."""
        raise ConnectionEnded

    def reset(self) -> None:
        """End the connection with a TCP reset, which is what closing without lingering sends."""
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._client.close()
        raise ConnectionEnded


class ClientConnection(socketserver.BaseRequestHandler):
    """Answers one client's requests until either side ends it; subclassed with what to answer."""

    respond: Callable[[Request], tuple[Reply, Effect]]
    latency: Callable[[], float]
    stopping: threading.Event
    request: socket.socket

    def handle(self) -> None:
        """Serve the connection; a client that goes away ends it quietly."""
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._wire = ClientWire(self.request, self.stopping)
        self._unread = b""
        with contextlib.suppress(ConnectionEnded, OSError):
            while self._serve_one():
                pass

    def _serve_one(self) -> bool:
        """Answer one request; false when the client wants no further one on this connection."""
        try:
            request, keep_alive = self._read_request()
        except ValueError:
            self._wire.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return False
        reply, effect = type(self).respond(request)
        latency = type(self).latency()
        if latency > 0:
            self._wire.pause(latency)
        body = b"" if request.method == "HEAD" else reply.body
        effect.deliver(self._wire, _head(reply, keep_alive=keep_alive), body)
        return keep_alive

    def _read_request(self) -> tuple[Request, bool]:
        """The next request and whether the connection outlives it.

        Raises:
            ConnectionEnded: when the client closed.
            ValueError: when what came is no HTTP request with a length.
        """
        lines = self._read_head().split("\r\n")
        method, target, protocol = lines[0].split(" ")
        headers = _headers(lines[1:])
        if "transfer-encoding" in headers:
            raise ValueError("a request body needs a Content-Length")
        body = self._read(int(headers.get("content-length", "0")))
        _, _, query = target.partition("?")
        request = Request(
            method=method,
            target=target,
            headers=headers,
            query=dict(parse_qsl(query, keep_blank_values=True)) if query else {},
            body=body,
        )
        return request, protocol == "HTTP/1.1" and headers.get("connection", "").lower() != "close"

    def _read_head(self) -> str:
        while b"\r\n\r\n" not in self._unread:
            if len(self._unread) > _MAX_HEAD_BYTES:
                raise ValueError("the head is too long")
            self._receive()
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        return head.decode("latin-1")

    def _read(self, length: int) -> bytes:
        if not 0 <= length <= _MAX_BODY_BYTES:
            raise ValueError("the body is too long")
        while len(self._unread) < length:
            self._receive()
        body, self._unread = self._unread[:length], self._unread[length:]
        return body

    def _receive(self) -> None:
        data = self.request.recv(65_536)
        if not data:
            raise ConnectionEnded
        self._unread += data


def _headers(lines: list[str]) -> dict[str, str]:
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return headers


def _head(reply: Reply, *, keep_alive: bool) -> bytes:
    status_line = _STATUS_LINES.get(reply.status, f"HTTP/1.1 {reply.status} Unknown\r\n")
    headers = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
    ending = "" if keep_alive else "Connection: close\r\n"
    return f"{status_line}{headers}Content-Length: {len(reply.body)}\r\n{ending}\r\n".encode("latin-1")
