"""Every way of paging, walked to its end, and the parameters each requires."""

import json

import pytest

from ghl_snapshots.simulator.accounts import Agency, Location
from ghl_snapshots_tests.simulator.conftest import Client

VOICE = "/voice-ai/agents"
CONVERSATION = "/conversation-ai/agents/search"
STUDIO = "/agent-studio/agent"
ROOMS = "/calendars/resources/rooms"


def ids(bodies: list[bytes], key: str = "id") -> list[str]:
    """The ids of raw entities."""
    return [json.loads(body)[key] for body in bodies]


def test_pages_of_locations_by_skip_give_each_once_in_order(client: Client, agency: Agency) -> None:
    common = {"token": agency.private_integration_token, "companyId": agency.company_id, "limit": 2}
    pages = client.pages("/locations/search", "locations", *({**common, "skip": skip} for skip in (0, 2, 4)))
    assert [len(page) for page in pages] == [2, 1, 0]
    assert [place["id"] for page in pages for place in page] == agency.location_ids


def test_locations_are_given_backwards_on_demand(client: Client, agency: Agency) -> None:
    token = agency.private_integration_token
    found = client.get("/locations/search", token=token, order="desc").json()["locations"]
    assert [place["id"] for place in found] == agency.location_ids[::-1]


def test_pages_of_rooms_are_bare_lists_by_skip(client: Client, location: Location) -> None:
    expected = ids(location.entities["rooms"])
    steps = [{"locationId": location.location_id, "limit": 5, "skip": skip} for skip in (0, 5, 10)]
    pages = client.pages(ROOMS, None, *steps)
    assert [len(page) for page in pages] == [5, 1, 0]
    assert [room["id"] for page in pages for room in page] == expected


def test_numbered_pages_tell_the_total(client: Client, location: Location) -> None:
    expected = ids(location.entities["voice_ai_agents"])
    found: list[str] = []
    for page in (1, 2, 3):
        content = client.get(VOICE, locationId=location.location_id, page=page, pageSize=25).json()
        assert (content["total"], content["page"], content["pageSize"]) == (57, page, 25)
        found += [agent["id"] for agent in content["agents"]]
    assert found == expected
    beyond = client.get(VOICE, locationId=location.location_id, page=4, pageSize=25).json()
    assert beyond["agents"] == []


def test_cursor_pages_start_after_the_last_agent(client: Client, location: Location) -> None:
    expected = ids(location.entities["conversation_ai_agents"])
    found: list[str] = []
    counts: list[int] = []
    while not counts or counts[-1]:
        content = client.get(CONVERSATION, startAfter=found[-1] if found else "", limit=5).json()
        assert content["totalCount"] == 12
        counts.append(content["count"])
        found += [agent["id"] for agent in content["agents"]]
    assert (found, counts) == (expected, [5, 5, 2, 0])


def test_offset_pages_tell_whether_there_is_more(client: Client, location: Location) -> None:
    expected = ids(location.entities["agent_studio_agents"], "agentId")
    found: list[str] = []
    for offset, more in ((0, True), (27, False)):
        content = client.get(STUDIO, locationId=location.location_id, limit=27, offset=offset).json()
        assert content["pagination"] == {"total": 54, "limit": 27, "offset": offset, "hasMore": more}
        found += [agent["agentId"] for agent in content["agents"]]
    assert found == expected


def test_without_a_limit_ten_come(client: Client, location: Location) -> None:
    assert len(client.get(VOICE, locationId=location.location_id).json()["agents"]) == 10
    assert len(client.get(CONVERSATION).json()["agents"]) == 10


