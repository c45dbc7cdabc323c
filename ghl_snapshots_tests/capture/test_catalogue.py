"""Every row of the catalogue: what GHL holds is captured to the last page, and what is missing is said."""

import json
import re
from collections.abc import Iterator

import pytest

from ghl_snapshots.core.errors import ErrorKind
from ghl_snapshots.core.model import AccountKind, Capture, LeftOutReason, SnapshotType, Status, Tenant
from ghl_snapshots.ghl.endpoint import Endpoint, Shape
from ghl_snapshots.ghl.endpoints import ENDPOINTS, endpoints_of
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.ledger.queries import query
from ghl_snapshots.simulator.accounts import Agency, Location
from ghl_snapshots.simulator.content import CHILD_KINDS
from ghl_snapshots.simulator.error_answers import Refuse
from ghl_snapshots.simulator.faults import Effect, Fault, ReplaceBody, Respond, ShortPage
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.routes import ROUTES
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.ghl.endpoints_document import DOCUMENT, document
from ghl_snapshots_tests.ghl.rig import ENDPOINTS as BY_PATH
from ghl_snapshots_tests.ghl.rig import Rig, held_by_ghl, rigged

SIZES = {
    "templates": 5,
    "object_schemas": 4,
    "lost_reasons": 5,
    "calendars": 10,
    "rooms": 5,
    "equipments": 5,
    "schedules": 101,
    "voice_ai_agents": 5,
    "conversation_ai_agents": 5,
    "agent_studio_agents": 8,
    "knowledge_bases": 4,
}
"""So many that there are several pages, an inactive studio agent, event calendars with and without hours."""
OF_LOCATIONS = [endpoint for endpoint in ENDPOINTS if endpoint.account is AccountKind.LOCATION]
BY_ENDPOINT = pytest.mark.parametrize("endpoint", OF_LOCATIONS, ids=lambda endpoint: endpoint.path)
ROOMS, HOURS = "/calendars/resources/rooms", "/calendars/schedules/event-calendar/{calendarId}"
SCHEDULES = "/calendars/schedules/search"
NOTIFICATIONS = "/calendars/{calendarId}/notifications"
NOT_GRANTED = Refuse(status=401, message="The token is not authorized for this scope.")


@pytest.fixture(scope="module")
def world() -> Iterator[Simulator]:
    """One location, whose lists come in pages of three where that is no sign of their end."""
    with Simulator(generated_accounts(3, tenants=1, sizes=SIZES), burst_limit=10**9) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def place(world: Simulator) -> Location:
    [location] = world.accounts.single_locations
    first = next(iter(location.children["notifications"]))
    location.children["notifications"][first] = [
        b'{"_id":"n%d","isActive":true}' % number for number in range(101)
    ]
    first = next(iter(location.children["knowledge_base_files"]))
    location.children["knowledge_base_files"][first] = [b'{"id":"f%d"}' % number for number in range(11)]
    return location


@pytest.fixture(scope="module")
def shared_rig(world: Simulator) -> Iterator[Rig]:
    with rigged(world) as rig:
        yield rig


@pytest.fixture
def rig(shared_rig: Rig, world: Simulator) -> Iterator[Rig]:
    yield shared_rig
    world.clear_faults()


@pytest.fixture(scope="module")
def captures(shared_rig: Rig, world: Simulator, place: Location) -> dict[SnapshotType, Capture]:
    """A capture of each type, of which many tests see a part."""
    for route in ROUTES:
        paging = BY_PATH[route.template].paging
        if paging is not None and not paging.short_is_last:
            world.inject(Fault(effect=ShortPage(entities=3), route=route.template))
    tenant = shared_rig.pit(place)
    made = {snapshot_type: shared_rig.capture(tenant, snapshot_type) for snapshot_type in SnapshotType}
    world.clear_faults()
    return made


