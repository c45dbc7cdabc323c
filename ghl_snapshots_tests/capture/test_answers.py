"""An answer counts for exactly what was asked: what GHL really answers, and what a capture makes of it."""

import json
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace

import pytest

from ghl_snapshots.core.errors import ErrorKind
from ghl_snapshots.core.model import Capture, LeftOutReason, SnapshotType, Status, Tenant
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.accounts import Agency, Location, account_id
from ghl_snapshots.simulator.error_answers import GatewayPage, Refuse, RetryAt
from ghl_snapshots.simulator.faults import Fault, ReplaceBody, Respond
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.ghl.rig import Rig, installed, rigged, tenant_of, token_database

LOCATIONS = 30
EXCHANGE = ("POST", "/oauth/locationToken")
REFRESH = ("POST", "/oauth/token")
INSTALLED = ("GET", "/oauth/installedLocations")
AGENTS = "/conversation-ai/agents/search"


def simulated(locations: int) -> Simulator:
    """An agency with so many locations, and single locations beside it, without a burst limit."""
    accounts = generated_accounts(5, tenants=1, locations_per_agency=locations)
    return Simulator(accounts, burst_limit=10**9)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with simulated(LOCATIONS) as simulator:
        yield simulator


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[Database]:
    with token_database(postgres) as database:
        yield database


def locations_of(simulator: Simulator, agency: Agency, *places: int) -> list[Location]:
    return [simulator.accounts.locations[agency.location_ids[place]] for place in places]


def asked(simulator: Simulator, call: tuple[str, str]) -> int:
    """How many requests of a method to a path came, whatever they were answered."""
    counts = Counter[tuple[str, str]]()
    for (method, route, _), count in simulator.request_counts().items():
        counts[method, route] += count
    return counts[call]


def captured(capture: Capture) -> set[str | None]:
    return {entity.location_id for entity in capture.entities}


def left_out(capture: Capture) -> set[tuple[str | None, LeftOutReason]]:
    return {(each.location_id, each.reason) for each in capture.left_out}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("concurrency", "places"),
    [(4, range(7, 300, 40)), (32, (3, 150, 299))],
    ids=["8 of 300, 4 threads", "3 of 300, 32 threads"],
)
@pytest.mark.parametrize("may_ask", [True, False], ids=["oauth.readonly", "without oauth.readonly"])
def test_an_app_uninstalled_from_some_locations_costs_no_other(
    postgres: EmbeddedPostgres, concurrency: int, places: Collection[int], *, may_ask: bool
) -> None:
    """An agency of 300; GHL answers everything of some of them 401 "Unauthorized" after a good capture."""
    with simulated(300) as simulator, token_database(postgres) as database:
        [agency] = simulator.accounts.agencies.values()
        company, store = tenant_of(agency, credential="oauth"), installed(database, agency, tenant_id="acme")
        with rigged(simulator, store=store, concurrency=concurrency) as rig:
            assert rig.capture(company).status is Status.SUCCESS
        gone = {location.location_id for location in locations_of(simulator, agency, *places)}
        for location_id in gone:
            simulator.accounts.locations[location_id].installed = False
        if not may_ask:
            agency.scopes.remove("oauth.readonly")
        refreshes = asked(simulator, REFRESH)
        for snapshot_type in (SnapshotType.PIPELINES, SnapshotType.WORKFLOWS, SnapshotType.PIPELINES):
            exchanges = asked(simulator, EXCHANGE)
            with rigged(simulator, store=store, concurrency=concurrency) as rig:
                capture = rig.capture(company, snapshot_type)
            assert (capture.status, capture.errors) == (Status.SUCCESS, ())
            assert captured(capture) == set(agency.location_ids) - gone
            reasons = {(location_id, LeftOutReason.NOT_INSTALLED) for location_id in gone}
            assert left_out(capture) - reasons == (set() if may_ask else {(None, LeftOutReason.NOT_GRANTED)})
            assert reasons <= left_out(capture)
        assert asked(simulator, REFRESH) == refreshes
        assert asked(simulator, EXCHANGE) == exchanges, "nothing is asked for again in each run"


