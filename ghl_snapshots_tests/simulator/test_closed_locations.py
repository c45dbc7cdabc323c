"""Locations that GHL closes to the app: a plan without the feature, no app, suspended, removed."""

import pytest
import requests

from ghl_snapshots.simulator.accounts import Agency, Location
from ghl_snapshots.simulator.faults import Effect, Fault
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.simulator.conftest import Client

WORKFLOWS = "/workflows/"
INSTALLED = "/oauth/installedLocations"
NOT_IN_PLAN = (
    b'{"statusCode":401,"message":"You do not have access to this feature! Please contact the admin!"}'
)
UNAUTHORIZED = b'{"statusCode":401,"message":"Unauthorized"}'
NO_ACCESS = (403, "The token does not have access to this location.")


@pytest.fixture
def agency_token(client: Client, agency: Agency) -> str:
    """An access token of the agency's app."""
    return str(client.refresh(agency).json()["access_token"])


@pytest.fixture
def location_token(client: Client, location: Location, agency_token: str) -> str:
    """An access token of the location, exchanged while all was well."""
    return str(client.exchange(location, token=agency_token).json()["access_token"])


def said(answer: requests.Response) -> tuple[int, str | list[str]]:
    """Status and message of a refusal."""
    return answer.status_code, answer.json()["message"]


def installed(client: Client, token: str, **query: object) -> requests.Response:
    """Answer to GET /oauth/installedLocations for the agency's company and app, unless told otherwise."""
    accounts = client.simulator.accounts
    usual = {"companyId": client.location.company_id, "appId": accounts.client_id.split("-")[0]}
    return client.get(INSTALLED, {**usual, **query}, token=token)


@pytest.mark.parametrize("feature", ["/calendars/groups", "calendars/groups.readonly"])
def test_a_plan_can_lack_a_feature_by_endpoint_or_scope(
    client: Client, location: Location, stranger: Location, feature: str
) -> None:
    location.lacking_features.add(feature)
    answer = client.get("/calendars/groups", locationId=location.location_id)
    assert (answer.status_code, answer.content) == (401, NOT_IN_PLAN)
    assert client.get("/calendars/", locationId=location.location_id).status_code == 200
    token = stranger.private_integration_token
    assert client.get("/calendars/groups", token=token, locationId=stranger.location_id).status_code == 200


def test_a_lacking_feature_is_lacking_for_the_agency_too_and_no_list_of_it(
    client: Client, agency: Agency, location: Location
) -> None:
    location.lacking_features.add("locations.readonly")
    token = agency.private_integration_token
    assert client.get(f"/locations/{location.location_id}", token=token).content == NOT_IN_PLAN
    assert client.get("/locations/search", token=token).status_code == 200


def test_without_the_app_neither_the_locations_token_nor_an_exchange_is_any_good(
    client: Client, agency: Agency, location: Location, agency_token: str, location_token: str
) -> None:
    location.installed = False
    call = client.get(WORKFLOWS, token=location_token, locationId=location.location_id)
    exchange = client.exchange(location, token=agency_token)
    for answer in (call, exchange, client.refresh(location)):
        assert (answer.status_code, answer.content) == (401, UNAUTHORIZED)
    assert client.get(WORKFLOWS, locationId=location.location_id).status_code == 200, "by integration token"
    other = client.simulator.accounts.locations[agency.location_ids[0]]
    assert client.exchange(other, token=agency_token).status_code == 200
    location.installed = True
    assert client.exchange(location, token=agency_token).status_code == 200
    assert client.refresh(location).status_code == 200


@pytest.mark.parametrize("status", [400, 401, 403, 422])
def test_the_exchange_for_a_location_without_the_app_is_refused_with_any_status(
    client: Client, location: Location, agency_token: str, status: int
) -> None:
    location.installed = False
    location.not_installed_status = status
    assert client.exchange(location, token=agency_token).status_code == status


def test_the_installed_locations_are_all_of_the_companys_and_say_which_have_the_app(
    client: Client, agency: Agency, location: Location, agency_token: str
) -> None:
    location.installed = False
    content = installed(client, agency_token).json()
    assert (content["count"], content["installToFutureLocations"]) == (3, True)
    first, without, _ = content["locations"]
    assert [place["_id"] for place in content["locations"]] == agency.location_ids
    assert set(first) == {"_id", "name", "address", "isInstalled", "versionId", "installedAt"}
    assert first["isInstalled"] is True
    assert (without["_id"], without["isInstalled"]) == (location.location_id, False)


