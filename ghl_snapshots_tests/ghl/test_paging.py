"""Lists are followed to their end, and a server that pages wrongly is caught and named."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghl_snapshots.core.capture_settings import CaptureSettings
from ghl_snapshots.core.errors import ErrorKind, GhlError, ListChangedError
from ghl_snapshots.core.model import Entity
from ghl_snapshots.ghl.deadline import Deadline
from ghl_snapshots.ghl.endpoint import By, Endpoint
from ghl_snapshots.ghl.json_slices import Answer, read_answer
from ghl_snapshots.ghl.paging import MAX_PAGES, pages
from ghl_snapshots.ghl.transport import Transport
from ghl_snapshots.simulator.accounts import Location
from ghl_snapshots.simulator.faults import EndlessPages, Fault, ReplaceBody, StuckPage
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.ghl.rig import ENDPOINTS

LISTS = {
    "/calendars/resources/rooms": "rooms",
    "/voice-ai/agents": "voice_ai_agents",
    "/conversation-ai/agents/search": "conversation_ai_agents",
    "/agent-studio/agent": "agent_studio_agents",
}
PAGED = [ENDPOINTS[path] for path in LISTS]
BY_PATH = pytest.mark.parametrize("endpoint", PAGED, ids=lambda endpoint: endpoint.path)
WITH_TOTAL = [endpoint for endpoint in PAGED if endpoint.id]
COUNT = 7


@pytest.fixture(scope="module")
def world() -> Iterator[Simulator]:
    """One location with seven entities of every paged kind, and no limits."""
    sizes = {
        "rooms": COUNT,
        "voice_ai_agents": COUNT,
        "conversation_ai_agents": COUNT,
        "agent_studio_agents": COUNT,
    }
    with Simulator(generated_accounts(1, tenants=1, sizes=sizes), burst_limit=10**9) as simulator:
        yield simulator


@pytest.fixture
def simulator(world: Simulator) -> Iterator[Simulator]:
    yield world
    world.clear_faults()
    world.clear_request_log()


@pytest.fixture(scope="module")
def transport(world: Simulator) -> Iterator[Transport]:
    transport = Transport(world.base_url)
    yield transport
    transport.close()


@pytest.fixture
def location(simulator: Simulator) -> Location:
    return simulator.accounts.single_locations[0]


def fetcher(
    transport: Transport, location: Location, endpoint: Endpoint
) -> Callable[[Mapping[str, str]], Answer]:
    """Asks the simulator for one page."""

    def fetch(query: Mapping[str, str]) -> Answer:
        own = {name: value.format(locationId=location.location_id) for name, value in endpoint.query}
        reply = transport.send(
            "GET",
            endpoint.path,
            headers={
                "Authorization": f"Bearer {location.private_integration_token}",
                "Version": endpoint.api_version,
            },
            query={**own, **query},
            deadline=Deadline(20),
            settings=CaptureSettings(),
        )
        assert reply.status == 200, reply.body
        return read_answer(reply.body, endpoint)

    return fetch


def by_position(endpoint: Endpoint) -> bool:
    """Whether a page begins with the end of the one before."""
    return endpoint.paging is not None and endpoint.paging.by is By.POSITION


def sized(endpoint: Endpoint, size: int) -> Endpoint:
    """The endpoint with pages of another size."""
    assert endpoint.paging is not None
    return replace(endpoint, paging=replace(endpoint.paging, size=size))


def followed(
    endpoint: Endpoint, fetch: Callable[[Mapping[str, str]], Answer], *, max_pages: int = MAX_PAGES
) -> tuple[list[bytes], GhlError | None]:
    """The entities of the pages that came, and the error that ended them."""
    found: list[bytes] = []
    try:
        for page in pages(endpoint, fetch, max_pages=max_pages):
            found += [bytes(entity.body) for entity in page.new]
    except GhlError as error:
        return found, error
    return found, None


@BY_PATH
@pytest.mark.parametrize("size", [1, 2, 3, COUNT, COUNT + 1])
def test_every_entity_comes_once_and_in_order_for_any_page_size(
    simulator: Simulator, transport: Transport, location: Location, endpoint: Endpoint, size: int
) -> None:
    """Seven entities are no whole number of pages, exactly one page, or less than one."""
    found = followed(sized(endpoint, size), fetcher(transport, location, endpoint))
    assert found == (location.entities[LISTS[endpoint.path]], None)


@BY_PATH
def test_an_empty_list_takes_one_request(
    simulator: Simulator, transport: Transport, location: Location, endpoint: Endpoint
) -> None:
    kind = LISTS[endpoint.path]
    entities, location.entities[kind] = location.entities[kind], []
    assert followed(endpoint, fetcher(transport, location, endpoint)) == ([], None)
    location.entities[kind] = entities
    assert len(simulator.request_log) == 1


@BY_PATH
def test_a_page_that_comes_again_is_caught_and_the_first_is_kept(
    simulator: Simulator, transport: Transport, location: Location, endpoint: Endpoint
) -> None:
    simulator.inject(Fault(effect=StuckPage(), route=endpoint.path))
    found, error = followed(sized(endpoint, 3), fetcher(transport, location, endpoint))
    assert found == location.entities[LISTS[endpoint.path]][:3]
    assert error is not None
    assert error.kind is ErrorKind.PAGING
    assert "again on a later page" in error.message
    assert isinstance(error, ListChangedError), "it is read once more"
    assert len(simulator.request_log) == 2 + by_position(endpoint)


@BY_PATH
def test_a_list_that_never_ends_is_given_up_and_what_came_is_kept(
    simulator: Simulator, transport: Transport, location: Location, endpoint: Endpoint
) -> None:
    simulator.inject(Fault(effect=EndlessPages(), route=endpoint.path))
    found, error = followed(endpoint, fetcher(transport, location, endpoint), max_pages=4)
    assert endpoint.paging is not None
    assert len(found) == 4 * endpoint.paging.size - 3 * by_position(endpoint)
    assert error is not None
    assert (error.kind, error.message) == (ErrorKind.PAGING, "the list did not end within 4 pages")
    assert error.cursor is not None
    assert len(simulator.request_log) == 4


@pytest.mark.parametrize("total", [COUNT - 1, COUNT + 1, 0])
@pytest.mark.parametrize("endpoint", WITH_TOTAL, ids=lambda endpoint: endpoint.path)
def test_a_total_that_does_not_fit_is_named(
    simulator: Simulator, transport: Transport, location: Location, endpoint: Endpoint, total: int
) -> None:
    def lie(body: bytes) -> bytes:
        envelope = json.loads(body)
        place = envelope.get("pagination", envelope)
        place["totalCount" if "totalCount" in place else "total"] = total
        return json.dumps(envelope).encode()

    simulator.inject(Fault(effect=ReplaceBody(change=lie), route=endpoint.path))
    found, error = followed(endpoint, fetcher(transport, location, endpoint))
    assert len(found) == COUNT
    assert error is not None
    assert error.kind is ErrorKind.PAGING
    assert str(total) in error.message


def test_a_page_that_fails_leaves_the_pages_before_it_and_its_cursor(
    simulator: Simulator, transport: Transport, location: Location
) -> None:
    """The cursor is where the failed page went on, so that one can go on from there."""
    kept = {
        "/calendars/resources/rooms": (5, "5"),
        "/voice-ai/agents": (6, "3"),
        "/agent-studio/agent": (5, "5"),
        "/conversation-ai/agents/search": (6, None),
    }
    for endpoint in PAGED:
        simulator.clear_faults()
        simulator.inject(Fault(effect=ReplaceBody(change=lambda _: b"<html>"), route=endpoint.path, after=2))
        found, error = followed(sized(endpoint, 3), fetcher(transport, location, endpoint))
        entities = location.entities[LISTS[endpoint.path]]
        count, cursor = kept[endpoint.path]
        assert found == entities[:count]
        assert error is not None
        assert error.kind is ErrorKind.MALFORMED_RESPONSE
        assert error.cursor == (cursor or json.loads(entities[5])["id"])


def entities(names: list[str]) -> tuple[Entity, ...]:
    return tuple(
        Entity(body=json.dumps({"id": name}).encode(), endpoint="/list", entity_id=name) for name in names
    )


SKIP = ENDPOINTS["/calendars/resources/rooms"]
CURSOR = ENDPOINTS["/conversation-ai/agents/search"]
OFFSET = ENDPOINTS["/agent-studio/agent"]


@given(count=st.integers(0, 40), cap=st.integers(1, 12), asked=st.integers(1, 12))
def test_a_server_that_gives_fewer_than_asked_for_loses_nothing(count: int, cap: int, asked: int) -> None:
    """Without a total a short page is not the last one until the server has been seen to fill a page."""
    names = [str(number) for number in range(count)]

    def fetch(query: Mapping[str, str]) -> Answer:
        skip = int(query["skip"])
        return Answer(entities=entities(names[skip : skip + min(cap, int(query["limit"]))]))

    found, error = followed(sized(SKIP, asked), fetch)
    assert error is None
    assert found == [entity.body for entity in entities(names)]


@given(count=st.integers(0, 40), size=st.integers(1, 12))
def test_a_server_that_begins_whole_pages_only_loses_nothing(count: int, size: int) -> None:
    """It would give the page before again, instead of one that begins with that one's last entity."""
    names = [str(number) for number in range(count)]

    def fetch(query: Mapping[str, str]) -> Answer:
        skip = int(query["skip"]) // size * size
        # The end of the list is behind its last entity, wherever in a page that is.
        there = names[skip : skip + size] if int(query["skip"]) < count else []
        return Answer(entities=entities(there))

    found, error = followed(sized(SKIP, size), fetch)
    assert error is None
    assert found == [entity.body for entity in entities(names)]


