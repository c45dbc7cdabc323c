"""Every effect as a client meets it, and the choice of the requests that are hit."""

import json
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
import requests

from ghl_snapshots.simulator.accounts import Agency, Location
from ghl_snapshots.simulator.faults import (
    CutBody,
    Drip,
    Effect,
    EndlessPages,
    Fault,
    Hang,
    Meanwhile,
    ReplaceBody,
    ResetConnection,
    Respond,
    ShortPage,
    StuckPage,
)
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.simulator.conftest import Client

WORKFLOWS = "/workflows/"
BROKEN = Respond(status=503, body=b"down")


def ask(client: Client, timeout: float = 5) -> requests.Response:
    """One request for the location's workflows."""
    return client.get(WORKFLOWS, locationId=client.location.location_id, timeout=timeout)


def read_raw(client: Client) -> tuple[bytes, Exception | None]:
    """All bytes that come for one request, and the error that ended them if one did."""
    address = urlsplit(client.simulator.base_url)
    request = (
        f"GET {WORKFLOWS}?locationId={client.location.location_id} HTTP/1.1\r\nHost: x\r\nVersion: v3\r\n"
        f"Authorization: Bearer {client.location.private_integration_token}\r\n\r\n"
    )
    received = b""
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(request.encode())
        try:
            while data := connection.recv(65_536):
                received += data
        except OSError as error:
            return received, error
    return received, None


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_an_error_status_is_answered_as_planned(client: Client, simulator: Simulator, status: int) -> None:
    headers = {"X-RateLimit-Daily-Remaining": "0", "Retry-After": "3"}
    simulator.inject(Fault(effect=Respond(status=status, body=b'{"x":1}', headers=headers)))
    answer = ask(client)
    assert (answer.status_code, answer.content) == (status, b'{"x":1}')
    assert answer.headers["X-RateLimit-Daily-Remaining"] == "0"
    assert answer.headers["X-RateLimit-Max"] == "100"
    assert answer.headers["Retry-After"] == "3"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html><body>Bad gateway</body></html>", "text/html"),
        (b"", "application/json"),
        (b'{"workflows":[{"id":', "application/json"),
        (b'{"workflows":[{"name":"\xff\xfe"}]}', "application/json"),
    ],
    ids=["html", "empty", "broken", "not utf-8"],
)
def test_a_useless_body_under_200_is_answered_as_planned(
    client: Client, simulator: Simulator, body: bytes, kind: str
) -> None:
    simulator.inject(Fault(effect=Respond(status=200, body=body, headers={"content-type": kind})))
    answer = ask(client)
    assert (answer.status_code, answer.content, answer.headers["Content-Type"]) == (200, body, kind)


def test_a_redirect_to_another_host_is_answered_as_planned(client: Client, simulator: Simulator) -> None:
    target = "http://elsewhere.example/workflows/"
    simulator.inject(Fault(effect=Respond(status=302, headers={"Location": target})))
    assert ask(client).headers["Location"] == target


def test_a_planned_answer_counts_against_no_limit(client: Client, simulator: Simulator) -> None:
    simulator.inject(Fault(effect=BROKEN, times=3))
    assert [ask(client).status_code for _ in range(4)] == [503, 503, 503, 200]
    assert simulator.limits.peek(client.location.location_id).remaining == 99


def test_a_hanging_answer_comes_after_its_time(client: Client, simulator: Simulator) -> None:
    simulator.inject(Fault(effect=Hang(seconds=0.3), times=2))
    with pytest.raises(requests.ReadTimeout):
        ask(client, timeout=0.1)
    began = time.monotonic()
    assert ask(client).status_code == 200
    assert time.monotonic() - began >= 0.3


def test_a_dripping_body_arrives_slowly_and_whole(client: Client, simulator: Simulator) -> None:
    right = ask(client).json()["workflows"]
    simulator.inject(Fault(effect=Drip(bytes_per_second=20_000), times=1))
    began = time.monotonic()
    answer = ask(client)
    assert answer.json()["workflows"] == right
    assert time.monotonic() - began >= len(answer.content) / 20_000 * 0.8


