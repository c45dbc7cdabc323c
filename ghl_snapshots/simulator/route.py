"""What an endpoint is: whose token it takes, what it gives and how it pages."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus

from ghl_snapshots.simulator.accounts import Accounts, Agency, Location
from ghl_snapshots.simulator.messages import Refusal, foreign_location, invalid, trace_id
from ghl_snapshots.simulator.paging import WHOLE, InventedEntities, Page, Paging


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
