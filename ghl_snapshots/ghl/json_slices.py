"""Exact slicing: the entities of an answer as the very bytes that GHL sent.

Parsing and writing again would lose key order, duplicate keys, `1.10` and much else. So the answer is walked
with the standard library's decoder, which gives where each element ends, and the text in between is kept.
Decoding UTF-8 strictly and encoding again gives the same bytes.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from ghl_snapshots.core.errors import ErrorKind, GhlError
from ghl_snapshots.core.json_text import legal_text
from ghl_snapshots.core.model import Entity
from ghl_snapshots.ghl.endpoints import Endpoint, Shape

_BYTE_ORDER_MARK: Final = "\ufeff"
_SPACES: Final = frozenset(" \t\n\r")
_WHITESPACE: Final = re.compile(r"[ \t\n\r]*")
_COUNT: Final = re.compile(r"[0-9]{1,15}")
_LONGEST_ID: Final = 256
_ENVELOPE: Final = frozenset({"total", "totalCount", "pagination", "hasMore", "traceId"})
_TYPE_NAMES: Final = {
    dict: "an object",
    list: "a list",
    str: "a string or number",
    bool: "true or false",
    type(None): "null",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The entities of one answer as they stood in it, and what its envelope says of the others."""

    entities: tuple[Entity, ...] = field(repr=False)
    named_locations: frozenset[str] = frozenset()
    """The locations that the entities say they belong to."""
    named_companies: frozenset[str] = frozenset()
    total: int | None = None
    has_more: bool | None = None
    trace_id: str | None = None