def of(capture: Capture, endpoint: Endpoint) -> list[bytes]:
    return [bytes(entity.body) for entity in capture.entities if entity.endpoint == endpoint.name]


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
def test_a_row_is_whole(endpoint: Endpoint) -> None:
    """It has a scope and a description, what its path takes is there, and the simulated GHL serves it."""
    [route] = [route for route in ROUTES if route.template == endpoint.path]
    assert (route.version, route.scope) == (endpoint.api_version, endpoint.scope)
    assert route.in_document == (not endpoint.source)
    assert endpoint.scope.endswith("readonly")
    assert endpoint.holds
    place = f"'{{{endpoint.id.replace('.', ',') or 'id'}}}'"
    assert place in query("of_another_id"), "a verification finds the entity's id in its body"
    if endpoint.shape is Shape.OBJECT:
        assert endpoint.is_account or (endpoint.parent and not endpoint.parent.value), "its id is asked for"
    filled = {"locationId", "companyId", "appId"}
    if endpoint.parent is not None:
        earlier = ENDPOINTS[: ENDPOINTS.index(endpoint)]
        [parent] = [each for each in earlier if each.path == endpoint.parent.path]
        assert parent.snapshot_type is endpoint.snapshot_type
        filled.add(endpoint.parent.into)
    taken = re.findall(r"\{(\w+)\}", " ".join([endpoint.path, *dict(endpoint.query).values()]))
    assert set(taken) <= filled


def test_the_document_of_what_is_captured_is_current() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document()


def test_hourly_captures_take_three_calls_a_location() -> None:
    hourly = [*endpoints_of(SnapshotType.PIPELINES), *endpoints_of(SnapshotType.WORKFLOWS)]
    assert len(hourly) == 3


def test_all_captures_are_complete(captures: dict[SnapshotType, Capture]) -> None:
    assert {capture.status for capture in captures.values()} == {Status.SUCCESS}
    absent = {each.reason for capture in captures.values() for each in capture.left_out}
    assert absent == {LeftOutReason.ABSENT}, "an inactive agent, and a calendar without a schedule of its own"


@BY_ENDPOINT
def test_what_ghl_holds_is_captured_to_the_last_page_byte_for_byte(
    captures: dict[SnapshotType, Capture], place: Location, endpoint: Endpoint
) -> None:
    capture = captures[endpoint.snapshot_type]
    held = held_by_ghl(place, endpoint)
    assert held
    assert of(capture, endpoint) == held
    requests = [request for request in capture.requests if request.endpoint == endpoint.name]
    assert {request.api_version for request in requests} == {endpoint.api_version}
    if endpoint.paging is not None:
        parents = {request.parent_id for request in requests}
        assert len(requests) > len(parents), "more than a page"
    assert all(entity.entity_id for entity in capture.entities if entity.endpoint == endpoint.name)


@pytest.mark.parametrize(
    "endpoint", [each for each in OF_LOCATIONS if each.parent], ids=lambda endpoint: endpoint.path
)
def test_a_call_is_made_for_each_parent_that_may_have_something(
    captures: dict[SnapshotType, Capture], place: Location, endpoint: Endpoint
) -> None:
    [route] = [route for route in ROUTES if route.template == endpoint.path]
    capture = captures[endpoint.snapshot_type]
    asked = {request.parent_id for request in capture.requests if request.endpoint == endpoint.name}
    asked |= {each.parent_id for each in capture.left_out if each.endpoint == endpoint.name}
    parents = map(json.loads, place.entities[CHILD_KINDS[route.kind].parent])
    having = {
        parent[route.parent_field]
        for parent in parents
        if place.children[route.kind].get(parent.get("id") or parent[route.parent_field])
    }
    assert having <= asked
    if endpoint.parent and endpoint.parent.where:
        assert len(asked) < len(place.entities[CHILD_KINDS[route.kind].parent])


