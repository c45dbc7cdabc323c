"""Headers, tokens, scopes and whose data a token reads."""

import json

import pytest

from ghl_snapshots.simulator.accounts import Agency, Location
from ghl_snapshots.simulator.content import CHILD_KINDS
from ghl_snapshots.simulator.paging import entity_field
from ghl_snapshots.simulator.routes import ROUTES, Route
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.simulator.conftest import Client

WORKFLOWS = "/workflows/"
LOCATION_ROUTES = [route for route in ROUTES if route.reader != "agency"]


def parent_of(location: Location, route: Route) -> str:
    """What names a parent that has children of the route's kind."""
    for body in location.entities[CHILD_KINDS[route.kind].parent]:
        named = entity_field(body, route.parent_field) or ""
        if location.children[route.kind].get(entity_field(body, "id") or named):
            return named
    return "none"


def ask_for(client: Client, template: str, location: Location, token: str | None = None) -> tuple[int, str]:
    """Status and message of an endpoint asked about a location, with every parameter it may need."""
    route = next(route for route in ROUTES if route.template == template)
    ids = dict.fromkeys(("locationId", "originId"), location.location_id)
    if route.parent_id is not None:
        ids[route.parent_id] = parent_of(location, route)
    query = {name: ids[name] for name in route.query if name in ids}
    parameters = (route.paging.start, route.paging.size) if route.paging else ()
    required = {"skip": "0", "limit": "5", "offset": "0"}
    paging = {name: required[name] for name in ("skip", "limit", "offset") if name in parameters}
    answer = client.get(template.format(**ids), {**query, **paging}, token=token, version=route.version)
    content = answer.json()
    return answer.status_code, content.get("message", "") if isinstance(content, dict) else ""


@pytest.mark.parametrize("template", [route.template for route in LOCATION_ROUTES])
def test_a_location_token_reads_every_endpoint_of_its_location(
    client: Client, location: Location, template: str
) -> None:
    assert ask_for(client, template, location)[0] == 200


@pytest.mark.parametrize("template", [r.template for r in LOCATION_ROUTES if r.reader == "location"])
def test_an_agency_integration_token_is_refused_where_a_location_is_read(
    client: Client, location: Location, agency: Agency, template: str
) -> None:
    status, message = ask_for(client, template, location, agency.private_integration_token)
    assert (status, message) == (401, "The token is not authorized for this scope.")


@pytest.mark.parametrize(
    "template",
    [r.template for r in LOCATION_ROUTES if "locationId" in r.query or "{locationId}" in r.template],
)
def test_a_foreign_location_is_refused(
    client: Client, location: Location, stranger: Location, template: str
) -> None:
    """What is asked for without naming a location, such as conversation agents, cannot be foreign."""
    status, message = ask_for(client, template, stranger, location.private_integration_token)
    assert (status, message) == (403, "The token does not have access to this location.")


def test_what_is_asked_without_a_location_is_answered_with_the_tokens_own(
    client: Client, stranger: Location
) -> None:
    """So a token of another account, set up by mistake, gives that account's agents."""
    token = stranger.private_integration_token
    agents = client.get("/conversation-ai/agents/search", token=token).json()["agents"]
    assert agents == [json.loads(body) for body in stranger.entities["conversation_ai_agents"]]
    actions = client.get(f"/conversation-ai/agents/{agents[0]['id']}/actions/list", token=token)
    expected = stranger.children["agent_actions"][agents[0]["id"]]
    assert actions.json()["data"] == [json.loads(body) for body in expected]