def test_a_location_that_gets_the_app_back_is_captured_at_once(
    simulator: Simulator, agency: Agency, company: Tenant, store: OAuthTokens
) -> None:
    """Where GHL lists it as installed, a remembered refusal does not count."""
    [location] = locations_of(simulator, agency, 1)
    location.installed = False
    agency.scopes.remove("oauth.readonly")
    with rigged(simulator, store=store) as rig:
        assert location.location_id not in captured(rig.capture(company))
    location.installed = True
    agency.scopes.add("oauth.readonly")
    with rigged(simulator, store=store) as rig:
        assert location.location_id in captured(rig.capture(company))


@pytest.mark.parametrize("status", [400, 403, 422])
def test_however_ghl_words_a_missing_installation_the_location_is_left_out(
    simulator: Simulator, agency: Agency, company: Tenant, store: OAuthTokens, status: int
) -> None:
    agency.scopes.remove("oauth.readonly")
    [location] = locations_of(simulator, agency, 2)
    location.installed, location.not_installed_status = False, status
    with rigged(simulator, store=store) as rig:
        capture = rig.capture(company)
    assert (capture.status, capture.errors) == (Status.SUCCESS, ())
    assert (location.location_id, LeftOutReason.NOT_INSTALLED) in left_out(capture)


@pytest.mark.parametrize("said", [b"", b',"isInstalled":"false"', b',"isInstalled":null'])
def test_a_location_that_ghl_does_not_say_to_lack_the_app_is_captured(
    simulator: Simulator, agency: Agency, company: Tenant, store: OAuthTokens, said: bytes
) -> None:
    """The documents mark the field as optional."""
    change = ReplaceBody(change=lambda body: body.replace(b',"isInstalled":true', said))
    simulator.inject(Fault(effect=change, route=INSTALLED[1]))
    with rigged(simulator, store=store) as rig:
        capture = rig.capture(company)
    assert (capture.status, capture.left_out) == (Status.SUCCESS, ())
    assert captured(capture) == set(agency.location_ids)


@pytest.mark.parametrize(("status", "reason"), [(500, None), (403, "refused"), (422, "refused")])
def test_what_ghl_answers_about_installations_is_said_like_any_other_answer(
    simulator: Simulator, agency: Agency, company: Tenant, store: OAuthTokens, status: int, reason: str | None
) -> None:
    """The locations are captured all the same: a refused token shows where the app is not installed."""
    simulator.inject(Fault(effect=Refuse(status=status, message="no list for you"), route=INSTALLED[1]))
    with rigged(simulator, store=store) as rig:
        capture = rig.capture(company)
    told = capture.left_out if reason else capture.errors
    assert [(each.endpoint, "no list for you" in each.message) for each in told] == [(INSTALLED[1], True)]
    assert [each.reason for each in capture.left_out] == ([reason] if reason else [])
    assert capture.status is (Status.SUCCESS if reason else Status.PARTIAL_FAILURE)
    assert captured(capture) == set(agency.location_ids)


def test_a_suspended_location_of_an_agency_is_left_out(
    simulator: Simulator, agency: Agency, company: Tenant, store: OAuthTokens
) -> None:
    with rigged(simulator, store=store) as rig:
        rig.capture(company)
        [location] = locations_of(simulator, agency, 4)
        location.active = False
        capture = rig.capture(company)
    assert (capture.status, capture.errors) == (Status.SUCCESS, ())
    assert left_out(capture) == {(location.location_id, LeftOutReason.SUSPENDED)}
    assert captured(capture) == set(agency.location_ids) - {location.location_id}


@pytest.fixture
def pair() -> Iterator[Simulator]:
    """Two locations that are tenants themselves."""
    with Simulator(generated_accounts(7, tenants=2), burst_limit=10**9) as simulator:
        yield simulator


@pytest.fixture
def rig(pair: Simulator) -> Iterator[Rig]:
    with rigged(pair) as rig:
        yield rig


@pytest.fixture
def ours(pair: Simulator) -> Location:
    return pair.accounts.single_locations[0]


@pytest.fixture
def theirs(pair: Simulator) -> Location:
    return pair.accounts.single_locations[1]


def test_a_suspended_account_says_so_and_advises_no_new_code(rig: Rig, ours: Location) -> None:
    ours.active = False
    capture = rig.capture(rig.pit(ours))
    assert (capture.status, capture.left_out) == (Status.FAILED, ())
    assert {error.kind for error in capture.errors} == {ErrorKind.SUSPENDED}
    assert "it is captured again once it is active in GHL" in capture.errors[0].message
    assert "code" not in capture.errors[0].message.replace("statusCode", "")