@given(count=st.integers(2, 30), size=st.integers(2, 12), gone=st.integers(0, 29), page=st.integers(1, 15))
def test_no_entity_is_lost_to_a_deletion_between_two_pages(
    count: int, size: int, gone: int, page: int
) -> None:
    """Whatever is deleted whenever: what stays is found, or the change is."""
    names = [str(number) for number in range(count)]
    left = [name for number, name in enumerate(names) if number != gone]
    asked = 0

    def fetch(query: Mapping[str, str]) -> Answer:
        nonlocal asked
        asked += 1
        there = names if asked <= page else left
        skip = int(query["skip"])
        return Answer(entities=entities(there[skip : skip + int(query["limit"])]))

    found, error = followed(sized(SKIP, size), fetch)
    if error is None:
        assert {entity.body for entity in entities(left)} <= set(found)
    else:
        assert isinstance(error, ListChangedError)


def test_an_empty_page_that_promises_more_is_named() -> None:
    _, error = followed(OFFSET, lambda _query: Answer(entities=(), has_more=True))
    assert error is not None
    assert error.message == "GHL gave an empty page and says that more follow"


def test_an_entity_twice_on_one_page_is_given_twice_and_flagged() -> None:
    [page] = pages(OFFSET, lambda _query: Answer(entities=entities(["a", "b", "a"]), has_more=False))
    assert page.new == entities(["a", "b", "a"])
    assert page.duplicates == entities(["a"])


