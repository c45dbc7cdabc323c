"""What a row of the catalogue says about a GHL call.

Places in an answer are dotted paths, such as `data.knowledgeBases`; the empty path is the body itself. In a
parent entity, `[]` behind a name stands for each element of a list: `teamMembers[].userId`.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import Enum

from ghl_snapshots.core.model import AccountKind, SnapshotType


class Shape(Enum):
    """What an answer holds at the place of its entities."""

    LIST = "a list"
    OBJECT = "one object"


class By(Enum):
    """What tells GHL where a page begins."""

    POSITION = "the number of entities before it"
    PAGE = "its number, from 1"
    CURSOR = "the id of the last entity before it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """How an endpoint gives more than one page."""

    by: By
    start: str
    """The query parameter for the page's beginning; empty: it is not sent."""
    limit: str
    """The query parameter for the page's size; empty: it is not sent."""
    size: int
    """How many entities are asked for."""
    short_is_last: bool = False
    """Whether fewer than asked for end the list; only where GHL documents pages of this size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """A call is made for each entity of another one, the parent."""

    path: str
    """The parent's path."""
    into: str
    """The placeholder, in the call's path or query, that the parent's value fills."""
    value: str = ""
    """The place of the value in the parent's entity; empty for the entity's id."""
    where: tuple[str, str] | None = None
    """A place in the parent's entity, and the pattern that its text matches if the call is worth making.

    An entity that has nothing there is asked about too.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """Another form of the call, for when GHL does not take the first."""

    statuses: AbstractSet[int]
    """The answers after which it is made."""
    unpaged: bool = False
    """Without the parameters of paging; the answer is then whole only if it is less than a page."""
    parent: Parent | None = None
    query: tuple[tuple[str, str], ...] = ()
    """More parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One GHL call: how it is asked, how it pages, and where its answer holds entities.

    `path` and the values of `query` may hold `{locationId}`, `{companyId}`, `{appId}` and what a parent
    fills.
    """

    snapshot_type: SnapshotType
    path: str
    holds: str
    """What its entities are, for people."""
    scope: str
    """The OAuth scope, or the Private Integration's permission, that the call needs."""
    api_version: str = "2021-07-28"
    must: bool = True
    """Whether a snapshot is incomplete without it. One that is not is left out where GHL refuses it."""
    account: AccountKind = AccountKind.LOCATION
    """Whose token asks, and of what: each location, or the company itself."""
    query: tuple[tuple[str, str], ...] = ()
    paging: Paging | None = None
    items: tuple[str, ...] = ("",)
    """The places of the entities; only the first has to be there."""
    is_optional: bool = False
    """Whether the first need not be there either, as long as the object around it is."""
    shape: Shape = Shape.LIST
    id: str = "id"
    """The place of an entity's id in it; empty where GHL documents none."""
    total: tuple[str, ...] = ("total", "totalCount", "pagination.total")
    """Where the answer may say how many entities there are in all."""
    more: tuple[str, ...] = ("hasMore", "pagination.hasMore")
    """Where the answer may say whether more follow."""
    parent: Parent | None = None
    absent: AbstractSet[int] = frozenset()
    """The statuses that say that there is none."""
    fallback: Fallback | None = None
    is_account: bool = False
    """Whether its entity is the account itself, so that the entity's id must be the account's."""
    agency_token: bool = False
    """Whether an agency's own Private Integration Token opens it; GHL answers it 401 everywhere else."""
    in_payload: bool = True
    """Whether its entities stand in payloads; others only say what is to be fetched."""
    source: str = ""
    """Where the call is described, if not in GHL's published OpenAPI documents."""

    @property
    def name(self) -> str:
        """The path template, which names the endpoint in snapshots, metrics and errors."""
        return self.path

    def in_fallback(self) -> "Endpoint":
        """The other form of the call."""
        fallback = self.fallback
        if fallback is None:
            return self
        return replace(
            self,
            parent=fallback.parent or self.parent,
            query=(*self.query, *fallback.query),
            paging=replace(self.paging, start="", limit="")
            if self.paging and fallback.unpaged
            else self.paging,
            fallback=None,
        )
