"""The server itself: methods, counts, trace ids, connections, restarts and prompt ends."""

import json
import socket
import threading
import time
from collections import Counter
from urllib.parse import urlsplit

import pytest
import requests

from ghl_snapshots.simulator.accounts import Location
from ghl_snapshots.simulator.faults import Drip, Fault, Hang
from ghl_snapshots.simulator.generation import demo_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.simulator.conftest import Client

WORKFLOWS = "/workflows/"


def talk(simulator: Simulator, data: bytes) -> bytes:
    """What the server sends back until it closes or half a second passes."""
    address = urlsplit(simulator.base_url)
    received = b""
    with socket.create_connection((address.hostname, address.port), timeout=0.5) as connection:
        connection.sendall(data)
        try:
            while piece := connection.recv(65_536):
                received += piece
        except TimeoutError:
            return received
    return received


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"])
def test_anything_but_a_get_is_refused_and_counted(
    client: Client, simulator: Simulator, location: Location, method: str
) -> None:
    answer = client.session.request(
        method,
        f"{simulator.base_url}{WORKFLOWS}",
        params={"locationId": location.location_id},
        data={"name": "changed"} if method not in ("HEAD", "OPTIONS", "TRACE") else None,
        headers={"Authorization": f"Bearer {location.private_integration_token}", "Version": "2021-07-28"},
        timeout=5,
    )
    assert answer.status_code == 405
    assert simulator.request_counts() == Counter({(method, WORKFLOWS, 405): 1})


def test_the_answer_to_a_head_has_no_body(simulator: Simulator) -> None:
    received = talk(simulator, b"HEAD /workflows/ HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 405 ")
    assert received.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_the_token_endpoints_take_nothing_but_a_post(
    client: Client, simulator: Simulator, method: str
) -> None:
    answer = client.session.request(method, f"{simulator.base_url}/oauth/token", timeout=5)
    assert answer.status_code == (404 if method == "GET" else 405)


def test_every_envelope_has_a_trace_id_of_its_own(client: Client, location: Location) -> None:
    name = location.location_id
    answers = [client.get(WORKFLOWS, locationId=name).json() for _ in range(3)]
    answers += [client.get(WORKFLOWS).json(), client.get("/nothing").json()]
    assert len({answer["traceId"] for answer in answers}) == 5


def test_but_for_the_trace_id_an_answer_is_the_same_each_time(client: Client, location: Location) -> None:
    first, second = (client.get(WORKFLOWS, locationId=location.location_id).json() for _ in range(2))
    assert first.pop("traceId") != second.pop("traceId")
    assert first == second


def test_entities_are_padded_to_the_size_that_is_asked_for(client: Client, location: Location) -> None:
    plain = client.get(WORKFLOWS, locationId=location.location_id).json()["workflows"]
    location.least_bytes["workflows"] = 20_000
    first, second = (
        client.get(WORKFLOWS, locationId=location.location_id).json()["workflows"] for _ in range(2)
    )
    assert first == second
    assert [{**entity, "nodes": None} for entity in first] == [{**entity, "nodes": None} for entity in plain]
    assert all(20_000 <= len(json.dumps(entity)) < 22_000 for entity in first)


def test_an_error_has_status_message_error_and_trace_id(client: Client) -> None:
    content = client.get("/nothing").json()
    assert content.keys() == {"statusCode", "message", "error", "traceId"}
    assert (content["statusCode"], content["error"]) == (404, "Not Found")


def test_requests_are_logged_with_route_resource_and_status(
    client: Client, simulator: Simulator, location: Location
) -> None:
    name = location.location_id
    client.get(f"/locations/{name}/tags")
    client.get("/nothing", token="nonsense")
    first, second = simulator.request_log
    assert (first.method, first.path, first.route) == (
        "GET",
        f"/locations/{name}/tags",
        "/locations/{locationId}/tags",
    )
    assert (first.resource_id, first.status) == (name, 200)
    assert (second.route, second.resource_id, second.status) == ("/nothing", None, 404)
    assert first.at.tzinfo is not None
    assert first.at <= second.at
    simulator.clear_request_log()
    assert (simulator.request_log, simulator.request_counts()) == ((), Counter())


