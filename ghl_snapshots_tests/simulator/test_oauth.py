"""The token endpoints: single-use refresh tokens, location tokens, expiry, and restarts."""

import pytest
import requests

from ghl_snapshots.simulator.accounts import Agency, Location
from ghl_snapshots.simulator.generation import demo_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.simulator.conftest import Client


def test_a_refresh_token_gives_an_access_token_and_the_next_refresh_token(
    client: Client, location: Location
) -> None:
    answer = client.refresh(location).json()
    assert (answer["token_type"], answer["expires_in"], answer["userType"]) == ("Bearer", 86399, "Location")
    assert (answer["locationId"], answer["companyId"]) == (location.location_id, location.company_id)
    assert answer["refresh_token"] != location.refresh_token
    read = client.get("/workflows/", token=answer["access_token"], locationId=location.location_id)
    assert read.status_code == 200


def test_a_refresh_token_is_good_for_one_use(client: Client, location: Location) -> None:
    following = client.refresh(location).json()["refresh_token"]
    again = client.refresh(location)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert client.refresh(location, following).status_code == 200


def test_a_restarted_simulator_accepts_what_its_previous_life_issued(
    client: Client, location: Location
) -> None:
    first = client.refresh(location).json()
    second = client.refresh(location, first["refresh_token"]).json()
    with Simulator(demo_accounts(seed=1)) as restarted:
        client.simulator = restarted
        read = client.get("/workflows/", token=second["access_token"], locationId=location.location_id)
        assert read.status_code == 200
        assert client.refresh(location, second["refresh_token"]).status_code == 200
        assert client.refresh(location, first["refresh_token"]).status_code == 400


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("client_secret", "wrong", 401),
        ("client_id", "wrong", 401),
        ("grant_type", "password", 400),
        ("user_type", "Company", 400),
        ("refresh_token", "forged.1.signature", 400),
        ("refresh_token", "", 422),
    ],
)
def test_a_wrong_field_is_refused_and_does_not_spend_the_token(
    client: Client, location: Location, field: str, value: str, status: int
) -> None:
    assert client.refresh(location, **{field: value}).status_code == status
    assert client.refresh(location).status_code == 200


def redeem(client: Client, location: Location, **fields: str) -> requests.Response:
    """Answer to POST /oauth/token for an authorization code."""
    return client.refresh(location, **{"grant_type": "authorization_code", **fields})


def test_an_authorization_code_is_good_once_and_gives_new_tokens(
    client: Client, simulator: Simulator, location: Location
) -> None:
    code = simulator.tokens.issue_authorization_code(location.location_id)
    answer = redeem(client, location, code=code).json()
    assert (answer["userType"], answer["locationId"]) == ("Location", location.location_id)
    read = client.get("/workflows/", token=answer["access_token"], locationId=location.location_id)
    assert read.status_code == 200
    again = redeem(client, location, code=code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert client.refresh(location).status_code == 400
    assert client.refresh(location, answer["refresh_token"]).status_code == 200


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("client_secret", "wrong", 401),
        ("user_type", "Company", 400),
        ("code", "forged", 400),
        ("code", "", 422),
    ],
)
def test_a_wrong_field_does_not_spend_an_authorization_code(
    client: Client, simulator: Simulator, location: Location, field: str, value: str, status: int
) -> None:
    code = simulator.tokens.issue_authorization_code(location.location_id)
    assert redeem(client, location, **{"code": code, field: value}).status_code == status
    assert client.refresh(location).status_code == 200
    assert redeem(client, location, code=code).status_code == 200


def test_a_refresh_sent_as_json_is_refused(client: Client) -> None:
    answer = client.session.post(f"{client.simulator.base_url}/oauth/token", json={}, timeout=5)
    assert answer.status_code == 422


def test_an_expired_access_token_is_refused(client: Client, simulator: Simulator, location: Location) -> None:
    simulator.tokens.access_token_seconds = 0
    token = client.refresh(location).json()["access_token"]
    answer = client.get("/workflows/", token=token, locationId=location.location_id)
    assert (answer.status_code, answer.json()["message"]) == (401, "Invalid JWT")


