"""A capture holds everything, in order and byte for byte, or says exactly what is missing and why."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from ghl_snapshots.core.errors import ErrorKind
from ghl_snapshots.core.model import Capture, LeftOutReason, SnapshotType, Source, Status, Tenant
from ghl_snapshots.ghl.endpoint import Endpoint, Shape
from ghl_snapshots.ghl.endpoints import INSTALLED_LOCATIONS, LOCATION_SEARCH, endpoints_of
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.accounts import Agency, Location
from ghl_snapshots.simulator.faults import Effect, Fault, Hang, ReplaceBody, Respond, StuckPage, Wire
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.ghl.rig import ENDPOINTS, Rig, held_by_ghl, rigged, tenant_of, token_database

ACTIONS = "/conversation-ai/agents/{agentId}/actions/list"
GONE = Respond(status=404, body=b'{"statusCode":404,"message":"gone"}')


@dataclass(frozen=True, slots=True)
class StopServing(Effect):
    """The whole GHL goes away."""

    simulator: Simulator

    def deliver(self, wire: Wire, head: bytes, body: bytes) -> None:
        """Stop, which breaks off this exchange too."""
        threading.Thread(target=self.simulator.stop).start()
        wire.pause(60)


@pytest.fixture(scope="module")
def database(postgres: EmbeddedPostgres) -> Iterator[Database]:
    with token_database(postgres) as database:
        yield database


@pytest.fixture
def rig(simulator: Simulator, store: OAuthTokens) -> Iterator[Rig]:
    with rigged(simulator, store=store) as rig:
        yield rig


def expected(location: Location, snapshot_type: SnapshotType) -> list[bytes]:
    """What the simulated GHL holds of a type, in the order of the catalogue."""
    return [body for endpoint in endpoints_of(snapshot_type) for body in held_by_ghl(location, endpoint)]


def without_parent(snapshot_type: SnapshotType) -> list[Endpoint]:
    """The calls of a type that are made for each location."""
    return [endpoint for endpoint in endpoints_of(snapshot_type) if endpoint.parent is None]


def captured_locations(capture: Capture) -> set[str]:
    """The locations of which the capture holds something."""
    return {entity.location_id for entity in capture.entities if entity.location_id}


def bodies(capture: Capture) -> list[bytes]:
    return [bytes(entity.body) for entity in capture.entities]


@pytest.mark.parametrize("snapshot_type", list(SnapshotType))
def test_a_location_is_captured_whole_in_order_and_byte_for_byte(
    rig: Rig, snapshot_type: SnapshotType
) -> None:
    for location in rig.simulator.accounts.single_locations:
        capture = rig.capture(rig.pit(location), snapshot_type)
        assert (capture.status, capture.errors) == (Status.SUCCESS, ())
        assert bodies(capture) == expected(location, snapshot_type)


@pytest.mark.parametrize("snapshot_type", list(SnapshotType))
def test_an_agency_is_captured_location_by_location(
    rig: Rig, agency: Agency, company: Tenant, snapshot_type: SnapshotType
) -> None:
    capture = rig.capture(company, snapshot_type)
    locations = [rig.simulator.accounts.locations[name] for name in agency.location_ids]
    assert (capture.status, capture.errors) == (Status.SUCCESS, ())
    own = agency.entities["company"] if snapshot_type is SnapshotType.LOCATIONS else []
    of_locations = [body for location in locations for body in expected(location, snapshot_type)]
    assert bodies(capture) == [*own, *of_locations]
    assert not capture.has_more


def test_two_captures_of_the_same_configuration_have_the_same_checksum(rig: Rig, company: Tenant) -> None:
    first, second = (rig.capture(company, SnapshotType.AI_WORKERS) for _ in range(2))
    assert first.checksum == second.checksum


def test_what_json_allows_is_kept_byte_for_byte(rig: Rig) -> None:
    location = rig.simulator.accounts.single_locations[0]
    odd = [
        b'{"id":"a","id2":1.10,"big":1234567890123456789012345678901234567890,"e":1E5}',
        b'{ "id" : "b", "twice":1, "twice":2, "lone":"\\ud800", "nul":"\\u0000" }',
        '{"id":"c","text":"\U0001f469\u200d\U0001f680 \\u00e9"}'.encode(),
        b'{"id":"d","long":"' + b"x" * 200_000 + b'","digits":' + b"9" * 5_000 + b"}",
        b'{"id":"e","deep":' + b"[" * 150 + b"]" * 150 + b"}",
        b"{}",
    ]
    location.entities["workflows"] = odd
    assert bodies(rig.capture(rig.pit(location))) == odd


def test_every_request_says_where_its_entities_came_from(rig: Rig, agency: Agency, company: Tenant) -> None:
    before = datetime.now(UTC)
    capture = rig.capture(company, SnapshotType.AI_WORKERS)
    names = {INSTALLED_LOCATIONS.name, LOCATION_SEARCH.name}
    listing = [request for request in capture.requests if request.endpoint in names]
    others = capture.requests[len(listing) :]
    assert {request.endpoint for request in listing} == names
    assert {(request.offset, request.count) for request in listing} == {(0, 0)}
    position = 0
    for request in others:
        assert request.offset == position
        position += request.count
        for entity in capture.entities[request.offset : position]:
            assert entity.endpoint == request.endpoint
            assert entity.location_id == request.location_id
        endpoint = ENDPOINTS[request.endpoint]
        assert (request.status, request.api_version, request.attempts) == (200, endpoint.api_version, 1)
        is_whole_body = endpoint.shape is Shape.OBJECT and endpoint.items == ("",)
        assert is_whole_body == (request.trace_id is None)
        assert before <= request.requested_at <= datetime.now(UTC)
        assert request.duration_ms >= 0
        assert (request.parent_id is None) == (endpoint.parent is None)
    assert position == capture.record_count
    assert {request.location_id for request in others} == set(agency.location_ids)
    trace_ids = [request.trace_id for request in capture.requests if request.trace_id]
    assert len(set(trace_ids)) == len(trace_ids)


def test_every_request_sent_is_counted_by_endpoint_and_status(rig: Rig, company: Tenant) -> None:
    rig.simulator.inject(Fault(effect=Respond(status=503), route="/workflows/", times=1))
    capture = rig.capture(company)
    assert capture.api_call_count == len(rig.simulator.request_log)
    assert capture.api_calls["/workflows/", 503] == 1
    assert capture.api_calls["/workflows/", 200] == 3
    assert capture.api_calls["/oauth/token", 200] == 1
    assert capture.api_calls["/oauth/locationToken", 200] == 3


def test_a_failing_endpoint_costs_no_other_endpoint(rig: Rig) -> None:
    location = rig.simulator.accounts.single_locations[1]
    rig.simulator.inject(Fault(effect=GONE, route="/calendars/groups"))
    capture = rig.capture(rig.pit(location), SnapshotType.CALENDARS)
    (error,) = capture.errors
    assert capture.status is Status.PARTIAL_FAILURE
    assert (error.endpoint, error.location_id) == ("/calendars/groups", location.location_id)
    assert (error.kind, error.status, error.attempts) == (ErrorKind.NOT_FOUND, 404, 1)
    left = {entity.endpoint for entity in capture.entities}
    assert left == {endpoint.name for endpoint in endpoints_of(SnapshotType.CALENDARS)} - {error.endpoint}
    assert capture.has_more


def test_a_failing_page_costs_no_page_before_it(rig: Rig) -> None:
    """Not even by a 404, which would say of the whole list that there is none."""
    location = rig.simulator.accounts.single_locations[1]
    assert len(location.entities["rooms"]) > 100
    rig.simulator.inject(Fault(effect=GONE, route="/calendars/resources/rooms", query={"skip": "99"}))
    capture = rig.capture(rig.pit(location), SnapshotType.CALENDARS)
    (error,) = capture.errors
    rooms = [bytes(entity.body) for entity in capture.entities if entity.endpoint == error.endpoint]
    assert rooms == location.entities["rooms"][:100]
    assert error.cursor == capture.next_cursor == "100"


def test_a_failing_location_costs_no_other_location(rig: Rig, agency: Agency, company: Tenant) -> None:
    lost = agency.location_ids[1]
    rig.simulator.inject(Fault(effect=GONE, location_id=lost, route="/workflows/"))
    capture = rig.capture(company)
    assert capture.status is Status.PARTIAL_FAILURE
    assert [error.location_id for error in capture.errors] == [lost]
    assert {entity.location_id for entity in capture.entities} == set(agency.location_ids) - {lost}


def test_a_forbidden_location_costs_no_other_location(
    simulator: Simulator, store: OAuthTokens, agency: Agency, company: Tenant
) -> None:
    lost = agency.location_ids[0]
    refusal = Respond(status=403, body=b'{"message":"The token does not have access to this location."}')
    with rigged(simulator, store=store, concurrency=1) as rig:
        assert rig.capture(company).status is Status.SUCCESS
        simulator.inject(Fault(effect=refusal, location_id=lost))
        capture = rig.capture(company, SnapshotType.LOCATIONS)
    assert {error.location_id for error in capture.errors} == {lost}
    assert {error.kind for error in capture.errors} == {ErrorKind.FORBIDDEN_LOCATION}
    assert len(capture.errors) == len(without_parent(SnapshotType.LOCATIONS))
    assert captured_locations(capture) == set(agency.location_ids) - {lost}


def test_a_location_token_that_is_not_given_is_asked_for_once(
    rig: Rig, agency: Agency, company: Tenant
) -> None:
    lost = agency.location_ids[0]
    injected = rig.simulator.inject(Fault(effect=GONE, location_id=lost, route="/oauth/locationToken"))
    capture = rig.capture(company, SnapshotType.LOCATIONS)
    assert injected.hits == 1
    assert {error.location_id for error in capture.errors} == {lost}
    assert len(capture.errors) == len(without_parent(SnapshotType.LOCATIONS))
    assert captured_locations(capture) == set(agency.location_ids) - {lost}


def test_a_failing_agent_costs_no_other_agents_actions(rig: Rig) -> None:
    location = rig.simulator.accounts.single_locations[1]
    agent_id = json.loads(location.entities["conversation_ai_agents"][1])["id"]
    rig.simulator.inject(Fault(effect=GONE, agent_id=agent_id))
    capture = rig.capture(rig.pit(location), SnapshotType.AI_WORKERS)
    lost = set(location.children["agent_actions"][agent_id])
    lost |= set(location.children["conversation_ai_details"][agent_id])
    assert [(error.endpoint, error.parent_id) for error in capture.errors] == [
        ("/conversation-ai/agents/{agentId}", agent_id),
        (ACTIONS, agent_id),
    ]
    assert bodies(capture) == [
        body for body in expected(location, SnapshotType.AI_WORKERS) if body not in lost
    ]


def test_a_missing_scope_costs_its_endpoint_only_and_names_itself(rig: Rig) -> None:
    location = rig.simulator.accounts.single_locations[0]
    location.scopes.discard("locations/tags.readonly")
    capture = rig.capture(rig.pit(location), SnapshotType.LOCATIONS)
    (error,) = capture.errors
    assert (error.kind, error.status) == (ErrorKind.MISSING_SCOPE, 401)
    assert "grant the scope locations/tags.readonly to the token of env:" in error.message


def test_a_wrong_token_ends_the_tenant_and_no_other(rig: Rig) -> None:
    good, bad = rig.simulator.accounts.single_locations
    tenants = [rig.pit(good), rig.pit(bad)]
    rig.environment[tenants[1].credential.removeprefix("env:")] = "pit-wrong"
    captures = {capture.tenant_id: capture for capture in rig.capture_all(tenants)}
    fine, lost = (captures[tenant.tenant_id] for tenant in tenants)
    assert (fine.status, lost.status) == (Status.SUCCESS, Status.FAILED)
    (error,) = lost.errors
    assert error.kind is ErrorKind.INVALID_CREDENTIAL
    assert tenants[1].credential in error.message
    assert "pit-wrong" not in error.message


@pytest.mark.parametrize(
    ("snapshot_type", "calls"), [(SnapshotType.LOCATIONS, 8), (SnapshotType.PIPELINES, 4)]
)
def test_a_refused_token_costs_each_call_and_the_two_witnesses_once(
    simulator: Simulator, snapshot_type: SnapshotType, calls: int
) -> None:
    location = simulator.accounts.single_locations[0]
    with rigged(simulator) as rig:
        tenant = rig.pit(location)
        rig.environment[tenant.credential.removeprefix("env:")] = "pit-wrong"
        capture = rig.capture(tenant, snapshot_type)
    assert capture.status is Status.FAILED
    assert len(simulator.request_log) == capture.api_call_count == calls
    assert [error.endpoint for error in capture.errors] == [
        endpoint.name for endpoint in without_parent(snapshot_type)
    ]
    assert {error.kind for error in capture.errors} == {ErrorKind.INVALID_CREDENTIAL}


def test_a_failed_capture_still_tells_everything_a_snapshot_needs(rig: Rig) -> None:
    location = rig.simulator.accounts.single_locations[0]
    tenant = tenant_of(location, credential="env:NOT_SET")
    capture = rig.capture(tenant, source=Source.SCHEDULED, correlation_id="scheduled_daily_1")
    assert (capture.status, capture.record_count, capture.entities) == (Status.FAILED, 0, ())
    assert (capture.source, capture.correlation_id) == (Source.SCHEDULED, "scheduled_daily_1")
    assert capture.api_version == "2021-07-28"
    assert capture.api_call_count == 0
    (error,) = capture.errors
    assert "environment variable NOT_SET" in error.message
    assert json.dumps(capture.provenance())


def test_an_answer_about_another_location_is_not_kept(rig: Rig) -> None:
    ours, theirs = rig.simulator.accounts.single_locations
    foreign = b'{"workflows":[' + b",".join(theirs.entities["workflows"]) + b"]}"
    rig.simulator.inject(Fault(effect=ReplaceBody(change=lambda _: foreign)))
    capture = rig.capture(rig.pit(ours))
    assert (capture.status, capture.entities) == (Status.FAILED, ())
    assert theirs.location_id in capture.errors[0].message


def test_an_id_that_would_lead_to_another_path_is_not_asked_for(rig: Rig) -> None:
    location = rig.simulator.accounts.single_locations[0]
    location.entities["conversation_ai_agents"] = [b'{"id":"../../locations"}']
    capture = rig.capture(rig.pit(location), SnapshotType.AI_WORKERS)
    assert [(error.kind, error.attempts) for error in capture.errors] == [(ErrorKind.REFUSED, 0)] * 2
    assert b'{"id":"../../locations"}' in bodies(capture)


def test_what_is_missing_when_the_time_is_up_is_named(
    simulator: Simulator, store: OAuthTokens, agency: Agency
) -> None:
    lost = agency.location_ids[2]
    simulator.inject(Fault(effect=Hang(seconds=60), location_id=lost, route="/workflows/"))
    with rigged(simulator, store=store, capture_timeout_seconds=0.8) as rig:
        capture = rig.capture(tenant_of(agency, credential="oauth"))
    assert capture.status is Status.PARTIAL_FAILURE
    assert [(error.location_id, error.kind) for error in capture.errors] == [(lost, ErrorKind.TIMEOUT)]
    assert capture.duration_ms < 5_000


def test_when_ghl_goes_away_what_came_before_is_kept(
    simulator: Simulator, store: OAuthTokens, agency: Agency
) -> None:
    """The network fails for good in the middle of a capture."""
    with rigged(simulator, store=store, concurrency=1) as rig:
        simulator.inject(Fault(effect=StopServing(simulator), route="/workflows/", after=1))
        capture = rig.capture(tenant_of(agency, credential="oauth"), SnapshotType.WORKFLOWS)
    assert capture.status is Status.PARTIAL_FAILURE
    assert {entity.location_id for entity in capture.entities} == {agency.location_ids[0]}
    assert [error.location_id for error in capture.errors] == agency.location_ids[1:]
    assert {error.kind for error in capture.errors} == {ErrorKind.CONNECTION}


def test_a_stuck_cursor_is_an_error_of_its_endpoint(rig: Rig) -> None:
    big = max(
        rig.simulator.accounts.locations.values(), key=lambda place: len(place.entities["voice_ai_agents"])
    )
    rig.simulator.inject(Fault(effect=StuckPage(), route="/voice-ai/agents"))
    capture = rig.capture(rig.pit(big), SnapshotType.AI_WORKERS)
    (error,) = capture.errors
    assert (error.endpoint, error.kind, error.cursor) == ("/voice-ai/agents", ErrorKind.PAGING, "2")


def test_only_get_is_sent_besides_the_token_paths(rig: Rig, company: Tenant) -> None:
    for snapshot_type in SnapshotType:
        rig.capture(company, snapshot_type)
    others = {(method, route) for method, route, _ in rig.simulator.request_counts() if method != "GET"}
    assert others == {("POST", "/oauth/token"), ("POST", "/oauth/locationToken")}


def test_an_agencys_integration_token_asks_only_for_what_it_opens(rig: Rig, agency: Agency) -> None:
    capture = rig.capture(rig.pit(agency), SnapshotType.LOCATIONS)
    assert capture.status is Status.PARTIAL_FAILURE
    assert [entity.location_id for entity in capture.entities] == [None, *agency.location_ids]
    assert {each.reason for each in capture.left_out} == {LeftOutReason.NOT_GRANTED}
    assert {error.kind for error in capture.errors} == {ErrorKind.MISSING_SCOPE}
    assert "oauth" in capture.errors[0].message
    assert {status for _, _, status in rig.simulator.request_counts()} == {200}


def test_a_defect_costs_the_call_that_brings_it_out_and_no_other(
    rig: Rig, agency: Agency, company: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No defect is known, so one is made in the keeping of tokens."""
    lost = agency.location_ids[0]
    monkeypatch.setattr(
        "ghl_snapshots.ghl.location_tokens.LocationTokens.get",
        lambda _, tenant_id, location_id: 1 / 0 if location_id == lost else None,
    )
    capture = rig.capture(company)
    (error,) = capture.errors
    assert (error.kind, error.location_id) == (ErrorKind.INTERNAL, lost)
    assert "ZeroDivisionError in test_capture.py" in error.message
    assert {entity.location_id for entity in capture.entities} == set(agency.location_ids) - {lost}