def test_a_dripping_body_is_in_time_for_every_read(client: Client, simulator: Simulator) -> None:
    """A timeout between two reads does not notice it: a client needs a deadline for the whole."""
    simulator.inject(Fault(effect=Drip(bytes_per_second=20)))
    url = f"{simulator.base_url}{WORKFLOWS}"
    with client.session.get(url, stream=True, timeout=0.2) as answer:
        began = time.monotonic()
        assert len(answer.raw.read(6)) == 6
    assert time.monotonic() - began > 0.2


def test_a_cut_body_ends_before_its_length(client: Client, simulator: Simulator) -> None:
    simulator.inject(Fault(effect=CutBody(after_bytes=30)))
    received, error = read_raw(client)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
    assert (len(body), error) == (30, None)
    assert length > 30
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        ask(client)


@pytest.mark.parametrize("after_bytes", [None, 10])
def test_a_reset_connection_ends_in_a_reset(
    client: Client, simulator: Simulator, after_bytes: int | None
) -> None:
    simulator.inject(Fault(effect=ResetConnection(after_bytes=after_bytes)))
    received, error = read_raw(client)
    assert isinstance(error, ConnectionResetError)
    assert after_bytes is not None or received == b""
    logged = simulator.request_log[-1]
    assert logged.status == (None if after_bytes is None else 200)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda body: body.replace(b'"workflows":', b'"items":'), "items"),
        (lambda body: json.dumps({**json.loads(body), "total": 999}).encode(), "total"),
    ],
    ids=["list key", "total"],
)
def test_a_changed_body_is_made_from_the_right_one(
    client: Client, simulator: Simulator, change: Callable[[bytes], bytes], key: str
) -> None:
    simulator.inject(Fault(effect=ReplaceBody(change=change)))
    assert key in ask(client).json()


@pytest.mark.parametrize(
    ("path", "second_page"),
    [
        ("/voice-ai/agents", {"page": 2, "pageSize": 5}),
        ("/agent-studio/agent", {"offset": 5, "limit": 5}),
        ("/calendars/resources/rooms", {"skip": 5, "limit": 5}),
    ],
)
def test_a_stuck_page_repeats_the_first_one(
    client: Client, simulator: Simulator, path: str, second_page: dict[str, int]
) -> None:
    simulator.inject(Fault(effect=StuckPage(), route=path))
    first_page = {**second_page, next(iter(second_page)): 1 if "page" in second_page else 0}
    name = client.location.location_id
    first, second = (client.get(path, page, locationId=name).json() for page in (first_page, second_page))
    for content in (first, second):
        if isinstance(content, dict):
            content.pop("traceId")
    assert first == second


def test_a_stuck_cursor_repeats_the_first_page(client: Client, simulator: Simulator) -> None:
    path = "/conversation-ai/agents/search"
    first = client.get(path, limit=5).json()["agents"]
    simulator.inject(Fault(effect=StuckPage()))
    assert client.get(path, limit=5, startAfter=first[-1]["id"]).json()["agents"] == first


def test_a_stuck_list_says_that_there_is_more_even_when_there_is_not(
    client: Client, simulator: Simulator
) -> None:
    simulator.inject(Fault(effect=StuckPage()))
    answer = client.get("/agent-studio/agent", locationId=client.location.location_id, offset=0, limit=100)
    assert answer.json()["pagination"]["hasMore"] is True


def test_endless_pages_are_full_and_all_different(client: Client, simulator: Simulator) -> None:
    simulator.inject(Fault(effect=EndlessPages()))
    path, seen, cursor = "/conversation-ai/agents/search", set(), ""
    for _ in range(5):
        agents = client.get(path, limit=20, startAfter=cursor).json()["agents"]
        assert len(agents) == 20
        seen |= {agent["id"] for agent in agents}
        cursor = agents[-1]["id"]
    assert len(seen) == 100
    name = client.location.location_id
    later = client.get("/agent-studio/agent", locationId=name, limit=5, offset=5_000).json()
    assert (len(later["agents"]), later["pagination"]["hasMore"]) == (5, True)
    assert len(client.get("/calendars/resources/rooms", locationId=name, limit=7, skip=700).json()) == 7
    assert ask(client).json()["workflows"], "an endpoint without pages is left as it is"


