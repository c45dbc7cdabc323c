"""The endpoints: one row for each, with what it requires, what it gives and how it pages.

Paths, scopes, versions and parameters are those of GHL's published OpenAPI documents (June 2026).
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from urllib.parse import unquote

from ghl_snapshots.simulator.accounts import Accounts, Agency, Location
from ghl_snapshots.simulator.messages import Refusal, foreign_location, invalid, trace_id
from ghl_snapshots.simulator.paging import (
    BY_CURSOR,
    BY_OFFSET,
    BY_PAGE,
    BY_REQUIRED_SKIP,
    BY_SKIP,
    WHOLE,
    InventedEntities,
    Page,
    Paging,
    entity_id,
)

_JULY = "2021-07-28"
_APRIL = "2021-04-15"


class Access(Enum):
    """Whose token an endpoint takes."""

    LOCATION = "a location's"
    AGENCY = "an agency's"
    EITHER = "the location's or its agency's"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that passed the checks of its headers: whose it is and what it asks for."""

    accounts: Accounts
    location: Location | None
    agency: Agency | None
    path: Mapping[str, str]
    query: Mapping[str, str]

    @property
    def subject(self) -> Location:
        """The location that the call is about; a route without one does not ask."""
        if self.location is None:
            raise foreign_location()
        return self.location


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One GET endpoint; `select` gives all its entities for a call, of which `paging` takes a page.

    `items_key` is the list's key in the envelope: empty where the body itself is the list. `single`: the
    key holds one object instead.
    """

    template: str
    version: str
    scope: str
    access: Access = Access.LOCATION
    items_key: str
    select: Callable[[Call], Sequence[bytes]]
    paging: Paging = WHOLE
    single: bool = False
    parameters: frozenset[str] = frozenset({"locationId"})
    envelope: Mapping[str, object] = field(default_factory=dict)
    documents_422: bool = True
    """Whether wrong parameters are answered 422; the documents of some endpoints know only 400."""

    def as_documented(self, refusal: Refusal) -> Refusal:
        """The refusal with the status that the endpoint's document gives it."""
        if refusal.status != HTTPStatus.UNPROCESSABLE_ENTITY or self.documents_422:
            return refusal
        return Refusal(HTTPStatus.BAD_REQUEST, "; ".join(refusal.message))

    def body(self, call: Call, *, invent_entities: bool = False) -> bytes:
        """The body of the right answer, in which each entity stands exactly as its bytes are."""
        unknown = call.query.keys() - self.parameters - self.paging.parameters
        if unknown:
            raise invalid(*(f"property {name} should not exist" for name in sorted(unknown)))
        entities = self.select(call)
        if invent_entities and self.paging is not WHOLE:
            entities = InventedEntities()
        page = self.paging.take(entities, call.query)
        return self._compose(page)

    def _compose(self, page: Page) -> bytes:
        entities = b",".join(page.entities)
        if not self.items_key:
            return b"[" + entities + b"]"
        wrapped = entities if self.single else b"[" + entities + b"]"
        envelope = {**self.envelope, **page.envelope, "traceId": trace_id()}
        rest = json.dumps(envelope, separators=(",", ":")).encode()
        return b'{"' + self.items_key.encode() + b'":' + wrapped + b"," + rest[1:]


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
    return call.subject.agent_actions.get(agent_id, [])


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
        select=_kind("custom_fields"),
        parameters=frozenset(),
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
