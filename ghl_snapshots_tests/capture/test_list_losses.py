"""A list that GHL changes, cuts short or gives twice is read whole, or what may be missing is said."""

import json
from collections.abc import Callable, Iterator

import pytest

from ghl_snapshots.core.errors import ErrorKind
from ghl_snapshots.core.model import Capture, SnapshotType, Status
from ghl_snapshots.ghl.endpoint import Endpoint
from ghl_snapshots.ghl.endpoints import LOCATION_SEARCH
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.accounts import Location
from ghl_snapshots.simulator.faults import Fault, Meanwhile, ReplaceBody, Respond, ShortPage
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.ghl.rig import ENDPOINTS, Rig, installed, rigged, tenant_of, token_database

NEW_ROOM = b'{"_id":"a-new-room","name":"New"}'
SMALL = {
    "workflows": 3,
    "rooms": 230,
    "voice_ai_agents": 60,
    "conversation_ai_agents": 101,
    "agent_studio_agents": 60,
}
LISTS = {
    "/voice-ai/agents": "voice_ai_agents",
    "/conversation-ai/agents/search": "conversation_ai_agents",
    "/agent-studio/agent": "agent_studio_agents",
}
WITH_TOTAL = pytest.mark.parametrize("path", LISTS)
IN_ONE_ANSWER = [ENDPOINTS["/workflows/"], ENDPOINTS["/calendars/groups"]]
BY_ENDPOINT = pytest.mark.parametrize("endpoint", IN_ONE_ANSWER, ids=lambda endpoint: endpoint.path)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(generated_accounts(3, tenants=1, sizes=SMALL), burst_limit=10**9) as simulator:
        yield simulator


@pytest.fixture
def location(simulator: Simulator) -> Location:
    location = simulator.accounts.single_locations[0]
    location.children["agent_actions"].clear()
    return location


@pytest.fixture
def rig(simulator: Simulator) -> Iterator[Rig]:
    with rigged(simulator) as rig:
        yield rig


def page_size(path: str) -> int:
    paging = ENDPOINTS[path].paging
    assert paging is not None
    return paging.size


def bodies(capture: Capture, path: str) -> list[bytes]:
    """The captured entities of an endpoint."""
    return [bytes(entity.body) for entity in capture.entities if entity.endpoint == path]


def requests(capture: Capture, path: str) -> list[tuple[int, int]]:
    """Offset among the endpoint's entities and count of each request of it that contributed."""
    own = [request for request in capture.requests if request.endpoint == path]
    return [(request.offset - own[0].offset, request.count) for request in own]


@WITH_TOTAL
def test_a_list_from_which_something_is_deleted_between_pages_is_read_again_and_whole(
    rig: Rig, simulator: Simulator, location: Location, path: str
) -> None:
    """The later pages move up by one, and what was first on the second page would be on neither."""
    agents = location.entities[LISTS[path]]
    simulator.inject(Fault(effect=Meanwhile(happens=lambda: agents.pop(1)), route=path, after=1, times=1))
    capture = rig.capture(rig.pit(location), SnapshotType.AI_WORKERS)
    assert (capture.status, capture.errors) == (Status.SUCCESS, ())
    assert bodies(capture, path) == agents
    assert sum(count for _, count in requests(capture, path)) == len(agents)
    assert capture.api_calls[path, 200] == 2 + len(requests(capture, path))


@WITH_TOTAL
def test_a_list_that_changes_again_and_again_is_read_twice_and_named(
    rig: Rig, simulator: Simulator, location: Location, path: str
) -> None:
    """What came stays captured; reading would never end if each change began it anew."""
    agents = location.entities[LISTS[path]]
    size = page_size(path)
    simulator.inject(Fault(effect=Meanwhile(happens=agents.pop), route=path))
    agents += [b'{"id":"more%d","agentId":"more%d"}' % (number, number) for number in range(size)]
    capture = rig.capture(rig.pit(location), SnapshotType.AI_WORKERS)
    [error] = [error for error in capture.errors if error.endpoint == path]
    assert capture.status is Status.PARTIAL_FAILURE
    assert error.kind is ErrorKind.PAGING
    assert error.message == (
        f"the list changed while its pages were read: GHL said there are {len(agents) + 1} entities, and on "
        f"a later page that there are {len(agents)}"
    )
    assert capture.has_more
    kept = bodies(capture, path)
    assert len(kept) > size, "the page on which the change was seen is kept too"
    assert kept == agents[: len(kept)]
    assert capture.api_calls[path, 200] == 4


