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
from ghl_snapshots.core.model import AccountKind, Entity
from ghl_snapshots.ghl.endpoint import Endpoint, Shape
from ghl_snapshots.ghl.quoting import quoted

_BYTE_ORDER_MARK: Final = "\ufeff"
_SPACES: Final = frozenset(" \t\n\r")
_WHITESPACE: Final = re.compile(r"[ \t\n\r]*")
_COUNT: Final = re.compile(r"[0-9]{1,15}")
_LONGEST_ID: Final = 256
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


def read_answer(
    body: bytes, endpoint: Endpoint, location_id: str | None = None, parent_id: str | None = None
) -> Answer:
    """Take an answer apart as the catalogue describes it; its entities are put down to the location.

    An answer that is one object has to have an id, and if it was asked for by a parent's id, that one.

    Raises:
        GhlError: MALFORMED_RESPONSE, saying what in the body is not JSON, not UTF-8 or not as documented.
    """
    try:
        text = body.decode("utf-8")
        reader = _Reader(text.removeprefix(_BYTE_ORDER_MARK))
        items = _Items(endpoint, location_id, parent_id)
        envelope = _read(reader, items, items.places, "")
        reader.expect_end()
        items.expect_read(envelope)
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

    def __init__(self, endpoint: Endpoint, location_id: str | None, parent_id: str | None) -> None:
        self.endpoint = endpoint
        self.places = tuple(_names(place) for place in endpoint.items)
        self._location_id = location_id
        self._parent_id = parent_id
        self._read: set[str] = set()
        self.entities: list[Entity] = []
        self.named_locations: set[str] = set()
        self.named_companies: set[str] = set()

    def read(self, reader: _Reader, place: str) -> None:
        """Read what the endpoint has at this place of the answer: an entity, or a list of them."""
        if place in self._read:
            raise malformed(f"the key {place!r} is there twice")
        self._read.add(place)
        if self.endpoint.shape is Shape.OBJECT:
            self._add(*reader.value(), place or "the body")
        elif reader.at("["):
            for index, (value, text) in enumerate(reader.elements()):
                self._add(value, text, f"{place or 'the list'}[{index}]")
        else:
            value, _ = reader.value()
            raise malformed(f"{repr(place) if place else 'the body'} is {_type_name(value)}, not a list")

    def expect_read(self, envelope: dict[str, Any]) -> None:
        """Make sure that the answer had entities at the first of the endpoint's places, were it none."""
        first = self.endpoint.items[0]
        around = first.rpartition(".")[0]
        is_none = self.endpoint.is_optional and isinstance(_at(envelope, around), dict)
        if first not in self._read and not is_none:
            raise malformed(f"the key {first!r} is missing")

    def _add(self, value: object, text: str, place: str) -> None:
        """Take up one entity, which stands at that place in the answer."""
        if not isinstance(value, dict):
            raise malformed(f"{place} is {_type_name(value)}, not an object")
        entity_id = _identifier(_at(value, self.endpoint.id)) or _identifier(value.get("_id"))
        if self.endpoint.shape is Shape.OBJECT:
            self._check_asked_for(entity_id, place)
        of_company = self.endpoint.account is AccountKind.COMPANY
        own = {entity_id} if self.endpoint.is_account else set()
        self.named_locations |= _known(value.get("locationId"), *(() if of_company else own))
        self.named_companies |= _known(value.get("companyId"), *(own if of_company else ()))
        self.entities.append(
            Entity(
                body=text.encode("utf-8"),
                endpoint=self.endpoint.name,
                entity_id=entity_id,
                location_id=self._location_id,
            )
        )

    def _check_asked_for(self, entity_id: str | None, place: str) -> None:
        """Refuse an object that is not the one that was asked for, such as an error under a 200."""
        if entity_id is None:
            raise malformed(f"{place} has no {self.endpoint.id!r}")
        if self._parent_id is not None and entity_id != self._parent_id:
            raise malformed(f"{place} is {quoted(entity_id)}, not {self._parent_id} that was asked for")


def _read(reader: _Reader, items: _Items, places: tuple[tuple[str, ...], ...], here: str) -> dict[str, Any]:
    """Read what comes next, in which entities stand at these places; what stands around them."""
    if () in places:
        items.read(reader, here)
        return {}
    if not reader.at("{"):
        value, _ = reader.value()
        expected = ".".join(places[0])
        raise malformed(
            f"{repr(here) if here else 'the body'} is {_type_name(value)}, not an object with {expected!r}"
        )
    envelope: dict[str, Any] = {}
    for key in reader.keys():  # noqa: SIM118 (not a mapping: it walks the text)
        inner = tuple(rest for first, *rest in places if first == key)
        if inner:
            place = f"{here}.{key}" if here else key
            envelope[key] = _read(reader, items, tuple(map(tuple, inner)), place)
        else:
            envelope[key], _ = reader.value()
    return envelope


def texts_at(body: bytes, place: str) -> list[str]:
    """What stands at a place of an entity (see `endpoint`), as text; numbers as they are written.

    What is no text, number, true or false is left out.
    """
    found = [_DECODER.decode(body.decode("utf-8"))]
    for name in _names(place):
        key = name.removesuffix("[]")
        found = [value[key] for value in found if isinstance(value, dict) and key in value]
        if key != name:
            found = [element for value in found if isinstance(value, list) for element in value]
    return [str(value).lower() if isinstance(value, bool) else value for value in found if _is_text(value)]


def _is_text(value: object) -> bool:
    return isinstance(value, str | bool)


def _names(place: str) -> tuple[str, ...]:
    return tuple(place.split(".")) if place else ()


def _at(value: object, place: str) -> object:
    """What stands at a place; None where there is nothing."""
    for name in _names(place or "id"):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _answer(items: _Items, envelope: dict[str, Any]) -> Answer:
    endpoint = items.endpoint
    totals = (_count(_at(envelope, place)) for place in endpoint.total)
    has_more = (_at(envelope, place) for place in endpoint.more)
    return Answer(
        entities=tuple(items.entities),
        named_locations=frozenset(items.named_locations),
        named_companies=frozenset(items.named_companies),
        total=next((count for count in totals if count is not None), None),
        has_more=next((more for more in has_more if isinstance(more, bool)), None),
        trace_id=_identifier(envelope.get("traceId")),
    )


def _known(*values: object) -> set[str]:
    """Those of the values that are ids."""
    return {identifier for identifier in map(_identifier, values) if identifier is not None}


def _count(value: object) -> int | None:
    return int(value) if isinstance(value, str) and _COUNT.fullmatch(value) else None


def _identifier(value: object) -> str | None:
    """The value as an id that a database can hold and index; None where it cannot be one."""
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_ID:
        return None
    return legal_text(value)


def _type_name(value: object) -> str:
    return _TYPE_NAMES.get(type(value), type(value).__name__)