@BY_ENDPOINT
def test_a_missing_scope_costs_its_call_only_and_says_what_to_grant(
    rig: Rig, world: Simulator, place: Location, endpoint: Endpoint
) -> None:
    """What a snapshot can do without is left out; without the rest the snapshot is incomplete."""
    world.inject(Fault(effect=NOT_GRANTED, route=endpoint.path))
    capture = rig.capture(rig.pit(place), endpoint.snapshot_type)
    told = (
        capture.errors
        if endpoint.must
        else [e for e in capture.left_out if e.reason is not LeftOutReason.ABSENT]
    )
    assert told
    assert {each.endpoint for each in told} == {endpoint.name}
    assert all(f"grant the scope {endpoint.scope} to the token" in each.message for each in told)
    if endpoint.must:
        assert {error.kind for error in capture.errors} == {ErrorKind.MISSING_SCOPE}
    else:
        assert (capture.status, capture.errors) == (Status.SUCCESS, ())
        assert {each.reason for each in capture.left_out} - {LeftOutReason.ABSENT} == {
            LeftOutReason.NOT_GRANTED
        }
    assert of(capture, endpoint) == []
    assert capture.entities or endpoint.snapshot_type is SnapshotType.WORKFLOWS


@pytest.mark.parametrize(
    "endpoint",
    [each for each in OF_LOCATIONS if each.shape is Shape.OBJECT],
    ids=lambda endpoint: endpoint.path,
)
@pytest.mark.parametrize(
    "content",
    [{}, {"message": "x"}, {"agent": {"id": "x", "instructions": "y"}}, {"ID": "zzz", "instructions": "y"}],
    ids=["nothing", "a message", "wrapped", "another one"],
)
def test_a_detail_that_is_not_the_one_asked_for_is_an_error_of_its_call(
    rig: Rig, world: Simulator, place: Location, endpoint: Endpoint, content: dict[str, object]
) -> None:
    """Else an agent without its prompt would be a success."""
    body = {endpoint.id if name == "ID" else name: value for name, value in content.items()}
    key = endpoint.items[0]
    answer = json.dumps({key: body} if key else body).encode()
    world.inject(Fault(effect=Respond(status=200, body=answer), route=endpoint.path))
    capture = rig.capture(rig.pit(place), endpoint.snapshot_type)
    assert {error.endpoint for error in capture.errors} == {endpoint.name}
    own = endpoint.is_account and "ID" in content
    kinds = {ErrorKind.FORBIDDEN_LOCATION if own else ErrorKind.MALFORMED_RESPONSE}
    assert {error.kind for error in capture.errors} == kinds
    assert of(capture, endpoint) == []
    children = [each.path for each in OF_LOCATIONS if each.parent and each.parent.path == endpoint.path]
    assert not [request for request in capture.requests if request.endpoint in children]


@pytest.mark.parametrize(
    "endpoint", [each for each in OF_LOCATIONS if each.absent], ids=lambda endpoint: endpoint.path
)
def test_an_answer_that_there_is_none_is_no_failure(
    rig: Rig, world: Simulator, place: Location, endpoint: Endpoint
) -> None:
    world.inject(Fault(effect=Respond(status=404, body=b'{"message":"not found"}'), route=endpoint.path))
    capture = rig.capture(rig.pit(place), endpoint.snapshot_type)
    assert (capture.status, capture.errors) == (Status.SUCCESS, ())
    absent = [each for each in capture.left_out if each.endpoint == endpoint.name]
    assert {each.reason for each in absent} == {LeftOutReason.ABSENT}
    assert all((each.parent_id is None) == (endpoint.parent is None) for each in absent)


@pytest.mark.parametrize(
    "answer",
    [
        Refuse(status=404, message="Cannot GET /calendars/x"),
        Respond(status=404, body=b"<html><title>404 Not Found</title></html>"),
        Respond(status=404),
    ],
    ids=["an unknown path", "a page", "nothing"],
)
@pytest.mark.parametrize("path", [ROOMS, HOURS, "/agent-studio/agent/{agentId}"])
def test_that_there_is_none_counts_in_ghls_own_words_only(
    rig: Rig, world: Simulator, place: Location, path: str, answer: Effect
) -> None:
    """So GHL answers a wrong version of its API too, and a gateway anything at all."""
    world.inject(Fault(effect=answer, route=path))
    capture = rig.capture(rig.pit(place), BY_PATH[path].snapshot_type)
    assert capture.status is Status.PARTIAL_FAILURE
    assert {error.endpoint for error in capture.errors} == {path}
    assert not [each for each in capture.left_out if each.endpoint == path]