@pytest.mark.parametrize("template", [route.template for route in LOCATION_ROUTES])
def test_a_missing_scope_loses_the_endpoints_that_need_it_and_no_other(
    client: Client, location: Location, template: str
) -> None:
    scope = next(route.scope for route in ROUTES if route.template == template)
    location.scopes.remove(scope)
    status, message = ask_for(client, template, location)
    assert (status, message) == (401, "The token is not authorized for this scope.")
    other = next(route.template for route in LOCATION_ROUTES if route.scope != scope)
    assert ask_for(client, other, location)[0] == 200


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (None, "version header was not found."),
        ("2021-04-15", "version header is invalid"),
        ("latest", "version header is invalid"),
    ],
)
def test_a_missing_or_wrong_version_is_refused(
    client: Client, location: Location, version: str | None, message: str
) -> None:
    answer = client.get(WORKFLOWS, version=version, locationId=location.location_id)
    assert (answer.status_code, answer.json()["message"]) == (401, message)


def test_a_path_of_v3_is_not_there_for_another_version(client: Client, location: Location) -> None:
    answer = client.get("/calendars/services/catalog", version="2021-04-15", locationId=location.location_id)
    assert answer.status_code == 404
    assert answer.json()["message"].startswith("Cannot GET /calendars/services/catalog")


def test_version_v3_is_accepted_everywhere(client: Client, location: Location) -> None:
    for path in (WORKFLOWS, "/calendars/", "/voice-ai/agents"):
        assert client.get(path, version="v3", locationId=location.location_id).status_code == 200


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("pit-unknown", "Invalid Private Integration token"),
        ("x.y.z", "Invalid JWT"),
        ("nonsense", "Invalid JWT"),
    ],
)
def test_a_wrong_token_is_refused(client: Client, location: Location, token: str, message: str) -> None:
    answer = client.get(WORKFLOWS, token=token, locationId=location.location_id)
    assert (answer.status_code, answer.json()["message"]) == (401, message)
    assert answer.json()["error"] == "Unauthorized"


def test_a_request_without_authorization_is_refused(client: Client, location: Location) -> None:
    answer = client.session.get(
        f"{client.simulator.base_url}{WORKFLOWS}?locationId={location.location_id}",
        headers={"Version": "2021-07-28"},
        timeout=5,
    )
    assert (answer.status_code, answer.json()["message"]) == (401, "Invalid JWT")


def test_a_location_id_header_with_a_location_token_is_refused(client: Client, location: Location) -> None:
    headers = {"Location-Id": location.location_id}
    answer = client.get(WORKFLOWS, headers=headers, locationId=location.location_id)
    assert answer.status_code == 403


def test_a_replaced_integration_token_takes_the_old_ones_place_at_once(
    client: Client, location: Location
) -> None:
    old = location.private_integration_token
    assert client.get(WORKFLOWS, locationId=location.location_id).status_code == 200
    location.private_integration_token = "pit-replaced"
    assert client.get(WORKFLOWS, token=old, locationId=location.location_id).status_code == 401
    assert client.get(WORKFLOWS, locationId=location.location_id).status_code == 200


def test_an_agency_reads_its_own_locations_and_no_others(
    client: Client, simulator: Simulator, agency: Agency, location: Location, stranger: Location
) -> None:
    token = agency.private_integration_token
    own = client.get(f"/locations/{location.location_id}", token=token)
    assert own.json()["location"]["companyId"] == agency.company_id
    assert client.get(f"/locations/{stranger.location_id}", token=token).status_code == 403
    del simulator.accounts.locations[location.location_id]
    assert client.get(f"/locations/{location.location_id}", token=token).status_code == 404


def test_an_integration_token_of_a_removed_location_is_refused(
    client: Client, simulator: Simulator, location: Location
) -> None:
    del simulator.accounts.locations[location.location_id]
    answer = client.get(WORKFLOWS, locationId=location.location_id)
    assert (answer.status_code, answer.json()["message"]) == (401, "Invalid Private Integration token")


def test_the_search_of_locations_takes_an_agencys_token_for_its_own_company_only(
    client: Client, agency: Agency
) -> None:
    search = "/locations/search"
    token = agency.private_integration_token
    assert client.get(search).status_code == 401
    assert client.get(search, token=token, companyId="another").status_code == 403
    assert len(client.get(search, token=token, companyId=agency.company_id).json()["locations"]) == 3