def read_answer(body: bytes, endpoint: Endpoint, location_id: str | None = None) -> Answer:
    """Take an answer apart as the catalogue describes it; its entities are put down to the location.

    Raises:
        GhlError: MALFORMED_RESPONSE, saying what in the body is not JSON, not UTF-8 or not as documented.
    """
    try:
        text = body.decode("utf-8")
        reader = _Reader(text.removeprefix(_BYTE_ORDER_MARK))
        items = _Items(endpoint, location_id)
        read = _bare_list if endpoint.shape is Shape.BARE_LIST else _object
        envelope = read(reader, items)
        reader.expect_end()
    except UnicodeDecodeError as error:
        raise malformed(f"the body is not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise malformed(f"the body is not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise malformed("the body is nested too deep") from None
    return _answer(items, envelope)


def read_object(body: bytes) -> dict[str, Any]:
    """A body that is one JSON object, such as an error or a token; numbers come as their text.

    Raises:
        GhlError: MALFORMED_RESPONSE.
    """
    try:
        value = _DECODER.decode(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise malformed("the body is not JSON") from None
    if not isinstance(value, dict):
        raise malformed(f"the body is {_type_name(value)}, not an object")
    return value


def malformed(reason: str) -> GhlError:
    """The error for an answer that is not as GHL documents it."""
    return GhlError(ErrorKind.MALFORMED_RESPONSE, reason)


def _refuse_constant(name: str) -> NoReturn:
    raise json.JSONDecodeError(f"{name} is not JSON", name, 0)


# Numbers stay text: their values are not needed, and Python refuses integers of more than 4,300 digits.
_DECODER: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse_constant)


class _Reader:
    """Walks over a JSON text, value by value."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def _next(self) -> str:
        """The next character that is not whitespace, left in place; empty at the end."""
        character = self.text[self.position : self.position + 1]
        if character in _SPACES:
            found = _WHITESPACE.match(self.text, self.position)
            self.position = found.end() if found else self.position
            character = self.text[self.position : self.position + 1]
        return character

    def took(self, character: str) -> bool:
        """Whether the character came next; it is then behind."""
        if self._next() != character:
            return False
        self.position += 1
        return True

    def expect(self, character: str) -> None:
        """Go past the character that must come next."""
        if not self.took(character):
            raise json.JSONDecodeError(f"Expecting {character!r}", self.text, self.position)

    def expect_end(self) -> None:
        """Make sure that nothing follows."""
        if self._next():
            raise json.JSONDecodeError("Extra data", self.text, self.position)

    def at(self, character: str) -> bool:
        """Whether the character comes next."""
        return self._next() == character

    def value(self) -> tuple[Any, str]:
        """The next value, decoded and as its exact text."""
        self._next()
        start = self.position
        value, self.position = _DECODER.raw_decode(self.text, start)
        return value, self.text[start : self.position]

    def elements(self) -> Iterator[tuple[Any, str]]:
        """Each element of the list that comes next."""
        self.expect("[")
        if self.took("]"):
            return
        while True:
            yield self.value()
            if self.took("]"):
                return
            self.expect(",")

    def keys(self) -> Iterator[str]:
        """Each key of the object that comes next; the caller reads the key's value before going on."""
        self.expect("{")
        if self.took("}"):
            return
        while True:
            if not self.at('"'):
                raise json.JSONDecodeError("Expecting a key", self.text, self.position)
            key, _ = self.value()
            self.expect(":")
            yield key
            if self.took("}"):
                return
            self.expect(",")


class _Items:
    """The entities of an answer, as they are read from it."""

    def __init__(self, endpoint: Endpoint, location_id: str | None) -> None:
        self.endpoint = endpoint
        self._location_id = location_id
        self.entities: list[Entity] = []
        self.named_locations: set[str] = set()
        self.named_companies: set[str] = set()

    def read_list(self, reader: _Reader, name: str) -> None:
        """Read each element of the list that comes next."""
        for index, (value, text) in enumerate(reader.elements()):
            self.add(value, text, f"{name}[{index}]")

    def add(self, value: object, text: str, place: str) -> None:
        """Take up one entity, which stands at that place in the answer."""
        if not isinstance(value, dict):
            raise malformed(f"{place} is {_type_name(value)}, not an object")
        entity_id = _identifier(value.get(self.endpoint.id_key)) or _identifier(value.get("_id"))
        # An answer of one object is the location itself.
        is_location = self.endpoint.shape is Shape.OBJECT
        named = entity_id if is_location else _identifier(value.get("locationId"))
        if named is not None:
            self.named_locations.add(named)
        company_id = _identifier(value.get("companyId"))
        if company_id is not None:
            self.named_companies.add(company_id)
        self.entities.append(
            Entity(
                body=text.encode("utf-8"),
                endpoint=self.endpoint.name,
                entity_id=entity_id,
                location_id=self._location_id,
            )
        )


def _bare_list(reader: _Reader, items: _Items) -> dict[str, Any]:
    """Read an answer that is a list; there is no envelope."""
    if not reader.at("["):
        value, _ = reader.value()
        raise malformed(f"the body is {_type_name(value)}, not a list")
    items.read_list(reader, "the list")
    return {}


def _object(reader: _Reader, items: _Items) -> dict[str, Any]:
    """Read an answer that is an object; its envelope."""
    items_key = items.endpoint.items_key
    if not reader.at("{"):
        value, _ = reader.value()
        raise malformed(f"the body is {_type_name(value)}, not an object with {items_key!r}")
    is_read = False
    envelope: dict[str, Any] = {}
    for key in reader.keys():  # noqa: SIM118 (not a mapping: it walks the text)
        if key == items_key:
            if is_read:
                raise malformed(f"the key {key!r} is there twice")
            is_read = True
            _under_key(reader, items)
        else:
            value, _ = reader.value()
            if key in _ENVELOPE:
                envelope[key] = value
    if not is_read:
        raise malformed(f"the key {items_key!r} is missing")
    return envelope


def _under_key(reader: _Reader, items: _Items) -> None:
    key = items.endpoint.items_key
    if items.endpoint.shape is Shape.OBJECT:
        items.add(*reader.value(), key)
    elif reader.at("["):
        items.read_list(reader, key)
    else:
        value, _ = reader.value()
        raise malformed(f"{key!r} is {_type_name(value)}, not a list")


def _answer(items: _Items, envelope: dict[str, Any]) -> Answer:
    pagination = envelope.get("pagination")
    paging = pagination if isinstance(pagination, dict) else {}
    totals = (envelope.get("total"), envelope.get("totalCount"), paging.get("total"))
    has_more = (envelope.get("hasMore"), paging.get("hasMore"))
    return Answer(
        entities=tuple(items.entities),
        named_locations=frozenset(items.named_locations),
        named_companies=frozenset(items.named_companies),
        total=next((count for count in map(_count, totals) if count is not None), None),
        has_more=next((more for more in has_more if isinstance(more, bool)), None),
        trace_id=_identifier(envelope.get("traceId")),
    )


def _count(value: object) -> int | None:
    return int(value) if isinstance(value, str) and _COUNT.fullmatch(value) else None


def _identifier(value: object) -> str | None:
    """The value as an id that a database can hold and index; None where it cannot be one."""
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_ID:
        return None
    return legal_text(value)


def _type_name(value: object) -> str:
    return _TYPE_NAMES.get(type(value), type(value).__name__)