def test_an_account_in_which_nothing_is_set_up_is_captured_whole() -> None:
    accounts = generated_accounts(4, tenants=1)
    [location] = accounts.single_locations
    for kind in location.entities:
        if kind != "location":
            location.entities[kind] = []
    with Simulator(accounts, burst_limit=10**9) as simulator, rigged(simulator) as rig:
        made = [rig.capture(rig.pit(location), snapshot_type) for snapshot_type in SnapshotType]
        calls = sum(capture.api_call_count for capture in made)
    assert {(capture.status, capture.errors, capture.left_out) for capture in made} == {
        (Status.SUCCESS, (), ())
    }
    assert [bytes(entity.body) for capture in made for entity in capture.entities] == location.entities[
        "location"
    ]
    assert calls == len([endpoint for endpoint in OF_LOCATIONS if endpoint.parent is None])


def test_schedules_are_asked_for_by_user_where_ghl_wants_one(
    rig: Rig, world: Simulator, place: Location
) -> None:
    world.inject(
        Fault(effect=Refuse(status=422, message="userId should not be empty"), route=SCHEDULES, times=1)
    )
    capture = rig.capture(rig.pit(place), SnapshotType.CALENDARS)
    assert (capture.status, capture.errors) == (Status.SUCCESS, ())
    asked = [request.parent_id for request in capture.requests if request.endpoint == SCHEDULES]
    users = [
        member["userId"] for body in place.entities["calendars"] for member in json.loads(body)["teamMembers"]
    ]
    assert list(dict.fromkeys(asked)) == list(dict.fromkeys(users))
    assert sorted(of(capture, BY_PATH[SCHEDULES])) == sorted(place.entities["schedules"])


def test_schedules_that_ghl_gives_for_no_user_are_an_error_of_the_calendars_alone(
    rig: Rig, world: Simulator, place: Location
) -> None:
    world.inject(Fault(effect=Refuse(status=400, message="userId should not be empty"), route=SCHEDULES))
    world.inject(Fault(effect=Refuse(status=404, message="Not found"), route="/calendars/"))
    capture = rig.capture(rig.pit(place), SnapshotType.CALENDARS)
    assert [(error.endpoint, error.kind) for error in capture.errors] == [
        ("/calendars/", ErrorKind.NOT_FOUND),
        (SCHEDULES, ErrorKind.INVALID_REQUEST),
    ]


@pytest.mark.parametrize(
    ("count", "is_asked"),
    [
        (0, False),
        (0.0, False),
        ("0", False),
        ("00", False),
        (2.0, True),
        ("2 ", True),
        ("many", True),
        (-1, True),
        (True, True),
        ([1], True),
        (None, True),
        ("", True),
        (10, True),
        ("0x", True),
    ],
)
def test_only_a_count_that_reads_as_zero_saves_a_call(
    rig: Rig, world: Simulator, place: Location, count: object, *, is_asked: bool
) -> None:
    def change(body: bytes) -> bytes:
        answer = json.loads(body)
        answer["data"]["kbMetadata"] = dict.fromkeys(("faqs", "urls", "files"), count)
        return json.dumps(answer).encode()

    world.inject(Fault(effect=ReplaceBody(change=change), route="/knowledge-bases/{knowledgeBaseId}"))
    capture = rig.capture(rig.pit(place), SnapshotType.AI_WORKERS)
    paths = {f"/knowledge-bases/{name}" for name in ("faqs", "crawler", "files")}
    assert {request.endpoint for request in capture.requests} & paths == (paths if is_asked else set())


def test_no_channel_of_a_kind_is_an_empty_list(rig: Rig, world: Simulator, place: Location) -> None:
    """The documents mark SMS and Email as optional."""
    path = "/locations/{locationId}/conversationChannels/SMS"
    world.inject(Fault(effect=Respond(status=200, body=b'{"conversationChannel":{}}'), route=path))
    capture = rig.capture(rig.pit(place), SnapshotType.LOCATIONS)
    assert (capture.status, capture.errors) == (Status.SUCCESS, ())
    assert of(capture, BY_PATH[path]) == []


