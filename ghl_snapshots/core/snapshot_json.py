"""A snapshot's JSON form, composed of the exact bytes of its entities."""

import json
from collections.abc import Iterable, Iterator

from ghl_snapshots.core.model import Snapshot


def document(snapshot: Snapshot, bodies: Iterable[bytes]) -> Iterator[bytes]:
    """Pieces of `{"metadata", "payload": {"data", "metadata"}, "audit"}` as UTF-8.

    Every element of `data` is an entity's bytes as GHL sent them: nothing is parsed or rewritten, and no more
    than one entity is in memory at a time.
    """
    parts = snapshot.as_json()
    yield b'{"metadata": ' + _encoded(parts["metadata"]) + b',\n "payload": {"data": ['
    separator = b"\n"
    for body in bodies:
        yield separator + body
        separator = b",\n"
    yield b'],\n  "metadata": ' + _encoded(snapshot.metadata) + b"},\n"
    yield b' "audit": ' + _encoded(parts["audit"]) + b"}\n"


def raw_lines(bodies: Iterable[bytes]) -> Iterator[bytes]:
    """The entities' exact bytes, each followed by a newline."""
    for body in bodies:
        yield body
        yield b"\n"


def raw_sequence(bodies: Iterable[bytes]) -> Iterator[bytes]:
    """The entities' exact bytes as a JSON text sequence (RFC 7464): one over several lines stays one.

    JSON has no control characters but white space, so a record separator is never a part of an entity.
    """
    for body in bodies:
        yield b"\x1e"
        yield body
        yield b"\n"


def _encoded(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8")