@WITH_TOTAL
def test_what_came_of_a_changed_list_is_kept_if_it_cannot_be_read_again(
    rig: Rig, simulator: Simulator, location: Location, path: str
) -> None:
    agents = location.entities[LISTS[path]]
    size = page_size(path)
    simulator.inject(Fault(effect=Meanwhile(happens=agents.pop), route=path, after=1, times=1))
    simulator.inject(Fault(effect=Respond(status=404, body=b'{"message":"x"}'), route=path, after=1))
    capture = rig.capture(rig.pit(location), SnapshotType.AI_WORKERS)
    [error] = capture.errors
    assert (error.endpoint, error.kind, error.status) == (path, ErrorKind.NOT_FOUND, 404)
    assert capture.status is Status.PARTIAL_FAILURE
    assert bodies(capture, path) == agents[:size]
    assert requests(capture, path) == [(0, size)]


@BY_ENDPOINT
def test_an_entity_that_comes_twice_in_one_answer_is_kept_twice_and_flagged(
    rig: Rig, simulator: Simulator, location: Location, endpoint: Endpoint
) -> None:
    twice = f'{{"{endpoint.items[0]}":[{{"id":"a","n":1}},{{"id":"b"}},{{"id":"a","n":2}}]}}'.encode()
    simulator.inject(Fault(effect=ReplaceBody(change=lambda _: twice), route=endpoint.path))
    capture = rig.capture(rig.pit(location), endpoint.snapshot_type)
    assert (capture.status, capture.errors) == (Status.SUCCESS, ())
    assert bodies(capture, endpoint.path) == [b'{"id":"a","n":1}', b'{"id":"b"}', b'{"id":"a","n":2}']
    [duplicate] = capture.duplicates
    assert (duplicate.endpoint, duplicate.entity_id) == (endpoint.path, "a")


@pytest.mark.parametrize(
    ("envelope", "message"),
    [
        ({"hasMore": True}, "GHL says that more follow in a list that it gives in one answer"),
        ({"total": 3}, "the list ended after 2 entities, but GHL says there are 3"),
        ({"totalCount": 1}, "GHL gave 2 entities, but says there are 1"),
        ({"pagination": {"total": 0}}, "GHL gave 2 entities, but says there are 0"),
    ],
)
@BY_ENDPOINT
def test_one_answer_that_says_it_is_not_the_whole_list_is_kept_and_named(
    rig: Rig,
    simulator: Simulator,
    location: Location,
    endpoint: Endpoint,
    envelope: dict[str, object],
    message: str,
) -> None:
    two = json.dumps({**envelope, endpoint.items[0]: [{"id": "a"}, {"id": "b"}]}).encode()
    simulator.inject(Fault(effect=ReplaceBody(change=lambda _: two), route=endpoint.path))
    capture = rig.capture(rig.pit(location), endpoint.snapshot_type)
    [error] = capture.errors
    assert (error.endpoint, error.kind, error.message) == (endpoint.path, ErrorKind.PAGING, message)
    assert bodies(capture, endpoint.path) == [b'{"id": "a"}', b'{"id": "b"}']
    assert capture.has_more


@BY_ENDPOINT
def test_one_answer_whose_total_fits_is_whole(
    rig: Rig, simulator: Simulator, location: Location, endpoint: Endpoint
) -> None:
    two = json.dumps({"total": 2, "hasMore": False, endpoint.items[0]: [{"id": "a"}, {"id": "b"}]}).encode()
    simulator.inject(Fault(effect=ReplaceBody(change=lambda _: two), route=endpoint.path))
    assert rig.capture(rig.pit(location), endpoint.snapshot_type).errors == ()


def test_a_short_page_in_the_middle_of_a_list_without_a_total_loses_nothing(
    rig: Rig, simulator: Simulator, location: Location
) -> None:
    path = "/calendars/resources/rooms"
    simulator.inject(Fault(effect=ShortPage(entities=30), route=path, after=1, times=1))
    capture = rig.capture(rig.pit(location), SnapshotType.CALENDARS)
    assert (capture.status, capture.errors) == (Status.SUCCESS, ())
    assert bodies(capture, path) == location.entities["rooms"]
    assert requests(capture, path) == [(0, 100), (100, 29), (129, 100), (229, 1), (230, 0)]


@pytest.mark.parametrize(
    "change", [lambda rooms: rooms.pop(1), lambda rooms: rooms.insert(1, NEW_ROOM)], ids=["pop", "insert"]
)
def test_a_list_without_a_total_that_moves_between_pages_is_read_again_and_whole(
    rig: Rig, simulator: Simulator, location: Location, change: Callable[[list[bytes]], object]
) -> None:
    path, rooms = "/calendars/resources/rooms", location.entities["rooms"]
    simulator.inject(Fault(effect=Meanwhile(happens=lambda: change(rooms)), route=path, after=1, times=1))
    capture = rig.capture(rig.pit(location), SnapshotType.CALENDARS)
    assert (capture.status, capture.errors) == (Status.SUCCESS, ())
    assert bodies(capture, path) == rooms
    assert capture.api_calls[path, 200] == 2 + len(requests(capture, path))


