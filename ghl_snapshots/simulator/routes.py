"""The endpoints: one row for each.

Paths, scopes, versions and parameters are those of GHL's published OpenAPI documents (June 2026).
"""

import json
import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from urllib.parse import unquote

from ghl_snapshots.simulator.messages import Refusal, foreign_location, invalid
from ghl_snapshots.simulator.paging import (
    BY_CURSOR,
    BY_OFFSET,
    BY_PAGE,
    BY_REQUIRED_SKIP,
    BY_SKIP,
    entity_id,
)
from ghl_snapshots.simulator.route import Access, Call, Route

_JULY = "2021-07-28"
_APRIL = "2021-04-15"


def _kind(kind: str) -> Callable[[Call], Sequence[bytes]]:
    return lambda call: call.subject.entities[kind]


def _location_summaries(call: Call) -> Sequence[bytes]:
    if call.agency is None:
        raise foreign_location()
    if call.query.get("companyId", call.agency.company_id) != call.agency.company_id:
        raise Refusal(HTTPStatus.FORBIDDEN, "The token does not have access to this company.")
    order = call.query.get("order", "asc")
    if order not in {"asc", "desc"}:
        raise invalid("order must be one of the following values: asc, desc")
    places = call.accounts.locations_of(call.agency)
    ordered = places if order == "asc" else places[::-1]
    return [summary for place in ordered for summary in place.entities["location_summaries"]]


def _custom_fields(call: Call) -> Sequence[bytes]:
    fields = call.subject.entities["custom_fields"]
    model = call.query.get("model", "all")
    if model not in {"all", "contact", "opportunity"}:
        raise invalid("model must be one of the following values: contact, opportunity, all")
    return [body for body in fields if model in {"all", json.loads(body).get("model")}]


def _calendars(call: Call) -> Sequence[bytes]:
    calendars = call.subject.entities["calendars"]
    if call.query.get("showDrafted", "true") != "false":
        return calendars
    return [body for body in calendars if json.loads(body).get("isActive") is not False]


def _agent_actions(call: Call) -> Sequence[bytes]:
    agent_id = call.path["agentId"]
    agents = call.subject.entities["conversation_ai_agents"]
    if agent_id not in map(entity_id, agents):
        raise Refusal(HTTPStatus.NOT_FOUND, "Agent not found.")
    return call.subject.children["agent_actions"].get(agent_id, [])


ROUTES = (
    Route(
        template="/locations/search",
        version=_JULY,
        scope="locations.readonly",
        access=Access.AGENCY,
        items_key="locations",
        select=_location_summaries,
        paging=BY_SKIP,
        parameters=frozenset({"companyId", "order"}),
    ),
    Route(
        template="/locations/{locationId}",
        version=_JULY,
        scope="locations.readonly",
        access=Access.EITHER,
        items_key="location",
        select=_kind("location"),
        single=True,
        parameters=frozenset(),
    ),
    Route(
        template="/locations/{locationId}/customFields",
        version=_JULY,
        scope="locations/customFields.readonly",
        items_key="customFields",
        select=_custom_fields,
        parameters=frozenset({"model"}),
    ),
    Route(
        template="/locations/{locationId}/customValues",
        version=_JULY,
        scope="locations/customValues.readonly",
        items_key="customValues",
        select=_kind("custom_values"),
        documents_422=False,
        parameters=frozenset(),
    ),
    Route(
        template="/locations/{locationId}/tags",
        version=_JULY,
        scope="locations/tags.readonly",
        items_key="tags",
        select=_kind("tags"),
        parameters=frozenset(),
    ),
    Route(
        template="/opportunities/pipelines",
        version=_JULY,
        scope="opportunities.readonly",
        items_key="pipelines",
        select=_kind("pipelines"),
        documents_422=False,
    ),
    Route(
        template="/workflows/",
        version=_JULY,
        scope="workflows.readonly",
        items_key="workflows",
        select=_kind("workflows"),
    ),
    Route(
        template="/calendars/",
        version=_APRIL,
        scope="calendars.readonly",
        items_key="calendars",
        select=_calendars,
        documents_422=False,
        parameters=frozenset({"locationId", "showDrafted"}),
    ),
    Route(
        template="/calendars/groups",
        version=_APRIL,
        scope="calendars/groups.readonly",
        items_key="groups",
        select=_kind("calendar_groups"),
        documents_422=False,
    ),
    Route(
        template="/calendars/resources/rooms",
        version=_APRIL,
        scope="calendars/resources.readonly",
        items_key="",
        select=_kind("rooms"),
        documents_422=False,
        paging=BY_REQUIRED_SKIP,
    ),
    Route(
        template="/calendars/resources/equipments",
        version=_APRIL,
        scope="calendars/resources.readonly",
        items_key="",
        select=_kind("equipments"),
        documents_422=False,
        paging=BY_REQUIRED_SKIP,
    ),
    Route(
        template="/voice-ai/agents",
        version=_APRIL,
        scope="voice-ai-agents.readonly",
        items_key="agents",
        select=_kind("voice_ai_agents"),
        paging=BY_PAGE,
    ),
    Route(
        template="/conversation-ai/agents/search",
        version=_APRIL,
        scope="conversation-ai.readonly",
        items_key="agents",
        select=_kind("conversation_ai_agents"),
        paging=BY_CURSOR,
        parameters=frozenset(),  # the location is the token's
    ),
    Route(
        template="/conversation-ai/agents/{agentId}/actions/list",
        version=_APRIL,
        scope="conversation-ai.readonly",
        items_key="data",
        select=_agent_actions,
        parameters=frozenset(),
        envelope={"success": True},
    ),
    Route(
        template="/agent-studio/agent",
        version=_APRIL,
        scope="agent-studio.readonly",
        items_key="agents",
        select=_kind("agent_studio_agents"),
        paging=BY_OFFSET,
        envelope={"success": True, "message": "Agents retrieved successfully"},
    ),
)

_LITERAL = {route.template: route for route in ROUTES if "{" not in route.template}
_PATTERNS = tuple(
    (re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.template)), route)
    for route in ROUTES
    if "{" in route.template
)


def find_route(path: str) -> tuple[Route | None, dict[str, str]]:
    """The route of a path and the values of its placeholders; None where GHL has no such path."""
    literal = _LITERAL.get(path)
    if literal is not None:
        return literal, {}
    for pattern, route in _PATTERNS:
        found = pattern.fullmatch(path)
        if found:
            return route, {name: unquote(value) for name, value in found.groupdict().items()}
    return None, {}