def test_equal_entities_without_an_id_are_two_of_them() -> None:
    """GHL gives rooms no id, and two treatment rooms may be alike to the byte."""
    rooms = tuple(Entity(body=b'{"name":"Room"}', endpoint="/list", entity_id=None) for _ in range(5))

    def fetch(query: Mapping[str, str]) -> Answer:
        skip = int(query["skip"])
        return Answer(entities=rooms[skip : skip + 3])

    given = list(pages(sized(SKIP, 3), fetch))
    assert [len(page.new) for page in given] == [3, 2, 0]
    assert [page.duplicates for page in given] == [(), (), ()]
    [page] = pages(OFFSET, lambda _query: Answer(entities=rooms[:2], total=2))
    assert page.duplicates == rooms[1:2], "where an entity has an id"


@given(count=st.integers(0, 40), size=st.integers(2, 12))
def test_a_short_page_is_the_last_where_ghl_documents_its_size(count: int, size: int) -> None:
    names = [str(number) for number in range(count)]
    asked = []

    def fetch(query: Mapping[str, str]) -> Answer:
        asked.append(query)
        skip = int(query["skip"])
        return Answer(entities=entities(names[skip : skip + int(query["limit"])]))

    found, error = followed(sized(ENDPOINTS["/calendars/schedules/search"], size), fetch)
    assert error is None
    assert found == [entity.body for entity in entities(names)]
    assert len(asked) == 1 or count >= size


def test_a_list_that_ghl_does_not_page_is_whole_if_it_is_less_than_a_page() -> None:
    whole = sized(ENDPOINTS["/calendars/{calendarId}/notifications"], 3).in_fallback()
    for count, kind in ((2, None), (3, ErrorKind.PAGING)):
        names = entities([str(number) for number in range(count)])
        given = Answer(entities=names)
        found, error = followed(whole, lambda _query, given=given: given)  # type: ignore[misc] # bound here
        assert found == [entity.body for entity in names]
        assert (error.kind if error else None) == kind


def test_a_page_that_comes_again_in_the_place_of_the_next_one_is_named() -> None:
    """In a list that is followed in spite of changes too."""
    same = sized(OFFSET, 2)
    given = pages(same, lambda _query: Answer(entities=entities(["a", "b"]), has_more=True), is_repeated=True)
    assert next(given).new == entities(["a", "b"])
    with pytest.raises(GhlError, match="a page again in the place of the next one"):
        list(given)


def test_entities_without_an_id_are_told_apart_by_their_bytes() -> None:
    page = Answer(
        entities=tuple(Entity(body=body, endpoint="/list", entity_id=None) for body in (b"{}", b'{"a":1}')),
        has_more=True,
    )
    found, error = followed(OFFSET, lambda _query: page)
    assert found == [b"{}", b'{"a":1}']
    assert error is not None
    assert error.message == "GHL gave the same entity again on a later page"


def test_a_cursor_needs_an_id() -> None:
    page = Answer(entities=(Entity(body=b"{}", endpoint="/list", entity_id=None),), total=5)
    _, error = followed(CURSOR, lambda _query: page)
    assert error is not None
    assert "has no id, by which the next page would be asked" in error.message


def test_a_list_in_one_answer_that_leaves_entities_out_is_named_and_kept() -> None:
    found, error = followed(
        ENDPOINTS["/workflows/"], lambda _query: Answer(entities=entities(["a", "b"]), total=3)
    )
    assert len(found) == 2
    assert error is not None
    assert error.message == "the list ended after 2 entities, but GHL says there are 3"