def test_a_short_list_that_moves_before_its_end_is_seen_is_read_again_and_whole(
    rig: Rig, simulator: Simulator, location: Location
) -> None:
    """The last entity comes again on the page that was to be empty."""
    path, rooms = "/calendars/resources/rooms", location.entities["rooms"]
    del rooms[5:]
    happens = Meanwhile(happens=lambda: rooms.insert(0, NEW_ROOM))
    simulator.inject(Fault(effect=happens, route=path, after=1, times=1))
    capture = rig.capture(rig.pit(location), SnapshotType.CALENDARS)
    assert (capture.status, capture.errors) == (Status.SUCCESS, ())
    assert bodies(capture, path) == rooms


def test_a_list_without_a_total_that_moves_again_and_again_is_read_twice_and_named(
    rig: Rig, simulator: Simulator, location: Location
) -> None:
    path, rooms = "/calendars/resources/rooms", location.entities["rooms"]
    simulator.inject(Fault(effect=Meanwhile(happens=lambda: rooms.pop(0)), route=path))
    capture = rig.capture(rig.pit(location), SnapshotType.CALENDARS)
    [error] = capture.errors
    assert (error.endpoint, error.kind, error.cursor) == (path, ErrorKind.PAGING, "100")
    assert error.message.startswith("the list changed while its pages were read: entity '")
    assert error.message.endswith("', with which a page ended, did not come again at the same place")
    assert capture.status is Status.PARTIAL_FAILURE
    assert [offset for offset, _ in requests(capture, path)] == [0, 100]
    assert capture.api_calls[path, 200] == 4


@pytest.fixture
def many() -> Iterator[Simulator]:
    """An agency with more locations than a page of its list holds."""
    accounts = generated_accounts(4, tenants=1, locations_per_agency=130, sizes={"workflows": 1})
    with Simulator(accounts, burst_limit=10**9) as simulator:
        yield simulator


@pytest.fixture
def company(many: Simulator, postgres: EmbeddedPostgres) -> Iterator[Callable[[], Capture]]:
    """Captures the agency's workflows."""
    agency = next(iter(many.accounts.agencies.values()))
    with (
        token_database(postgres) as database,
        rigged(many, store=installed(database, agency, tenant_id="agency")) as rig,
    ):
        tenant = tenant_of(agency, credential="oauth", tenant_id="agency")
        yield lambda: rig.capture(tenant, SnapshotType.WORKFLOWS)


def test_a_short_page_of_locations_loses_no_location(many: Simulator, company: Callable[[], Capture]) -> None:
    many.inject(Fault(effect=ShortPage(entities=10), route=LOCATION_SEARCH.path, after=1, times=1))
    capture = company()
    assert (capture.status, capture.errors) == (Status.SUCCESS, ())
    assert [entity.location_id for entity in capture.entities] == _locations(many)


@pytest.mark.parametrize("status", [403, 404])
def test_a_page_of_locations_that_is_refused_costs_only_the_locations_after_it(
    many: Simulator, company: Callable[[], Capture], status: int
) -> None:
    """GHL answers 403 to what concerns one location; it must not end the others, which are known already."""
    body = b'{"message":"The token does not have access to this location."}'
    refusal = Respond(status=status, body=body)
    many.inject(Fault(effect=refusal, route=LOCATION_SEARCH.path, query={"skip": "99"}))
    capture = company()
    [error] = capture.errors
    assert (error.endpoint, error.location_id, error.cursor) == (LOCATION_SEARCH.name, None, "100")
    assert error.status == status
    assert capture.status is Status.PARTIAL_FAILURE
    assert [entity.location_id for entity in capture.entities] == _locations(many)[:100]


def test_an_agency_that_loses_a_location_between_pages_is_listed_again(
    many: Simulator, company: Callable[[], Capture]
) -> None:
    gone = _locations(many)[3]
    happens = Meanwhile(happens=lambda: _locations(many).remove(gone))
    many.inject(Fault(effect=happens, route=LOCATION_SEARCH.path, after=1, times=1))
    capture = company()
    assert [entity.location_id for entity in capture.entities if entity.location_id != gone] == _locations(
        many
    )
    assert len(_locations(many)) == 129


def _locations(many: Simulator) -> list[str]:
    return next(iter(many.accounts.agencies.values())).location_ids
