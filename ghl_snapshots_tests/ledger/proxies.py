"""A way to the test's server on which a test decides what goes through."""

import select
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

_SOCKET = ".s.PGSQL.5432"


@contextmanager
def proxied(url: str, folder: Path, passes: Callable[[bytes, bool], bool]) -> Iterator[str]:
    """URL of the same database through a proxy.

    `passes` is asked of each piece that was sent, and whether the server sent it, before it goes on; where
    it says no, the connection ends.
    """
    server_socket = f"{conninfo_to_dict(url)['host']}/{_SOCKET}"

    class Proxy(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as upstream:
                upstream.connect(server_socket)
                while True:
                    for ready in select.select([self.request, upstream], [], [])[0]:
                        data = ready.recv(65536)
                        if not data or not passes(data, ready is upstream):
                            return
                        (self.request if ready is upstream else upstream).sendall(data)

    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True

    folder.mkdir()
    with Server(str(folder / _SOCKET), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        try:
            yield make_conninfo(url, host=str(folder))
        finally:
            server.shutdown()
            thread.join()
