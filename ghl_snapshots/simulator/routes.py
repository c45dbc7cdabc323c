"""The GET endpoints, a row each in `data/routes.json`, and how any of them is answered.

Paths, scopes, versions and parameters are those of GHL's published OpenAPI documents (June 2026).
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import unquote

from ghl_snapshots.simulator.accounts import Holder, Location
from ghl_snapshots.simulator.content import CHILD_KINDS, load
from ghl_snapshots.simulator.messages import Refusal, invalid, trace_id
from ghl_snapshots.simulator.padding import padded
from ghl_snapshots.simulator.paging import EntityPage, InventedEntities, PageStyle, entity_field

_PLACEHOLDER = re.compile(rb'"\$\{(\w+)\}"')


@dataclass(frozen=True, kw_only=True)
class Route:
    """One endpoint: whose token reads it (`reader`), which entities it gives, and in what envelope.

    `answer` is the body with `${items}` or, for a single object, `${item}` where the entities stand, as
    deep as GHL has them; `${total}`, `${start}`, `${size}`, `${count}` and `${more}` are the page's.
    """

    template: str
    version: str
    scope: str
    kind: str
    answer: Any
    reader: Literal["location", "agency", "either"] = "location"
    app_only: bool = False
    """Whether it takes the OAuth app's tokens only, no Private Integration Token."""
    kind_without_app: str | None = None
    """What it gives of a location without the app, where that is not the same."""
    parent_id: str | None = None
    """For a kind of children: the part of the path, or the parameter, that names the parent."""
    parent_field: str = "id"
    """The parent's field whose value is there."""
    missing: tuple[int, str] | None = None
    """The answer for a parent that there is not, or that has no such object."""
    lists: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """More placeholders for lists of entities, each with the fields of those that stand there."""
    filters: Sequence[str] = ()
    """Parameters that choose the entities with that value in the field of the same name."""
    in_document: bool = True
    """Whether the OpenAPI documents have the endpoint."""
    query: Sequence[str] = ()
    """The parameters it takes beside those of `choices` and `paging`."""
    required: Sequence[str] = ()
    """Those of `query` that must be given."""
    choices: Mapping[str, Mapping[str, Mapping[str, object]]] = field(default_factory=dict)
    """Parameters by their values, each with the fields of the entities that it chooses; the first value is
    the default."""
    paging: PageStyle | None = None
    counted_by: str | None = None
    """The parameter that has to be `true` for the total to be given; without it, it is null."""
    invalid_status: int = 422
    """How wrong parameters are answered; the documents of some endpoints know only 400."""

    def as_documented(self, refusal: Refusal) -> Refusal:
        """The refusal with the status that the endpoint's document gives it."""
        if refusal.status != HTTPStatus.UNPROCESSABLE_ENTITY or self.invalid_status == refusal.status:
            return refusal
        return Refusal(HTTPStatus(self.invalid_status), "; ".join(refusal.message))

    def body(
        self,
        locations: Sequence[Holder],
        path: Mapping[str, str],
        query: Mapping[str, str],
        *,
        invent_entities: bool = False,
    ) -> bytes:
        """The body of the right answer, in which each entity stands exactly as its bytes are.

        Raises:
            Refusal: for wrong parameters, or a parent that the location has not.
        """
        unknown = query.keys() - self._parameters
        if unknown:
            raise invalid(*(f"property {name} should not exist" for name in sorted(unknown)))
        missing = [name for name in self.required if not query.get(name)]
        if missing:
            raise invalid(*(f"{name} should not be empty" for name in missing))
        entities = self._entities(locations, {**query, **path})
        for parameter, values in self.choices.items():
            entities = _chosen(entities, parameter, values, query)
        for name in self.filters:
            if name in query:
                entities = [body for body in entities if entity_field(body, name) == query[name]]
        if self.paging is None:
            page = EntityPage(entities=entities, total=len(entities), start=0, size=len(entities), more=False)
        else:
            page = self.paging.take(InventedEntities() if invent_entities else entities, query)
        if self.counted_by and query.get(self.counted_by) != "true":
            page = replace(page, total=None)
        least_bytes = max(
            (place.least_bytes.get(self.kind, 0) for place in locations if isinstance(place, Location)),
            default=0,
        )
        return self._compose(page, least_bytes)

    @cached_property
    def _parameters(self) -> frozenset[str]:
        paging = (self.paging.start, self.paging.size) if self.paging else ()
        return frozenset((*self.query, *self.choices, *self.filters, *paging))

    @cached_property
    def _answer_parts(self) -> list[bytes]:
        """The answer's plain bytes and the names of its placeholders in turn."""
        return _PLACEHOLDER.split(json.dumps(self.answer, separators=(",", ":")).encode())

    def _entities(self, locations: Sequence[Holder], given: Mapping[str, str]) -> Sequence[bytes]:
        if self.parent_id is None:
            kind_without_app = self.kind_without_app or self.kind
            lists = [
                place.entities[self.kind if place.installed else kind_without_app] for place in locations
            ]
            return lists[0] if len(lists) == 1 else [body for bodies in lists for body in bodies]
        [location] = [place for place in locations if isinstance(place, Location)]
        asked = given.get(self.parent_id)
        for parent in location.entities[CHILD_KINDS[self.kind].parent]:
            if entity_field(parent, self.parent_field) == asked:
                return location.children[self.kind].get(entity_field(parent, "id") or asked or "", [])
        raise self._missing

    @property
    def _missing(self) -> Refusal:
        return Refusal(*self.missing or (HTTPStatus.NOT_FOUND, f"There is no such {self.parent_id}."))

    def _compose(self, page: EntityPage, least_bytes: int) -> bytes:
        entities = [padded(entity, least_bytes) for entity in page.entities]
        items = b",".join(entities)
        parts = list(self._answer_parts)
        for place in range(1, len(parts), 2):
            match parts[place]:
                case b"item":
                    if not items:
                        raise self._missing
                    parts[place] = items
                case b"items":
                    parts[place] = b"[%b]" % items
                case b"traceId":
                    parts[place] = f'"{trace_id()}"'.encode()
                case b"count":
                    parts[place] = b"%d" % len(page.entities)
                case name if name.decode() in self.lists:
                    chosen = _with_fields(entities, self.lists[name.decode()])
                    parts[place] = b"[%b]" % b",".join(chosen)
                case name:
                    parts[place] = json.dumps(getattr(page, name.decode())).encode()
        return b"".join(parts)


def _chosen(
    entities: Sequence[bytes],
    parameter: str,
    values: Mapping[str, Mapping[str, object]],
    query: Mapping[str, str],
) -> Sequence[bytes]:
    value = query.get(parameter, next(iter(values)))
    if value not in values:
        raise invalid(f"{parameter} must be one of the following values: {', '.join(values)}")
    if value == "desc":
        return entities[::-1]
    return _with_fields(entities, values[value]) if values[value] else entities


def _with_fields(entities: Sequence[bytes], fields: Mapping[str, object]) -> Sequence[bytes]:
    """Those of the entities that have these fields."""
    return [body for body in entities if fields.items() <= json.loads(body).items()]


def _route(row: dict[str, Any]) -> Route:
    paging = PageStyle(**row.pop("paging")) if "paging" in row else None
    return Route(**row, paging=paging)


ROUTES = tuple(_route(dict(row)) for row in load("routes"))

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
        match = pattern.fullmatch(path)
        if match:
            return route, {name: unquote(value) for name, value in match.groupdict().items()}
    return None, {}
