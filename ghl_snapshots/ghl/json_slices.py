"""Exact slicing: the entities of an answer as the very bytes that GHL sent.

Parsing and writing again would lose key order, duplicate keys, `1.10` and much else. So the answer is walked
with the standard library's decoder, which tells where each element ends, and the text in between is kept.
Decoding UTF-8 strictly and encoding again gives the same bytes.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from ghl_snapshots.core.errors import ErrorKind, GhlError
from ghl_snapshots.core.json_text import legal_text
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
class Slice:
    """One entity as it stood in the answer, and the ids read out of it (None: none that could be one)."""

    body: bytes = field(repr=False)
    entity_id: str | None
    location_id: str | None

    @property
    def identity(self) -> str | bytes:
        """What tells the entity from the others of its list: its id or, without one, all of it."""
        return self.entity_id or self.body


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The entities of one answer, and what its envelope says of the others."""

    slices: tuple[Slice, ...] = field(repr=False)
    total: int | None = None
    has_more: bool | None = None
    trace_id: str | None = None


def read_answer(body: bytes, endpoint: Endpoint) -> Answer:
    """Take an answer apart as the catalogue describes it.

    Raises:
        GhlError: MALFORMED_RESPONSE, saying what in the body is not JSON, not UTF-8 or not as documented.
    """
    try:
        text = body.decode("utf-8")
        reader = _Reader(text.removeprefix(_BYTE_ORDER_MARK))
        answer = (
            _bare_list(reader, endpoint) if endpoint.shape is Shape.BARE_LIST else _object(reader, endpoint)
        )
        reader.expect_end()
    except UnicodeDecodeError as error:
        raise malformed(f"the body is not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise malformed(f"the body is not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise malformed("the body is nested too deep") from None
    return answer


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


def _bare_list(reader: _Reader, endpoint: Endpoint) -> Answer:
    if not reader.at("["):
        value, _ = reader.value()
        raise malformed(f"the body is {_type_name(value)}, not a list")
    return Answer(slices=_slices(reader, endpoint, "the list"))


def _object(reader: _Reader, endpoint: Endpoint) -> Answer:
    if not reader.at("{"):
        value, _ = reader.value()
        raise malformed(f"the body is {_type_name(value)}, not an object with {endpoint.items_key!r}")
    slices: tuple[Slice, ...] | None = None
    envelope: dict[str, Any] = {}
    for key in reader.keys():  # noqa: SIM118 (not a mapping: it walks the text)
        if key == endpoint.items_key:
            if slices is not None:
                raise malformed(f"the key {key!r} is there twice")
            slices = _items(reader, endpoint)
        else:
            value, _ = reader.value()
            if key in _ENVELOPE:
                envelope[key] = value
    if slices is None:
        raise malformed(f"the key {endpoint.items_key!r} is missing")
    return _answer(slices, envelope)


def _items(reader: _Reader, endpoint: Endpoint) -> tuple[Slice, ...]:
    key = endpoint.items_key
    if endpoint.shape is Shape.OBJECT:
        return (_slice(*reader.value(), endpoint, key),)
    if not reader.at("["):
        value, _ = reader.value()
        raise malformed(f"{key!r} is {_type_name(value)}, not a list")
    return _slices(reader, endpoint, key)


def _slices(reader: _Reader, endpoint: Endpoint, name: str) -> tuple[Slice, ...]:
    return tuple(
        _slice(value, text, endpoint, f"{name}[{index}]")
        for index, (value, text) in enumerate(reader.elements())
    )


def _slice(value: object, text: str, endpoint: Endpoint, place: str) -> Slice:
    if not isinstance(value, dict):
        raise malformed(f"{place} is {_type_name(value)}, not an object")
    return Slice(
        body=text.encode("utf-8"),
        entity_id=_identifier(value.get(endpoint.id_key)) or _identifier(value.get("_id")),
        location_id=_identifier(value.get("locationId")),
    )


def _answer(slices: tuple[Slice, ...], envelope: dict[str, Any]) -> Answer:
    pagination = envelope.get("pagination")
    paging = pagination if isinstance(pagination, dict) else {}
    totals = (envelope.get("total"), envelope.get("totalCount"), paging.get("total"))
    has_more = (envelope.get("hasMore"), paging.get("hasMore"))
    return Answer(
        slices=slices,
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
