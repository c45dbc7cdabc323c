"""GHL's ways of giving a list in pages, each a function from all entities and the query to one page."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import overload

from ghl_snapshots.simulator.messages import invalid


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The entities of one answer, and what its envelope says about paging."""

    entities: Sequence[bytes]
    envelope: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """A way of paging: the query parameters it takes, their values on the first page, and its function."""

    parameters: frozenset[str]
    first_page: Mapping[str, str]
    take: Callable[[Sequence[bytes], Mapping[str, str]], Page]


class InventedEntities(Sequence[bytes]):
    """A row of a billion made-up entities with ids of their own, for a list that never ends."""

    _LENGTH = 1_000_000_000
    _PREFIX = "invented"

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        """The entities at these positions."""
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(self._LENGTH))]
        name = f"{self._PREFIX}{index:012}"
        return json.dumps({"id": name, "agentId": name, "name": f"Invented {index}"}).encode()

    def __len__(self) -> int:
        return self._LENGTH

    def index(self, value: str, start: int = 0, stop: int = sys.maxsize) -> int:
        """The position of the entity with this id."""
        position = int(value.removeprefix(self._PREFIX))
        if not start <= position < min(stop, self._LENGTH):
            raise ValueError(value)
        return position


@lru_cache(maxsize=8192)
def entity_id(body: bytes) -> str | None:
    """The `id` of an entity's JSON; None where it has none or cannot be read."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return content.get("id") if isinstance(content, dict) else None


def _whole(entities: Sequence[bytes], _query: Mapping[str, str]) -> Page:
    return Page(entities=entities)


def _by_skip(entities: Sequence[bytes], query: Mapping[str, str]) -> Page:
    skip = _number(query, "skip", default=0, least=0)
    limit = _number(query, "limit", default=10)
    return Page(entities=entities[skip : skip + limit])


def _by_required_skip(entities: Sequence[bytes], query: Mapping[str, str]) -> Page:
    _require(query, "limit", "skip")
    return _by_skip(entities, query)


def _by_page(entities: Sequence[bytes], query: Mapping[str, str]) -> Page:
    page = _number(query, "page", default=1, most=5000)
    size = _number(query, "pageSize", default=10, most=50)
    start = (page - 1) * size
    envelope = {"total": len(entities), "page": page, "pageSize": size}
    return Page(entities=entities[start : start + size], envelope=envelope)


def _by_cursor(entities: Sequence[bytes], query: Mapping[str, str]) -> Page:
    start = _position_after(entities, query.get("startAfter", ""))
    found = entities[start : start + _number(query, "limit", default=10)]
    return Page(entities=found, envelope={"totalCount": len(entities), "count": len(found)})


def _by_offset(entities: Sequence[bytes], query: Mapping[str, str]) -> Page:
    _require(query, "limit", "offset")
    offset = _number(query, "offset", default=0, least=0)
    limit = _number(query, "limit", default=10)
    total = len(entities)
    pagination = {"total": total, "limit": limit, "offset": offset, "hasMore": offset + limit < total}
    return Page(entities=entities[offset : offset + limit], envelope={"pagination": pagination})


WHOLE = Paging(parameters=frozenset(), first_page={}, take=_whole)
"""One answer holds everything."""
BY_SKIP = Paging(parameters=frozenset({"skip", "limit"}), first_page={"skip": "0"}, take=_by_skip)
"""skip and limit, both optional; the envelope tells nothing."""
BY_REQUIRED_SKIP = Paging(
    parameters=frozenset({"skip", "limit"}), first_page={"skip": "0"}, take=_by_required_skip
)
"""skip and limit, both required."""
BY_PAGE = Paging(parameters=frozenset({"page", "pageSize"}), first_page={"page": "1"}, take=_by_page)
"""page from 1 and pageSize up to 50; `total` in the envelope."""
BY_CURSOR = Paging(
    parameters=frozenset({"startAfter", "limit"}), first_page={"startAfter": ""}, take=_by_cursor
)
"""startAfter, which is the last agent's id, and limit; `totalCount` and `count` in the envelope."""
BY_OFFSET = Paging(parameters=frozenset({"offset", "limit"}), first_page={"offset": "0"}, take=_by_offset)
"""offset and limit, both required; `pagination` in the envelope."""


def _position_after(entities: Sequence[bytes], cursor: str) -> int:
    if not cursor:
        return 0
    try:
        if isinstance(entities, InventedEntities):
            return entities.index(cursor) + 1
        return [entity_id(body) for body in entities].index(cursor) + 1
    except ValueError:
        raise invalid("startAfter must be the id of an agent of this location") from None


def _require(query: Mapping[str, str], *names: str) -> None:
    missing = [f"{name} should not be empty" for name in names if not query.get(name)]
    if missing:
        raise invalid(*missing)


def _number(query: Mapping[str, str], name: str, *, default: int, least: int = 1, most: int = 10**9) -> int:
    text = query.get(name, str(default))
    if not text.isascii() or not text.isdecimal():
        raise invalid(f"{name} must be a number string")
    number = int(text)
    if number < least:
        raise invalid(f"{name} must not be less than {least}")
    if number > most:
        raise invalid(f"{name} must not be greater than {most}")
    return number