def test_a_feature_that_the_plan_lacks_is_left_out_and_costs_nothing_else(rig: Rig, ours: Location) -> None:
    whole = rig.capture(rig.pit(ours), SnapshotType.CALENDARS)
    ours.lacking_features.add("/calendars/groups")
    capture = rig.capture(rig.pit(ours), SnapshotType.CALENDARS)
    assert (capture.status, capture.errors) == (Status.SUCCESS, ())
    [absent] = capture.left_out
    assert (absent.endpoint, absent.reason) == ("/calendars/groups", LeftOutReason.NOT_IN_PLAN)
    assert "the customer's GHL plan lacks this feature" in absent.message
    expected = [bytes(entity.body) for entity in whole.entities if entity.endpoint != "/calendars/groups"]
    assert [bytes(entity.body) for entity in capture.entities] == expected


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (403, "Forbidden resource"),
        (401, "Unauthorized"),
        (401, "Location ID is required"),
        (401, "Token's user type mismatch!"),
        (401, "This route is not yet supported by the IAM Service."),
        (401, "Invalid JWT"),
    ],
)
def test_what_ghl_refuses_of_one_call_costs_that_call_only(
    rig: Rig, pair: Simulator, ours: Location, status: int, words: str
) -> None:
    """Its advice is not to put a valid token there: the same token was just answered 200."""
    whole = rig.capture(rig.pit(ours), SnapshotType.CALENDARS)
    pair.inject(Fault(effect=Refuse(status=status, message=words), route="/calendars/groups"))
    capture = rig.capture(rig.pit(ours), SnapshotType.CALENDARS)
    [error] = capture.errors
    assert (error.endpoint, error.kind) == ("/calendars/groups", ErrorKind.FORBIDDEN)
    assert words in error.message
    assert "put a valid" not in error.message
    expected = [bytes(entity.body) for entity in whole.entities if entity.endpoint != "/calendars/groups"]
    assert [bytes(entity.body) for entity in capture.entities] == expected


KNOWLEDGE_BASES = "/knowledge-bases/"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "This route is not yet supported by the IAM Service."),
        (403, "Forbidden resource"),
        (404, "Cannot GET /knowledge-bases/"),
        (404, "Not found"),
        (422, "locationId must be a string"),
    ],
)
def test_what_a_snapshot_can_do_without_is_left_out_where_ghl_refuses_it_for_good(
    rig: Rig, pair: Simulator, ours: Location, status: int, words: str
) -> None:
    """Else each capture would be incomplete, for ever and for what it does not need."""
    pair.inject(Fault(effect=Refuse(status=status, message=words), route=KNOWLEDGE_BASES))
    capture = rig.capture(rig.pit(ours), SnapshotType.AI_WORKERS)
    assert (capture.status, capture.errors) == (Status.SUCCESS, ())
    [refused] = capture.left_out
    assert (refused.endpoint, refused.reason) == (KNOWLEDGE_BASES, LeftOutReason.REFUSED)
    assert words in refused.message


@pytest.mark.parametrize("status", [500, 502])
def test_what_a_snapshot_can_do_without_is_an_error_where_it_may_come_next_time(
    rig: Rig, pair: Simulator, ours: Location, status: int
) -> None:
    pair.inject(Fault(effect=Refuse(status=status, message="later"), route=KNOWLEDGE_BASES))
    capture = rig.capture(rig.pit(ours), SnapshotType.AI_WORKERS)
    assert [error.endpoint for error in capture.errors] == [KNOWLEDGE_BASES]
    assert capture.left_out == ()


def test_what_ghl_gave_a_part_of_is_incomplete_without_the_rest() -> None:
    """Also where a snapshot can do without the whole."""
    accounts = generated_accounts(7, tenants=1, sizes={"templates": 150})
    [location] = accounts.single_locations
    path = "/locations/{locationId}/templates"
    refused = Refuse(status=401, message="The token is not authorized for this scope.")
    with Simulator(accounts, burst_limit=10**9) as simulator, rigged(simulator) as rig:
        simulator.inject(Fault(effect=refused, route=path, after=1))
        capture = rig.capture(rig.pit(location), SnapshotType.LOCATIONS)
    assert [(error.endpoint, error.kind) for error in capture.errors] == [(path, ErrorKind.MISSING_SCOPE)]
    assert capture.left_out == ()