def test_installed_locations_come_in_pages_of_20_and_at_most_100(
    client: Client, agency: Agency, agency_token: str
) -> None:
    agency.location_ids *= 10
    pages = [installed(client, agency_token, skip=skip).json() for skip in (0, 20)]
    assert [len(page["locations"]) for page in pages] == [20, 10]
    assert {page["count"] for page in pages} == {30}
    assert len(installed(client, agency_token, limit=100).json()["locations"]) == 30
    assert installed(client, agency_token, limit=101).status_code == 422


def test_installed_locations_are_for_the_agencys_app_only(
    client: Client, agency: Agency, agency_token: str, location_token: str
) -> None:
    refused = (401, "The token is not authorized for this scope.")
    assert said(installed(client, agency.private_integration_token)) == refused
    assert said(installed(client, location_token)) == refused
    assert installed(client, agency_token, appId="another").status_code == 422
    incomplete = client.get(INSTALLED, {"companyId": agency.company_id}, token=agency_token)
    assert said(incomplete) == (422, ["appId should not be empty"])
    assert installed(client, agency_token, companyId="another").status_code == 403
    agency.scopes.remove("oauth.readonly")
    assert said(installed(client, agency_token)) == refused


def test_a_suspended_location_is_not_active_for_call_exchange_and_refresh(
    client: Client, location: Location, agency: Agency, agency_token: str, location_token: str
) -> None:
    location.active = False
    name = location.location_id
    answers = (
        client.get(WORKFLOWS, locationId=name),
        client.get(WORKFLOWS, token=location_token, locationId=name),
        client.get(f"/locations/{name}", token=agency_token),
        client.exchange(location, token=agency_token),
        client.refresh(location),
    )
    assert {said(answer) for answer in answers} == {(400, "Location is not active")}
    listed = client.get("/locations/search", token=agency_token).json()["locations"]
    assert [place["id"] for place in listed] == agency.location_ids
    location.active = True
    assert client.refresh(location).status_code == 200


@pytest.mark.parametrize("by", ["removed", "taken out"])
def test_a_removed_location_is_in_no_list_and_its_tokens_have_no_access(
    client: Client, location: Location, agency: Agency, agency_token: str, location_token: str, by: str
) -> None:
    name = location.location_id
    if by == "removed":
        location.removed = True
    else:
        agency.location_ids.remove(name)
    listed = client.get("/locations/search", token=agency_token).json()["locations"]
    with_app = installed(client, agency_token).json()["locations"]
    assert name not in {place["id"] for place in listed} | {place["_id"] for place in with_app}
    assert (len(listed), len(with_app)) == (2, 2)
    answers = (
        client.get(WORKFLOWS, token=location_token, locationId=name),
        client.get("/conversation-ai/agents/search", token=location_token),
        client.get(WORKFLOWS, locationId=name),
        client.get(f"/locations/{name}", token=agency_token),
        client.exchange(location, token=agency_token),
        client.refresh(location),
    )
    assert {said(answer) for answer in answers} == {NO_ACCESS}


def test_what_is_asked_of_the_token_endpoints_and_of_the_installed_locations_is_counted(
    client: Client, simulator: Simulator, location: Location, agency: Agency
) -> None:
    """By route in the counts, by location by a fault that does nothing."""
    for_location = simulator.inject(
        Fault(effect=Effect(), route="/oauth/locationToken", location_id=location.location_id)
    )
    token = client.refresh(agency).json()["access_token"]
    location.installed = False
    installed(client, token)
    for name in agency.location_ids:
        client.exchange(simulator.accounts.locations[name], token=token)
    counts = simulator.request_counts()
    assert counts["POST", "/oauth/token", 200] == 1
    assert counts["GET", INSTALLED, 200] == 1
    assert counts["POST", "/oauth/locationToken", 200] == 2
    assert counts["POST", "/oauth/locationToken", 401] == 1
    assert for_location.hits == 1
