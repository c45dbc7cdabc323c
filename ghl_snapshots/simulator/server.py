"""The simulated GHL on a socket: started and stopped around a test, a demo or a benchmark."""

import socket
import socketserver
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Self

from ghl_snapshots.simulator.accounts import Accounts
from ghl_snapshots.simulator.application import Application
from ghl_snapshots.simulator.connection import ClientConnection
from ghl_snapshots.simulator.fault_plan import InjectedFault
from ghl_snapshots.simulator.faults import Fault
from ghl_snapshots.simulator.limits import RateLimits
from ghl_snapshots.simulator.request_log import LoggedRequest
from ghl_snapshots.simulator.tokens import Tokens

_STOP_SECONDS = 5.0


class Simulator:
    """A simulated GHL that serves from `start` to `stop`, or inside a `with` block.

    `accounts`, `limits`, `tokens` and `latency_seconds` may be changed while it runs. The rate limits are
    those of GHL by default: 100 requests in 10 s and 200,000 a day for each location or company.
    """

    def __init__(
        self,
        accounts: Accounts,
        *,
        port: int = 0,
        latency_seconds: float = 0.0,
        burst_limit: int = 100,
        burst_window_seconds: float = 10.0,
        daily_limit: int = 200_000,
    ) -> None:
        self.accounts = accounts
        self.latency_seconds = latency_seconds
        self.limits = RateLimits(
            burst_limit=burst_limit,
            burst_window_seconds=burst_window_seconds,
            daily_limit=daily_limit,
            monotonic=time.monotonic,
            wall_clock=time.time,
        )
        self.tokens = Tokens(accounts)
        self._application = Application(accounts=accounts, tokens=self.tokens, limits=self.limits)
        self._port = port
        self._server: _Server | None = None

    @property
    def base_url(self) -> str:
        """Where it serves, such as http://127.0.0.1:43121; it keeps the port over a restart."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def request_log(self) -> tuple[LoggedRequest, ...]:
        """The latest 200,000 requests, the oldest first."""
        return self._application.log.requests()

    def request_counts(self) -> Counter[tuple[str, str, int | None]]:
        """How many requests there were by method, route template and status."""
        return self._application.log.counts()

    def clear_request_log(self) -> None:
        """Forget the requests so far."""
        self._application.log.clear()

    def inject(self, fault: Fault) -> InjectedFault:
        """Put a fault in force; the handle counts its hits and takes it out again."""
        return self._application.faults.inject(fault)

    def clear_faults(self) -> None:
        """Take every fault out of force; requests already hit still suffer it."""
        self._application.faults.clear()

    def start(self) -> Self:
        """Begin to serve in background threads.

        Raises:
            OSError: when the port is taken.
        """
        self._server = _Server(self._port, self)
        self._port = self._server.server_address[1]
        self._server.start()
        return self

    def stop(self) -> None:
        """Close every connection and the port at once, hanging requests included."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> Self:
        """Start serving."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving."""
        self.stop()


class _Server(socketserver.ThreadingTCPServer):
    """The listening socket and the connections made to it."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, port: int, simulator: Simulator) -> None:
        self._stopping = threading.Event()
        self._connections: set[socket.socket] = set()
        self._changed = threading.Condition()
        handler = type(
            "BoundConnection",
            (ClientConnection,),
            {
                "respond": staticmethod(simulator._application.respond),
                "latency": staticmethod(lambda: simulator.latency_seconds),
                "stopping": self._stopping,
            },
        )
        super().__init__(("127.0.0.1", port), handler)
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.02}, name="simulated-ghl", daemon=True
        )

    def start(self) -> None:
        """Accept connections in a background thread."""
        self._thread.start()

    def stop(self) -> None:
        """Refuse new connections, break off the present ones and wait for their threads."""
        self._stopping.set()
        self.shutdown()
        self._thread.join(_STOP_SECONDS)
        self.server_close()
        with self._changed:
            for connection in self._connections:
                _break_off(connection)
            self._changed.wait_for(lambda: not self._connections, _STOP_SECONDS)

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override] # sockets only
        """Note the connection, then serve it in a thread of its own."""
        with self._changed:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override] # sockets only
        """Close the connection and forget it."""
        super().shutdown_request(request)
        with self._changed:
            self._connections.discard(request)
            self._changed.notify_all()


def _break_off(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was quicker