def test_revoked_access_tokens_are_refused_and_a_refresh_gives_a_good_one(
    client: Client, simulator: Simulator, location: Location
) -> None:
    first = client.refresh(location).json()
    simulator.tokens.revoke_access_tokens()
    second = client.refresh(location, first["refresh_token"]).json()
    for answer, status in ((first, 401), (second, 200)):
        read = client.get("/workflows/", token=answer["access_token"], locationId=location.location_id)
        assert read.status_code == status


def test_an_agencys_access_token_is_exchanged_for_a_locations(
    client: Client, agency: Agency, location: Location
) -> None:
    token = client.refresh(agency).json()["access_token"]
    form = {"companyId": agency.company_id, "locationId": location.location_id}
    answer = client.post("/oauth/locationToken", form, token=token)
    content = answer.json()
    assert (content["locationId"], content["userType"]) == (location.location_id, "Location")
    assert "refresh_token" not in content
    read = client.get("/workflows/", token=content["access_token"], locationId=location.location_id)
    assert read.status_code == 200


def test_a_location_token_is_refused_for_what_the_agency_has_not(
    client: Client, agency: Agency, location: Location, stranger: Location
) -> None:
    token = client.refresh(agency).json()["access_token"]
    path, company = "/oauth/locationToken", agency.company_id
    foreign = {"companyId": company, "locationId": stranger.location_id}
    assert client.post(path, foreign, token=token).status_code == 403
    assert client.post(path, {"companyId": company, "locationId": "unknown"}, token=token).status_code == 404
    other_company = {"companyId": "other", "locationId": location.location_id}
    assert client.post(path, other_company, token=token).status_code == 403
    assert client.post(path, {"companyId": company}, token=token).status_code == 422


def test_a_location_token_needs_an_agencys_access_token_and_a_version(
    client: Client, agency: Agency, location: Location
) -> None:
    form = {"companyId": agency.company_id, "locationId": location.location_id}
    path = "/oauth/locationToken"
    token = client.refresh(agency).json()["access_token"]
    assert (
        client.post(path, form, token=token, version=None).json()["message"]
        == "version header was not found."
    )
    assert client.post(path, form, token=agency.private_integration_token).status_code == 401
    assert client.post(path, form, token=location.private_integration_token).status_code == 401
    own = client.refresh(location).json()["access_token"]
    assert client.post(path, form, token=own).status_code == 401


def test_an_access_token_of_a_removed_location_has_no_access(
    client: Client, simulator: Simulator, location: Location
) -> None:
    token = client.refresh(location).json()["access_token"]
    del simulator.accounts.locations[location.location_id]
    answer = client.get("/workflows/", token=token, locationId=location.location_id)
    assert (answer.status_code, answer.json()["message"]) == (
        403,
        "The token does not have access to this location.",
    )


def test_a_refresh_can_answer_with_the_tokens_of_another_account(
    client: Client, location: Location, stranger: Location
) -> None:
    location.token_account_id = stranger.location_id
    answer = client.refresh(location).json()
    assert (answer["locationId"], answer["companyId"]) == (stranger.location_id, stranger.company_id)
    token = answer["access_token"]
    assert client.get("/workflows/", token=token, locationId=stranger.location_id).status_code == 200
    assert client.get("/workflows/", token=token, locationId=location.location_id).status_code == 403
    assert client.refresh(location).status_code == 400, "the grant is used up all the same"
    assert client.refresh(stranger).status_code == 200, "the other account's own grant is not"
    location.token_account_id = None
    again = client.refresh(stranger, answer["refresh_token"]).json()
    assert again["locationId"] == stranger.location_id


def test_an_exchange_and_an_agencys_refresh_can_answer_for_another_account(
    client: Client, agency: Agency, location: Location, stranger: Location
) -> None:
    token = client.refresh(agency).json()["access_token"]
    location.token_account_id = stranger.location_id
    assert client.exchange(location, token=token).json()["locationId"] == stranger.location_id
    agency.token_account_id = stranger.location_id
    code = client.simulator.tokens.issue_authorization_code(agency.company_id)
    answer = client.refresh(agency, grant_type="authorization_code", code=code).json()
    assert (answer["userType"], answer["companyId"]) == ("Location", stranger.company_id)


def test_the_endpoint_that_brought_a_lost_refresh_token_back_is_gone(client: Client) -> None:
    answer = client.post("/oauth/reconnect", {})
    assert (answer.status_code, answer.content) == (400, b'{"message":"API endpoint has been removed"}')
