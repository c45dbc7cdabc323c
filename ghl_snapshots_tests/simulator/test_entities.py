"""What is sent for an entity is exactly its bytes; the same seed gives the same world."""

import json

import pytest

from ghl_snapshots.simulator.accounts import Accounts, Agency, Location
from ghl_snapshots.simulator.content import KINDS
from ghl_snapshots.simulator.generation import demo_accounts, generated_accounts
from ghl_snapshots_tests.simulator.conftest import Client

PLANTED = (
    b'{"id":"planted","n":1.10,"m":1E5,"big":123456789012345678901234567890,"deep":{"x":[1,{"y":null}]}}',
    b'{"id":"planted" , "dup":1,"dup":2,\n"spaced" : true}',
    rb'{"id":"planted","lone":"\ud83d","nul":"\u0000","escaped":"\u00e9\/"}',
    '{"id":"planted","emoji":"\N{PARTY POPPER} caf\u00e9"}'.encode(),
    b'{"id":"planted","long":"' + b"x" * 200_000 + b'"}',
)
ENDPOINTS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("custom_fields", "/locations/{}/customFields", {"model": "all"}),
    ("pipelines", "/opportunities/pipelines", {"locationId": "{}"}),
    ("workflows", "/workflows/", {"locationId": "{}"}),
    ("rooms", "/calendars/resources/rooms", {"locationId": "{}", "limit": "500", "skip": "0"}),
    ("conversation_ai_agents", "/conversation-ai/agents/search", {"limit": "500"}),
    ("agent_studio_agents", "/agent-studio/agent", {"locationId": "{}", "limit": "500", "offset": "0"}),
)
WITHOUT_LOCATION_ID = {
    "location",
    "location_summaries",
    "installed_locations",
    "locations_without_app",
    "company",
    "sms_providers",
    "email_providers",
    "knowledge_bases",
}


def everything(accounts: Accounts) -> dict[str, dict[str, list[bytes]]]:
    """Every entity of a world by location and kind, those of a parent by kind and the parent's id."""
    return {
        place.location_id: {
            **place.entities,
            **{
                f"{kind} of {parent_id}": bodies
                for kind, lists in place.children.items()
                for parent_id, bodies in lists.items()
            },
        }
        for place in accounts.locations.values()
    }


@pytest.mark.parametrize("planted", PLANTED, ids=["numbers", "duplicates", "escapes", "emoji", "long"])
@pytest.mark.parametrize(("kind", "path", "query"), ENDPOINTS, ids=[kind for kind, _, _ in ENDPOINTS])
def test_a_planted_entity_is_sent_byte_for_byte(
    client: Client, location: Location, kind: str, path: str, query: dict[str, str], planted: bytes
) -> None:
    location.entities[kind].insert(1, planted)
    name = location.location_id
    answer = client.get(path.format(name), {key: value.format(name) for key, value in query.items()})
    before, after = (location.entities[kind][index] for index in (0, 2))
    assert before + b"," + planted + b"," + after in answer.content


def test_a_single_object_is_sent_byte_for_byte(client: Client, location: Location, agency: Agency) -> None:
    location.entities["location"][:] = [PLANTED[2]]
    answer = client.get(f"/locations/{location.location_id}")
    assert answer.content.startswith(b'{"location":' + PLANTED[2] + b',"traceId":')
    location.entities["location_summaries"][:] = [PLANTED[1]]
    found = client.get("/locations/search", token=agency.private_integration_token)
    assert PLANTED[1] in found.content


def test_a_planted_agent_has_the_actions_planted_for_it(client: Client, location: Location) -> None:
    location.entities["conversation_ai_agents"].append(PLANTED[0])
    path = "/conversation-ai/agents/planted/actions/list"
    assert client.get(path).json()["data"] == []
    location.children["agent_actions"]["planted"] = [PLANTED[1]]
    assert client.get(path).content.startswith(b'{"data":[' + PLANTED[1] + b"],")


def test_the_same_seed_gives_the_same_world_and_another_seed_another() -> None:
    assert everything(demo_accounts(7)) == everything(demo_accounts(7))
    assert demo_accounts(7).client_secret == demo_accounts(7).client_secret
    assert everything(demo_accounts(7)).keys().isdisjoint(everything(demo_accounts(8)))


def test_the_order_in_which_kinds_are_asked_for_changes_nothing() -> None:
    one, other = demo_accounts(3), demo_accounts(3)
    for place in other.locations.values():
        assert {kind: place.entities[kind] for kind in reversed(list(KINDS))}
    assert everything(one) == everything(other)


def test_the_demo_world_goes_past_one_page_in_every_way_of_paging() -> None:
    """At the largest page that each endpoint allows or its clients use, where that is realistic."""
    accounts = demo_accounts(1)
    most = {kind: max(len(place.entities[kind]) for place in accounts.locations.values()) for kind in KINDS}
    assert most["voice_ai_agents"] > 50
    assert most["templates"] > 25
    assert most["lost_reasons"] > 100
    assert most["rooms"] > 100
    assert most["conversation_ai_agents"] > 10
    assert len(accounts.agencies) == 1
    assert len(accounts.single_locations) == 2
    assert len(next(iter(accounts.agencies.values())).location_ids) == 3


def test_ids_are_unique_and_every_entity_names_its_location() -> None:
    for place in demo_accounts(1).locations.values():
        for kind in set(KINDS) - WITHOUT_LOCATION_ID:
            entities = [json.loads(body) for body in place.entities[kind]]
            found = [one.get("id", one.get("agentId")) for one in entities]
            assert len(set(found)) == len(found)
            assert {one["locationId"] for one in entities} <= {place.location_id}


def test_generated_worlds_have_the_asked_shape() -> None:
    singles = generated_accounts(1, tenants=30)
    assert (len(singles.locations), len(singles.agencies), len(singles.single_locations)) == (30, 0, 30)
    agencies = generated_accounts(1, tenants=2, locations_per_agency=40, sizes={"workflows": 3})
    assert [len(agency.location_ids) for agency in agencies.agencies.values()] == [40, 40]
    assert len({place.name for place in agencies.locations.values()}) == 80
    assert len(agencies.locations[next(iter(agencies.locations))].entities["workflows"]) == 3


def test_a_size_of_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"of the kind workflow$"):
        generated_accounts(1, tenants=1, sizes={"workflow": 3})


def test_references_lead_to_entities_of_the_same_location() -> None:
    for place in demo_accounts(1).locations.values():
        ids = {kind: {json.loads(body).get("id") for body in place.entities[kind]} for kind in KINDS}
        for calendar in map(json.loads, place.entities["calendars"]):
            assert calendar["groupId"] in ids["calendar_groups"]
        for agent in map(json.loads, place.entities["voice_ai_agents"]):
            assert set(agent["callEndWorkflowIds"]) <= ids["workflows"]


def test_no_placeholder_is_left_in_any_entity() -> None:
    for lists in everything(demo_accounts(1)).values():
        assert not [body for bodies in lists.values() for body in bodies if b"${" in body or b'"$' in body]


def test_credentials_are_not_in_a_repr() -> None:
    accounts = demo_accounts(1)
    for holder in (accounts, *accounts.holders()):
        shown = repr(holder)
        assert "pit-" not in shown
        assert accounts.client_secret not in shown
        assert ".1." not in shown
