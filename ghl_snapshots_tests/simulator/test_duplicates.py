"""Lists that hold an entity twice, as a test puts it there: within a page and across two."""

import json

import pytest
import requests

from ghl_snapshots.simulator.accounts import Agency, Location
from ghl_snapshots_tests.simulator.conftest import Client

LISTS: tuple[tuple[str, str, tuple[dict[str, int], ...]], ...] = (
    ("workflows", "/workflows/", ({},)),
    ("rooms", "/calendars/resources/rooms", ({"skip": 0, "limit": 3}, {"skip": 3, "limit": 10})),
    ("voice_ai_agents", "/voice-ai/agents", ({"page": 1, "pageSize": 40}, {"page": 2, "pageSize": 40})),
    ("agent_studio_agents", "/agent-studio/agent", ({"offset": 0, "limit": 9}, {"offset": 9, "limit": 90})),
)


def items(answer: requests.Response) -> list[dict[str, object]]:
    """The entities of an answer."""
    content = answer.json()
    if isinstance(content, list):
        return content
    return next(value for value in content.values() if isinstance(value, list))


@pytest.mark.parametrize("changes", [{}, {"name": "Another"}], ids=["same bytes", "other bytes"])
@pytest.mark.parametrize(("kind", "path", "pages"), LISTS, ids=[kind for kind, _, _ in LISTS])
def test_a_list_gives_an_entity_twice_within_a_page_and_across_pages(
    client: Client,
    location: Location,
    kind: str,
    path: str,
    pages: tuple[dict[str, int], ...],
    changes: dict[str, str],
) -> None:
    entities = location.entities[kind]
    again = {**json.loads(entities[0]), **changes}
    body = json.dumps(again, ensure_ascii=False, separators=(",", ":")).encode()
    assert (body == entities[0]) is not bool(changes)
    entities.insert(1, body)
    entities.append(body)
    expected = [json.loads(one) for one in entities]
    found = [client.get(path, page, locationId=location.location_id) for page in pages]
    assert [one for answer in found for one in items(answer)] == expected


def test_a_cursor_goes_on_after_the_later_of_two(client: Client, location: Location) -> None:
    """Else the pages behind the later one would come again without end."""
    path, entities = "/conversation-ai/agents/search", location.entities["conversation_ai_agents"]
    del entities[3:]
    entities.append(entities[0])
    names = [json.loads(body)["id"] for body in entities]
    found: list[object] = []
    for cursor in ("", names[1], names[3]):
        found.append([one["id"] for one in items(client.get(path, startAfter=cursor, limit=2))])
    assert found == [names[:2], names[2:], []]


def test_equal_rooms_without_an_id_come_both(client: Client, location: Location) -> None:
    room = b'{"locationId":"x","name":"Treatment room","resourceType":"rooms"}'
    location.entities["rooms"][:] = [room, room]
    answer = client.get("/calendars/resources/rooms", locationId=location.location_id, skip=0, limit=100)
    assert answer.content == b"[%b,%b]" % (room, room)


@pytest.mark.parametrize("limit", [10, 3], ids=["one page", "two pages"])
def test_a_sub_account_is_listed_twice(client: Client, agency: Agency, limit: int) -> None:
    """By its id twice in the agency's, or with other bytes by a second summary of it."""
    agency.location_ids.append(agency.location_ids[0])
    query = {"companyId": agency.company_id, "limit": limit}
    pages = [
        client.get("/locations/search", {**query, "skip": skip}, token=agency.private_integration_token)
        for skip in (0, limit)
    ]
    assert [place["id"] for page in pages for place in items(page)] == agency.location_ids
    assert len(items(pages[0])) == min(limit, 4)


def test_a_sub_account_is_listed_with_other_bytes_too(client: Client, agency: Agency) -> None:
    location = client.simulator.accounts.locations[agency.location_ids[0]]
    summaries = location.entities["location_summaries"]
    summaries.append(summaries[0].replace(location.name.encode(), b"Another name"))
    listed = items(client.get("/locations/search", token=agency.private_integration_token))
    assert [place["id"] for place in listed] == [location.location_id, *agency.location_ids]
    assert listed[1]["name"] == "Another name"