@pytest.mark.parametrize(
    ("path", "query", "problem"),
    [
        (VOICE, {"pageSize": 51}, "pageSize must not be greater than 50"),
        (VOICE, {"page": 5001}, "page must not be greater than 5000"),
        (VOICE, {"page": 0}, "page must not be less than 1"),
        (VOICE, {"page": "two"}, "page must be a number string"),
        (STUDIO, {"limit": 5}, "offset should not be empty"),
        (STUDIO, {"offset": 0}, "limit should not be empty"),
        (STUDIO, {"limit": 5, "offset": -1}, "offset must be a number string"),
        (VOICE, {"cursor": "x"}, "property cursor should not exist"),
    ],
)
def test_wrong_parameters_are_unprocessable(
    client: Client, location: Location, path: str, query: dict[str, object], problem: str
) -> None:
    answer = client.get(path, query, locationId=location.location_id)
    assert (answer.status_code, answer.json()["message"]) == (422, [problem])
    assert answer.json()["error"] == "Unprocessable Entity"


@pytest.mark.parametrize("query", [{"limit": 5}, {"skip": 0}, {"limit": 0, "skip": 0}])
def test_wrong_parameters_are_a_bad_request_where_the_documents_say_so(
    client: Client, location: Location, query: dict[str, object]
) -> None:
    answer = client.get(ROOMS, query, locationId=location.location_id)
    assert (answer.status_code, answer.json()["error"]) == (400, "Bad Request")
    assert isinstance(answer.json()["message"], str)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/workflows/", 422), ("/opportunities/pipelines", 400), ("/calendars/", 400), (VOICE, 422)],
)
def test_a_missing_location_is_refused(client: Client, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert "locationId should not be empty" in answer.json()["message"]


def test_a_cursor_search_names_no_location(client: Client, location: Location) -> None:
    answer = client.get(CONVERSATION, locationId=location.location_id)
    assert answer.json()["message"] == ["property locationId should not exist"]


def test_a_cursor_that_is_no_agent_is_refused(client: Client) -> None:
    assert client.get(CONVERSATION, startAfter="nobody").status_code == 422


def test_drafted_calendars_are_left_out_on_demand(client: Client, location: Location) -> None:
    every = client.get("/calendars/", locationId=location.location_id, showDrafted="true").json()
    active = client.get("/calendars/", locationId=location.location_id, showDrafted="false").json()
    assert [one for one in every["calendars"] if one["isActive"]] == active["calendars"]
    assert len(active["calendars"]) < len(every["calendars"])


def test_the_total_of_lost_reasons_is_given_on_demand(client: Client, location: Location) -> None:
    path, place = "/opportunities/lost-reason", location.location_id
    assert client.get(path, locationId=place).json()["total"] is None
    total = client.get(path, locationId=place, getCount="true").json()["total"]
    assert total == len(location.entities["lost_reasons"])


def test_custom_fields_are_chosen_by_model(client: Client, location: Location) -> None:
    path = f"/locations/{location.location_id}/customFields"

    def names(model: str) -> set[str]:
        return {field["name"] for field in client.get(path, model=model).json()["customFields"]}

    contact, opportunity = names(model="contact"), names(model="opportunity")
    assert contact
    assert opportunity
    assert names(model="all") == contact | opportunity
    default = client.get(path).json()["customFields"]
    assert {field["name"] for field in default} == contact, "so GHL leaves out those of opportunities"
    assert client.get(path, model="company").status_code == 422


def test_actions_are_given_for_each_agent_of_the_location(client: Client, location: Location) -> None:
    for agent in client.get(CONVERSATION, limit=100).json()["agents"]:
        found = client.get(f"/conversation-ai/agents/{agent['id']}/actions/list").json()
        assert [{"id": one["id"], "type": one["type"]} for one in found["data"]] == agent["actions"]
        assert found["success"] is True
    assert len(location.children["agent_actions"]) == 12


def test_actions_of_an_unknown_agent_are_not_found(client: Client, stranger: Location) -> None:
    foreign = next(iter(stranger.children["agent_actions"]))
    for agent_id in ("nobody", foreign):
        assert client.get(f"/conversation-ai/agents/{agent_id}/actions/list").status_code == 404


@pytest.mark.parametrize("path", ["/workflows", "/calendars", "/nothing/here", "/locations/"])
def test_a_path_that_ghl_has_not_is_not_found(client: Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()["message"]) == (404, f"Cannot GET {path}")