@pytest.mark.parametrize("calendars", ["without members", "not in the plan"])
def test_schedules_that_cannot_be_asked_for_by_user_are_an_error(
    rig: Rig, world: Simulator, place: Location, monkeypatch: pytest.MonkeyPatch, calendars: str
) -> None:
    """Else a location would seem to have none."""
    refused = Refuse(status=422, message="userId should not be empty")
    world.inject(Fault(effect=refused, route=SCHEDULES))
    bare = [
        json.dumps({**json.loads(body), "teamMembers": []}).encode() for body in place.entities["calendars"]
    ]
    with monkeypatch.context() as patched:
        if calendars == "without members":
            patched.setitem(place.entities, "calendars", bare)
        else:
            patched.setattr(place, "lacking_features", {"/calendars/"})
        capture = rig.capture(rig.pit(place), SnapshotType.CALENDARS)
    [error] = capture.errors
    assert (error.endpoint, error.kind) == (SCHEDULES, ErrorKind.INVALID_REQUEST)
    assert refused.message in error.message


def test_notifications_are_asked_for_without_a_limit_where_ghl_takes_none(
    rig: Rig, world: Simulator, place: Location
) -> None:
    endpoint = BY_PATH[NOTIFICATIONS]
    first, *others = place.children["notifications"]
    refused = Refuse(status=400, message="limit must be a number conforming to the specified constraints")
    world.inject(Fault(effect=refused, route=NOTIFICATIONS, query={"limit": "100"}))
    capture = rig.capture(rig.pit(place), SnapshotType.CALENDARS)
    [error] = capture.errors
    assert (error.endpoint, error.parent_id, error.kind) == (NOTIFICATIONS, first, ErrorKind.PAGING)
    captured, held = of(capture, endpoint), place.children["notifications"]
    assert captured[:100] == held[first][:100]
    assert [body for body in captured if body not in held[first]] == [
        body for parent_id in others for body in held[parent_id]
    ]


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("conversation_ai_details", b"Your goal is a booked appointment", b"Your goal is a sale"),
        ("agent_studio_details", b"# Frequent questions", b"# Questions"),
        ("faqs", b"free parking", b"no parking"),
        ("event_schedules", b"18:00", b"17:00"),
        ("notifications", b"we look forward", b"we are happy"),
    ],
)
def test_a_change_deep_in_the_configuration_is_a_new_entity_and_a_new_checksum(
    rig: Rig, captures: dict[SnapshotType, Capture], place: Location, kind: str, before: bytes, after: bytes
) -> None:
    [path] = [route.template for route in ROUTES if route.kind == kind]
    endpoint = BY_PATH[path]
    old = captures[endpoint.snapshot_type]
    tenant = rig.pit(place)
    assert rig.capture(tenant, endpoint.snapshot_type).checksum == old.checksum, "nothing has changed"
    parent_id, number = next(
        (parent_id, number)
        for parent_id, bodies in place.children[kind].items()
        for number, body in enumerate(bodies)
        if before in body
    )
    body = place.children[kind][parent_id][number]
    place.children[kind][parent_id][number] = body.replace(before, after)
    new = rig.capture(tenant, endpoint.snapshot_type)
    place.children[kind][parent_id][number] = body
    assert new.checksum != old.checksum
    [entity] = {
        entity for entity in new.entities if entity.digest not in {each.digest for each in old.entities}
    }
    assert (entity.endpoint, bytes(entity.body)) == (endpoint.name, body.replace(before, after))


def test_the_agency_itself_is_left_out_where_its_scope_is_missing(
    simulator: Simulator, store: OAuthTokens, agency: Agency, company: Tenant
) -> None:
    with rigged(simulator, store=store) as rig:
        whole = rig.capture(company, SnapshotType.LOCATIONS)
        agency.scopes.remove("companies.readonly")
        without = rig.capture(company, SnapshotType.LOCATIONS)
    assert bytes(whole.entities[0].body) == agency.entities["company"][0]
    assert json.loads(bytes(whole.entities[0].body))["locationCount"] == len(agency.location_ids)
    assert (without.status, without.entities) == (Status.SUCCESS, whole.entities[1:])
    [left_out] = without.left_out
    assert (left_out.endpoint, left_out.reason) == ("/companies/{companyId}", LeftOutReason.NOT_GRANTED)