def test_a_fault_hits_after_so_many_for_so_many(client: Client, simulator: Simulator) -> None:
    handle = simulator.inject(Fault(effect=BROKEN, route=WORKFLOWS, after=1, times=2))
    assert [ask(client).status_code for _ in range(5)] == [200, 503, 503, 200, 200]
    assert (handle.matched, handle.hits) == (5, 2)


def test_a_fault_hits_only_what_it_names(
    client: Client, simulator: Simulator, agency: Agency, stranger: Location
) -> None:
    agent_id = next(iter(client.location.children["agent_actions"]))
    wrong_places = (
        Fault(effect=BROKEN, route="/calendars/"),
        Fault(effect=BROKEN, location_id=stranger.location_id),
        Fault(effect=BROKEN, company_id=agency.company_id),
        Fault(effect=BROKEN, agent_id=agent_id),
        Fault(effect=BROKEN, query={"page": "2"}),
    )
    for fault in wrong_places:
        simulator.inject(fault)
    assert ask(client).status_code == 200


def test_a_fault_finds_the_location_in_query_path_token_and_form(
    client: Client, simulator: Simulator, agency: Agency
) -> None:
    token = client.refresh(agency).json()["access_token"]
    name, company = client.location.location_id, agency.company_id
    simulator.inject(Fault(effect=BROKEN, location_id=name))
    assert ask(client).status_code == 503
    assert client.get("/conversation-ai/agents/search").status_code == 503
    assert client.get(f"/locations/{name}", token=token).status_code == 503
    form = {"companyId": company, "locationId": name}
    assert client.post("/oauth/locationToken", form, token=token).status_code == 503
    simulator.clear_faults()
    simulator.inject(Fault(effect=BROKEN, route="/oauth/token", company_id=company))
    assert client.refresh(agency).status_code == 503


def test_a_fault_finds_agent_and_query(client: Client, simulator: Simulator) -> None:
    first, second = list(client.location.children["agent_actions"])[:2]
    simulator.inject(Fault(effect=BROKEN, agent_id=second))
    simulator.inject(Fault(effect=BROKEN, query={"page": "2"}))
    statuses = [
        client.get(f"/conversation-ai/agents/{name}/actions/list").status_code for name in (first, second)
    ]
    assert statuses == [200, 503]
    name = client.location.location_id
    assert client.get("/voice-ai/agents", locationId=name, page=1).status_code == 200
    assert client.get("/voice-ai/agents", locationId=name, page=2).status_code == 503


def test_a_removed_fault_is_over(client: Client, simulator: Simulator) -> None:
    handle = simulator.inject(Fault(effect=BROKEN))
    assert ask(client).status_code == 503
    handle.remove()
    handle.remove()
    assert ask(client).status_code == 200


def test_a_spoiled_token_answer_has_still_spent_the_refresh_token(
    client: Client, simulator: Simulator, agency: Agency
) -> None:
    """What makes a crash between the answer and its storing dangerous."""
    simulator.inject(Fault(effect=CutBody(after_bytes=10), route="/oauth/token", times=1))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        client.refresh(agency)
    assert client.refresh(agency).status_code == 400


def test_a_short_page_holds_fewer_than_asked_for_and_the_list_goes_on(
    client: Client, simulator: Simulator
) -> None:
    path, name = "/calendars/resources/rooms", client.location.location_id
    rooms = client.get(path, locationId=name, skip=0, limit=4).json()
    simulator.inject(Fault(effect=ShortPage(entities=2), route=path, times=1))
    assert client.get(path, locationId=name, skip=0, limit=4).json() == rooms[:2]
    assert client.get(path, locationId=name, skip=2, limit=2).json() == rooms[2:]


def test_something_happens_in_ghl_before_an_answer(client: Client, simulator: Simulator) -> None:
    workflows = client.location.entities["workflows"]
    gone = json.loads(workflows[0])["id"]
    simulator.inject(Fault(effect=Meanwhile(happens=lambda: workflows.pop(0)), after=1))
    first, second = ([entity["id"] for entity in ask(client).json()["workflows"]] for _ in range(2))
    assert first == [gone, *second]


def test_an_effect_by_itself_changes_nothing(client: Client, simulator: Simulator) -> None:
    handle = simulator.inject(Fault(effect=Effect()))
    assert (ask(client).status_code, handle.hits) == (200, 1)
