"""Every byte to GHL passes one choke point that knows only reading, and no answer can hold it up for long."""

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from ghl_snapshots.core.capture_settings import CaptureSettings
from ghl_snapshots.core.errors import ErrorKind, GhlError
from ghl_snapshots.ghl.deadline import Deadline
from ghl_snapshots.ghl.read_only import ReadOnlyAdapter
from ghl_snapshots.ghl.transport import Reply, Transport
from ghl_snapshots.simulator.faults import CutBody, Drip, Fault, Hang, ResetConnection, Respond
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.server import Simulator

SECRET = "pit-11111111-2222-3333-4444-555555555555"
SETTINGS = CaptureSettings()
METHODS = ["POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "MERGE", "GETX"]


@pytest.fixture(scope="module")
def world() -> Iterator[Simulator]:
    with Simulator(generated_accounts(1, tenants=1), burst_limit=10**9) as simulator:
        yield simulator


@pytest.fixture
def simulator(world: Simulator) -> Iterator[Simulator]:
    world.clear_request_log()
    yield world
    world.clear_faults()


def ask(base_url: str, *, method: str = "GET", seconds: float = 10, read_timeout_seconds: float = 1) -> Reply:
    """One request over a transport of its own."""
    transport = Transport(base_url, max_body_bytes=1_000_000)
    try:
        return transport.send(
            method,
            "/workflows/",
            headers={"Authorization": f"Bearer {SECRET}"},
            settings=CaptureSettings(connect_timeout_seconds=1, read_timeout_seconds=read_timeout_seconds),
            deadline=Deadline(seconds),
        )
    finally:
        transport.close()


@contextmanager
def server(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server on a free port that lets `behave` have each connection; for what the simulator does not do."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopped = threading.Event()

    def serve() -> None:
        while not stopped.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.recv(65_536)
                    behave(connection)
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    stopped.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


@pytest.mark.parametrize("method", METHODS)
def test_no_method_but_get_leaves(simulator: Simulator, method: str) -> None:
    with pytest.raises(GhlError, match="GHL is only read") as caught:
        ask(simulator.base_url, method=method)
    assert caught.value.kind is ErrorKind.REFUSED
    assert caught.value.attempts == 0
    assert not simulator.request_log


@pytest.mark.parametrize(
    "path",
    [
        "/oauth/token/",
        "/oauth/token?x=1",
        "/oauth/tokens",
        "/oauth",
        "/contacts/",
        "/oauth/token/../../contacts/",
        "//oauth/token",
        "/oauth/locationtoken",
        "/oauth/token;x",
    ],
)
def test_post_leaves_for_the_two_token_paths_only(simulator: Simulator, path: str) -> None:
    transport = Transport(simulator.base_url)
    with pytest.raises(GhlError) as caught:
        transport.send("POST", path, headers={}, form={"a": "b"}, settings=SETTINGS, deadline=Deadline(5))
    assert caught.value.kind is ErrorKind.REFUSED
    assert not simulator.request_log
    for allowed in ("/oauth/token", "/oauth/locationToken"):
        transport.send("POST", allowed, headers={}, form={"a": "b"}, settings=SETTINGS, deadline=Deadline(5))
    transport.close()
    assert [request.method for request in simulator.request_log] == ["POST", "POST"]


def send(base_url: str, method: str, url: str, **content: Any) -> None:
    """One request straight through the choke point, with whatever content."""
    adapter = ReadOnlyAdapter(base_url)
    try:
        adapter.send(requests.Request(method, url, **content).prepare(), timeout=1)
    finally:
        adapter.close()


@pytest.mark.parametrize("method", METHODS)
def test_the_adapter_itself_refuses_whatever_is_not_reading(simulator: Simulator, method: str) -> None:
    """It is the choke point, so that no way of using it leads past it."""
    with pytest.raises(GhlError, match="GHL is only read"):
        send(simulator.base_url, method, simulator.base_url + "/contacts/")
    assert not simulator.request_log


def test_a_get_that_carries_a_body_does_not_leave(simulator: Simulator) -> None:
    with pytest.raises(GhlError, match="without a body"):
        send(simulator.base_url, "GET", simulator.base_url + "/contacts/", json={"a": 1})
    assert not simulator.request_log


def test_another_host_port_or_scheme_is_never_asked(simulator: Simulator) -> None:
    with Simulator(generated_accounts(1, tenants=1)) as other:
        for url in (
            simulator.base_url + "/workflows/",
            "https://127.0.0.1/",
            f"{other.base_url}@127.0.0.1/",
            other.base_url.replace("127.0.0.1", "localhost"),
        ):
            with pytest.raises((GhlError, requests.exceptions.InvalidURL)):
                send(other.base_url, "GET", url)
        assert not other.request_log
        assert not simulator.request_log


def test_a_redirect_is_given_back_and_not_followed(simulator: Simulator) -> None:
    with Simulator(generated_accounts(1, tenants=1)) as thief:
        simulator.inject(Fault(effect=Respond(status=302, headers={"Location": thief.base_url + "/take"})))
        assert ask(simulator.base_url).status == 302
        assert not thief.request_log


def test_a_netrc_entry_does_not_replace_the_token(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login thief password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    token = simulator.accounts.single_locations[0].private_integration_token
    transport = Transport(simulator.base_url)
    reply = transport.send(
        "GET",
        "/workflows/",
        headers={"Authorization": f"Bearer {token}", "Version": "2021-07-28"},
        query={"locationId": simulator.accounts.single_locations[0].location_id},
        settings=SETTINGS,
        deadline=Deadline(5),
    )
    transport.close()
    assert reply.status == 200


def test_a_cookie_that_an_answer_sets_is_not_sent_back() -> None:
    """It would go out with the next tenant's request."""
    heard: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=tenant-one; Path=/\r\nContent-Length: 2\r\n\r\n{}"
        connection.sendall(answer)
        heard.append(connection.recv(65_536))
        connection.sendall(answer)

    with server(behave) as base_url:
        transport = Transport(base_url)
        for _ in range(2):
            transport.send("GET", "/workflows/", headers={}, settings=SETTINGS, deadline=Deadline(5))
        transport.close()
    assert b"GET /workflows/" in heard[0]
    assert b"cookie" not in heard[0].lower()


@pytest.mark.parametrize(
    ("effect", "kind", "message"),
    [
        (Hang(seconds=30), ErrorKind.TIMEOUT, "GHL was silent for 0.2 s"),
        (CutBody(after_bytes=9), ErrorKind.CONNECTION, "the body was cut off"),
        (ResetConnection(), ErrorKind.CONNECTION, "Connection reset by peer"),
        (ResetConnection(after_bytes=5), ErrorKind.CONNECTION, "Connection reset by peer"),
    ],
)
def test_a_broken_answer_is_named(
    simulator: Simulator, effect: Hang | CutBody | ResetConnection, kind: ErrorKind, message: str
) -> None:
    simulator.inject(Fault(effect=effect))
    with pytest.raises(GhlError, match=message) as caught:
        ask(simulator.base_url, read_timeout_seconds=0.2)
    assert caught.value.kind is kind
    assert SECRET not in caught.value.message


def test_a_body_that_drips_meets_the_deadline(simulator: Simulator) -> None:
    simulator.inject(Fault(effect=Drip(bytes_per_second=20)))
    _assert_deadline_holds(simulator.base_url)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX-Header: "], ids=["status line", "header"])
def test_a_head_that_drips_meets_the_deadline(start: bytes) -> None:
    def behave(connection: socket.socket) -> None:
        connection.sendall(start)
        for _ in range(200):  # not for ever, so that a deadline that does not hold fails the test
            connection.sendall(b"a")
            time.sleep(0.02)

    with server(behave) as base_url:
        _assert_deadline_holds(base_url)


def _assert_deadline_holds(base_url: str) -> None:
    began = time.monotonic()
    with pytest.raises(GhlError, match=r"total time of 0.3 s") as caught:
        ask(base_url, seconds=0.3)
    assert caught.value.kind is ErrorKind.TIMEOUT
    assert time.monotonic() - began < 3


def test_a_connection_is_as_good_as_new_after_a_short_deadline(simulator: Simulator) -> None:
    """What was left of one capture's time must not be the timeout of the next one's."""
    transport = Transport(simulator.base_url)
    transport.send("GET", "/workflows/", headers={}, settings=SETTINGS, deadline=Deadline(0.2))
    simulator.inject(Fault(effect=Hang(seconds=0.4)))
    assert (
        transport.send("GET", "/workflows/", headers={}, settings=SETTINGS, deadline=Deadline(10)).status
        == 401
    )
    transport.close()


def test_nothing_is_sent_after_the_deadline(simulator: Simulator) -> None:
    with pytest.raises(GhlError) as caught:
        ask(simulator.base_url, seconds=0)
    assert (caught.value.kind, caught.value.attempts) == (ErrorKind.TIMEOUT, 0)
    assert not simulator.request_log


def test_a_body_without_end_is_not_taken(simulator: Simulator) -> None:
    simulator.inject(Fault(effect=Respond(status=200, body=b" " * 2_000_000)))
    with pytest.raises(GhlError, match="larger than 1,000,000 bytes") as caught:
        ask(simulator.base_url)
    assert caught.value.kind is ErrorKind.MALFORMED_RESPONSE


def test_a_refused_connection_is_named() -> None:
    with Simulator(generated_accounts(1, tenants=1)) as simulator:
        base_url = simulator.base_url
    with pytest.raises(GhlError, match="Connection refused") as caught:
        ask(base_url)
    assert caught.value.kind is ErrorKind.CONNECTION


def test_a_thread_keeps_its_connection(simulator: Simulator) -> None:
    """Two requests, one connection: the listening socket is gone when the second goes out."""
    connections: list[int] = []

    def behave(connection: socket.socket) -> None:
        connections.append(connection.fileno())
        for _ in range(3):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            if not connection.recv(65_536):
                return

    with server(behave) as base_url:
        transport = Transport(base_url)
        for _ in range(3):
            assert (
                transport.send("GET", "/workflows/", headers={}, settings=SETTINGS, deadline=Deadline(5)).body
                == b"{}"
            )
        transport.close()
    assert len(connections) == 1


def test_a_chunked_and_compressed_answer_is_read_whole() -> None:
    packed = gzip.compress(b'{"workflows":[]}')

    def behave(connection: socket.socket) -> None:
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
            + b"".join(b"1\r\n" + packed[index : index + 1] + b"\r\n" for index in range(len(packed)))
            + b"0\r\n\r\n"
        )

    with server(behave) as base_url:
        assert ask(base_url).body == b'{"workflows":[]}'
