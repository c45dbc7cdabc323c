"""GHL's ways of giving a list in pages: by skipping, by page number, by a cursor."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, overload

from ghl_snapshots.simulator.messages import invalid

_ANY_NUMBER = 10**9


class InventedEntities(Sequence[bytes]):
    """A row of a billion made-up entities with ids of their own, for a list that never ends."""

    _PREFIX = "invented"

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        """The entities at these positions."""
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        name = f"{self._PREFIX}{index:012}"
        return json.dumps({"id": name, "agentId": name, "name": f"Invented {index}"}).encode()

    def __len__(self) -> int:
        return _ANY_NUMBER

    def index(self, value: str, start: int = 0, stop: int = sys.maxsize) -> int:
        """The position of the entity with this id."""
        position = int(value.removeprefix(self._PREFIX))
        if not start <= position < min(stop, len(self)):
            raise ValueError(value)
        return position


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityPage:
    """The entities of one answer, and the numbers that its envelope may give."""

    entities: Sequence[bytes]
    total: int | None
    start: int | str
    """The page's own beginning as it was asked for."""
    size: int
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PageStyle:
    """How an endpoint pages: the style, and the parameters for a page's beginning and its size.

    `skip` counts entities from 0, `page` counts pages from 1, `cursor` takes the last entity's id.
    """

    style: Literal["skip", "page", "cursor"]
    start: str
    size: str
    required: bool = False
    """Whether both parameters must be given."""
    max_start: int = _ANY_NUMBER
    max_size: int = _ANY_NUMBER
    default_size: int = 10

    @property
    def first_page(self) -> Mapping[str, str]:
        """The parameters that ask for the first page."""
        return {self.start: {"skip": "0", "page": "1", "cursor": ""}[self.style]}

    def take(self, entities: Sequence[bytes], query: Mapping[str, str]) -> EntityPage:
        """The page that is asked for.

        Raises:
            Refusal: 422 for parameters that are missing or out of range.
        """
        missing = [name for name in (self.size, self.start) if self.required and not query.get(name)]
        if missing:
            raise invalid(*(f"{name} should not be empty" for name in missing))
        size = _number(query, self.size, default=self.default_size, minimum=1, maximum=self.max_size)
        start: int | str
        if self.style == "cursor":
            start = query.get(self.start, "")
            position = _position_after(entities, start)
        else:
            first = 1 if self.style == "page" else 0
            start = _number(query, self.start, default=first, minimum=first, maximum=self.max_start)
            position = (start - 1) * size if self.style == "page" else start
        return EntityPage(
            entities=entities[position : position + size],
            total=len(entities),
            start=start,
            size=size,
            more=position + size < len(entities),
        )


@lru_cache(maxsize=8192)
def entity_field(body: bytes, name: str) -> str | None:
    """A field of an entity's JSON; None where it has none or cannot be read."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return content.get(name) if isinstance(content, dict) else None


def _position_after(entities: Sequence[bytes], cursor: str) -> int:
    """Where the page after this entity begins; of an entity that is there twice, the later one counts."""
    if not cursor:
        return 0
    try:
        if isinstance(entities, InventedEntities):
            return entities.index(cursor) + 1
        return len(entities) - [entity_field(body, "id") for body in reversed(entities)].index(cursor)
    except ValueError:
        raise invalid("the cursor must be the id of an entity of the list") from None


def _number(query: Mapping[str, str], name: str, *, default: int, minimum: int, maximum: int) -> int:
    text = query.get(name, str(default))
    if not text.isascii() or not text.isdecimal():
        raise invalid(f"{name} must be a number string")
    number = int(text)
    if number < minimum:
        raise invalid(f"{name} must not be less than {minimum}")
    if number > maximum:
        raise invalid(f"{name} must not be greater than {maximum}")
    return number