def test_a_gateways_page_is_tried_again(rig: Rig, pair: Simulator, ours: Location) -> None:
    pair.inject(Fault(effect=GatewayPage(status=403), route="/workflows/", times=2))
    capture = rig.capture(rig.pit(ours))
    assert capture.status is Status.SUCCESS
    assert capture.api_calls["/workflows/", 403] == 2
    pair.inject(Fault(effect=GatewayPage(status=520), route="/workflows/"))
    [error] = rig.capture(rig.pit(ours)).errors
    assert error.kind is ErrorKind.SERVER_ERROR
    assert "a gateway before it" in error.message


@pytest.mark.slow
def test_a_retry_after_as_a_date_is_waited_for(pair: Simulator, ours: Location) -> None:
    pair.inject(Fault(effect=RetryAt(seconds=1), route="/workflows/", times=1))
    with rigged(pair, capture_timeout_seconds=60) as rig:
        capture = rig.capture(rig.pit(ours))
    assert capture.status is Status.SUCCESS
    assert capture.api_calls["/workflows/", 429] == 1


def test_a_revoked_token_costs_one_refresh_and_nothing_else(
    simulator: Simulator, agency: Agency, company: Tenant, store: OAuthTokens
) -> None:
    with rigged(simulator, store=store) as rig:
        rig.capture(company)
        refreshes = asked(simulator, REFRESH)
        simulator.tokens.revoke_access_tokens()
        capture = rig.capture(company)
    assert (capture.status, capture.errors, capture.left_out) == (Status.SUCCESS, (), ())
    assert captured(capture) == set(agency.location_ids)
    assert asked(simulator, REFRESH) == refreshes + 1


def with_token_of(rig: Rig, holder: Location, tenant: Tenant) -> None:
    """Put another account's token where the tenant's credential points."""
    rig.environment[tenant.credential.removeprefix("env:")] = holder.private_integration_token


@pytest.mark.parametrize("snapshot_type", SnapshotType)
@pytest.mark.parametrize("may_prove", [True, False])
def test_nothing_is_stored_of_another_accounts_token(
    rig: Rig, ours: Location, theirs: Location, snapshot_type: SnapshotType, *, may_prove: bool
) -> None:
    """Conversation agents are asked for by the token alone, and GHL gives those of the token's account."""
    if not may_prove:
        theirs.scopes.discard("locations.readonly")
    tenant = rig.pit(ours)
    with_token_of(rig, theirs, tenant)
    capture = rig.capture(tenant, snapshot_type)
    assert (capture.status, capture.entities) == (Status.FAILED, ())
    assert {error.kind for error in capture.errors} <= {ErrorKind.FORBIDDEN_LOCATION, ErrorKind.MISSING_SCOPE}
    assert ours.location_id in capture.errors[0].message or snapshot_type is not SnapshotType.AI_WORKERS


def test_a_wrong_token_is_told_with_both_accounts(rig: Rig, ours: Location, theirs: Location) -> None:
    tenant = rig.pit(ours)
    with_token_of(rig, theirs, tenant)
    capture = rig.capture(tenant, SnapshotType.AI_WORKERS)
    assert ours.location_id in capture.errors[0].message
    assert theirs.location_id in capture.errors[0].message


def test_after_a_change_of_account_the_old_token_stores_nothing(
    rig: Rig, ours: Location, theirs: Location
) -> None:
    tenant = rig.pit(ours)
    moved = replace(tenant, ghl_account_id=theirs.location_id)
    capture = rig.capture(moved, SnapshotType.AI_WORKERS)
    assert (capture.status, capture.entities) == (Status.FAILED, ())


def only_conversation_agents(location: Location) -> None:
    for kind in ("voice_ai_agents", "agent_studio_agents"):
        location.entities[kind].clear()