def test_the_counts_are_readable_over_http_and_do_not_count_themselves(
    client: Client, simulator: Simulator, location: Location
) -> None:
    simulator.limits.burst_limit = 1
    for _ in range(2):
        client.get(WORKFLOWS, locationId=location.location_id)
    for _ in range(3):
        counts = client.get("/_simulator/requests").json()["requests"]
    assert counts == [
        {"method": "GET", "route": WORKFLOWS, "status": 200, "count": 1},
        {"method": "GET", "route": WORKFLOWS, "status": 429, "count": 1},
    ]


def test_connections_are_kept_and_requests_may_come_back_to_back(
    simulator: Simulator, location: Location
) -> None:
    head = f"Host: x\r\nVersion: v3\r\nAuthorization: Bearer {location.private_integration_token}\r\n"
    one = f"GET {WORKFLOWS}?locationId={location.location_id} HTTP/1.1\r\n{head}"
    received = talk(simulator, f"{one}\r\n{one}Connection: close\r\n\r\n".encode())
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert received.count(b"Connection: close") == 1


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST /oauth/token HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000,
    ],
    ids=["not http", "bad length", "chunked", "endless head"],
)
def test_what_is_no_request_is_answered_400_and_closed(simulator: Simulator, data: bytes) -> None:
    assert talk(simulator, data).startswith(b"HTTP/1.1 400 ")


def test_many_clients_are_served_at_once(simulator: Simulator, location: Location) -> None:
    simulator.latency_seconds = 0.2
    headers = {"Authorization": f"Bearer {location.private_integration_token}", "Version": "v3"}
    url = f"{simulator.base_url}{WORKFLOWS}?locationId={location.location_id}"
    statuses: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: statuses.append(requests.get(url, headers=headers, timeout=5).status_code)
        )
        for _ in range(10)
    ]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 10
    assert 0.2 <= time.monotonic() - began < 1.5


@pytest.mark.parametrize("effect", [Hang(seconds=3600), Drip(bytes_per_second=1)])
def test_it_stops_at_once_while_a_request_hangs(effect: Hang | Drip) -> None:
    before = threading.active_count()
    simulator = Simulator(demo_accounts(1)).start()
    location = simulator.accounts.single_locations[0]
    handle = simulator.inject(Fault(effect=effect))
    url = f"{simulator.base_url}{WORKFLOWS}?locationId={location.location_id}"
    failures: list[Exception] = []

    def ask() -> None:
        try:
            requests.get(url, headers={"Version": "v3"}, timeout=30)
        except requests.RequestException as failure:
            failures.append(failure)

    asking = threading.Thread(target=ask)
    asking.start()
    while not handle.hits:
        time.sleep(0.005)
    began = time.monotonic()
    simulator.stop()
    asking.join()
    assert time.monotonic() - began < 2
    assert len(failures) == 1
    assert threading.active_count() == before


def test_it_stops_at_once_while_a_connection_idles() -> None:
    with Simulator(demo_accounts(1)) as simulator, requests.Session() as session:
        session.get(f"{simulator.base_url}/nothing", timeout=5)
        began = time.monotonic()
        simulator.stop()
        assert time.monotonic() - began < 2


def test_it_restarts_on_its_port_with_its_accounts_and_log() -> None:
    simulator = Simulator(demo_accounts(1))
    with simulator:
        first = simulator.base_url
        requests.get(f"{first}/nothing", timeout=5)
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{first}/nothing", timeout=5)
    with simulator:
        assert simulator.base_url == first
        requests.get(f"{first}/nothing", timeout=5)
    assert simulator.request_counts() == Counter({("GET", "/nothing", 404): 2})
    simulator.stop()


def test_a_taken_port_is_an_error(simulator: Simulator) -> None:
    port = urlsplit(simulator.base_url).port
    assert port is not None
    with pytest.raises(OSError, match="in use"):
        Simulator(demo_accounts(1), port=port).start()