def test_agents_that_name_no_location_are_proved_by_one_call(rig: Rig, ours: Location) -> None:
    only_conversation_agents(ours)
    capture = rig.capture(rig.pit(ours), SnapshotType.AI_WORKERS)
    assert capture.status is Status.SUCCESS
    assert AGENTS in {entity.endpoint for entity in capture.entities}
    assert capture.api_calls["/locations/{locationId}", 200] == 1


@pytest.mark.parametrize("body", [b'{"location":{}}', b'{"location":{"name":"x"}}'])
def test_a_location_without_its_id_proves_nothing(
    rig: Rig, pair: Simulator, ours: Location, body: bytes
) -> None:
    only_conversation_agents(ours)
    ours.scopes.remove("locations/customValues.readonly")
    pair.inject(Fault(effect=Respond(status=200, body=body), route="/locations/{locationId}"))
    capture = rig.capture(rig.pit(ours), SnapshotType.AI_WORKERS)
    assert capture.entities == ()
    assert {error.kind for error in capture.errors} == {ErrorKind.UNPROVEN}


def test_agents_that_nothing_proves_are_not_stored_and_the_scope_is_named(rig: Rig, ours: Location) -> None:
    only_conversation_agents(ours)
    ours.scopes -= {"locations.readonly", "locations/customValues.readonly"}
    capture = rig.capture(rig.pit(ours), SnapshotType.AI_WORKERS)
    assert capture.entities == ()
    assert {error.kind for error in capture.errors} == {ErrorKind.UNPROVEN}
    assert "locations.readonly" in capture.errors[0].message


def test_an_empty_list_needs_no_proof(rig: Rig, ours: Location) -> None:
    only_conversation_agents(ours)
    ours.entities["conversation_ai_agents"].clear()
    capture = rig.capture(rig.pit(ours), SnapshotType.AI_WORKERS)
    assert (capture.status, capture.entities) == (Status.SUCCESS, ())
    assert ("/locations/{locationId}", 200) not in capture.api_calls


@pytest.mark.parametrize("account", ["another location", "another company", "a location of the company"])
def test_a_refresh_that_answers_for_another_account_is_set_aside_and_not_used(
    database: Database, account: str
) -> None:
    accounts = generated_accounts(
        7, tenants=2, locations_per_agency=0 if account == "another location" else 2
    )
    ours, theirs = accounts.agencies.values() or accounts.single_locations
    if account == "a location of the company":
        theirs = next(iter(accounts.locations.values()))
    [our_id, their_id] = [account_id(holder) for holder in (ours, theirs)]
    store = installed(database, ours, tenant_id="acme")
    ours.token_account_id = their_id
    with Simulator(accounts, burst_limit=10**9) as simulator, rigged(simulator, store=store) as rig:
        capture = rig.capture(tenant_of(ours, credential="oauth"))
    assert (capture.status, capture.entities) == (Status.FAILED, ())
    message = capture.errors[0].message
    assert our_id in message
    assert their_id in message
    with database.writer("acme") as connection:
        [row] = connection.execute("SELECT * FROM ghl.oauth_token").fetchall()
    assert row["set_aside_account"] == their_id
    assert row["access_token"] is None
    assert their_id.encode() not in row["set_aside"]
    assert {method for method, _, _ in simulator.request_counts()} == {"POST"}


@pytest.mark.parametrize("is_other", [True, False], ids=["another's", "nobody's"])
def test_a_location_token_counts_as_the_locations_only_if_ghl_says_so(
    simulator: Simulator, agency: Agency, company: Tenant, store: OAuthTokens, *, is_other: bool
) -> None:
    """Another location's is not used; one without a name proves nothing, in the next capture neither."""
    location, other = locations_of(simulator, agency, 1, 2)
    only_conversation_agents(location)
    named = f'"locationId":"{location.location_id}"'.encode()
    instead = (
        named.replace(location.location_id.encode(), other.location_id.encode()) if is_other else b'"x":0'
    )
    change = ReplaceBody(change=lambda body: body.replace(named, instead))
    simulator.inject(Fault(effect=change, route=EXCHANGE[1], location_id=location.location_id))
    witness = Fault(effect=Refuse(status=401, message="Unauthorized"), location_id=location.location_id)
    for route in ("/locations/{locationId}", "/locations/{locationId}/customValues"):
        simulator.inject(replace(witness, route=route))
    for _ in range(2):
        with rigged(simulator, store=store) as rig:
            capture = rig.capture(company, SnapshotType.AI_WORKERS)
        assert captured(capture) == set(agency.location_ids) - {location.location_id}
        kinds = {error.kind for error in capture.errors}
        assert kinds == {ErrorKind.FORBIDDEN_LOCATION if is_other else ErrorKind.UNPROVEN}


@pytest.mark.parametrize(
    ("snapshot_type", "kind", "path"),
    [
        (SnapshotType.WORKFLOWS, "workflows", "/workflows/"),
        (SnapshotType.AI_WORKERS, "voice_ai_agents", "/voice-ai/agents"),
        (SnapshotType.AI_WORKERS, "conversation_ai_agents", AGENTS),
        (SnapshotType.AI_WORKERS, "agent_studio_agents", "/agent-studio/agent"),
        (SnapshotType.CALENDARS, "rooms", "/calendars/resources/rooms"),
    ],
)
def test_what_ghl_lists_twice_is_stored_twice_and_flagged(
    rig: Rig, ours: Location, snapshot_type: SnapshotType, kind: str, path: str
) -> None:
    listed = ours.entities[kind]
    listed.append(listed[0])
    capture = rig.capture(rig.pit(ours), snapshot_type)
    assert (capture.status, capture.errors) == (Status.SUCCESS, ())
    assert [bytes(entity.body) for entity in capture.entities if entity.endpoint == path] == listed
    [duplicate] = capture.duplicates
    assert duplicate.endpoint == path


@pytest.mark.parametrize(
    ("snapshot_type", "kind", "path", "page_size"),
    [
        (SnapshotType.AI_WORKERS, "voice_ai_agents", "/voice-ai/agents", 50),
        (SnapshotType.AI_WORKERS, "conversation_ai_agents", AGENTS, 100),
        (SnapshotType.AI_WORKERS, "agent_studio_agents", "/agent-studio/agent", 50),
        (SnapshotType.CALENDARS, "rooms", "/calendars/resources/rooms", 100),
    ],
)
def test_what_ghl_lists_on_two_pages_is_stored_twice_and_flagged(
    snapshot_type: SnapshotType, kind: str, path: str, page_size: int
) -> None:
    """The second copy may stand in the place of another one: where a total counts it, that is an error."""
    accounts = generated_accounts(7, tenants=1, sizes={kind: page_size + 1})
    [location] = accounts.single_locations
    listed = location.entities[kind]
    listed.insert(page_size, listed[page_size // 2])
    with Simulator(accounts, burst_limit=10**9) as simulator, rigged(simulator) as rig:
        capture = rig.capture(rig.pit(location), snapshot_type)
    assert [bytes(entity.body) for entity in capture.entities if entity.endpoint == path] == listed
    [duplicate] = capture.duplicates
    assert duplicate.endpoint == path
    has_total = kind != "rooms"
    assert [(error.endpoint, error.kind) for error in capture.errors] == [
        (path, ErrorKind.PAGING)
    ] * has_total


def test_two_equal_rooms_without_an_id_are_two_rooms(rig: Rig, ours: Location) -> None:
    room = json.dumps({"locationId": ours.location_id, "name": "Treatment room", "capacity": 1}).encode()
    ours.entities["rooms"][:] = [room, room]
    capture = rig.capture(rig.pit(ours), SnapshotType.CALENDARS)
    assert (capture.status, capture.errors) == (Status.SUCCESS, ())
    rooms = [bytes(entity.body) for entity in capture.entities if entity.endpoint.endswith("/rooms")]
    assert rooms == [room, room]


def test_a_sub_account_listed_twice_is_captured_once_and_flagged(
    simulator: Simulator, agency: Agency, company: Tenant, store: OAuthTokens
) -> None:
    agency.location_ids.append(agency.location_ids[0])
    with rigged(simulator, store=store) as rig:
        capture = rig.capture(company, SnapshotType.LOCATIONS)
    assert (capture.status, capture.errors) == (Status.SUCCESS, ())
    assert capture.location_ids == tuple(dict.fromkeys(agency.location_ids))
    details = [entity for entity in capture.entities if entity.endpoint == "/locations/{locationId}"]
    assert len(details) == LOCATIONS
    assert {duplicate.entity_id for duplicate in capture.duplicates} == {agency.location_ids[0]}
