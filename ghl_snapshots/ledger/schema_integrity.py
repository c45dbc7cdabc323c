"""What keeps the ledger as it is: every object of its schema, compared with those that this release makes.

A function, view, constraint, trigger or right that was altered lets rows be altered, or hides that they were.
The database describes its objects in words (queries/schema_integrity.sql); objects.txt has the words of one
that this release migrated, the same on PostgreSQL 16, 17 and 18. docs/ledger.md says how to write it anew.
"""

from collections.abc import Iterator, Mapping, Set
from itertools import takewhile
from typing import Any

from psycopg import Connection
from psycopg.rows import tuple_row

from ghl_snapshots.ledger.queries import query, sql_text

_LONGEST = 120
_NEWEST_SERVER = 18


def drift(connection: Connection[Any]) -> Iterator[str]:
    """In words, each object that is missing, altered or not of this release.

    A server that is newer than the release may describe them otherwise, so that only this is said of it.
    """
    server = connection.info.server_version // 10_000
    if server > _NEWEST_SERVER:
        yield (
            f"the server is PostgreSQL {server} and this release knows what {_NEWEST_SERVER} says of the "
            "schema: whether it was altered cannot be said; use a newer release"
        )
        return
    expected = dict(line.split(": ", maxsplit=1) for line in sql_text("objects.txt").splitlines())
    actual = _objects(connection)
    for name in _wholes(expected.keys() ^ actual.keys()):
        if name in expected:
            yield f"{name} is missing"
        else:
            yield f"{name} is not of this release: {_cut(actual[name])}"
    for name in sorted(expected.keys() & actual.keys()):
        if actual[name] != expected[name]:
            yield f"{name} is altered: {_contrast(actual[name], expected[name])}"


def objects_text(connection: Connection[Any]) -> str:
    """What objects.txt has to hold for this release if that made the database."""
    return "".join(f"{name}: {description}\n" for name, description in sorted(_objects(connection).items()))


def _objects(connection: Connection[Any]) -> Mapping[str, str]:
    with connection.transaction(), connection.cursor(row_factory=tuple_row) as cursor:
        # Names of what the search path finds would be written without their schema; the others change quotes.
        cursor.execute(query("describe_plainly"))
        rows = cursor.execute(query("objects")).fetchall()
    return {name: " ".join(description.split()) for name, description in rows}


def _wholes(names: Set[str]) -> Iterator[str]:
    """The names in order, without those of parts: a table stands for its columns."""
    for name in sorted(names):
        if not any(name.endswith(f" {whole}") for whole in names):
            yield name


def _contrast(actual: str, expected: str) -> str:
    start = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(actual, expected, strict=False)))
    return f"{_cut(actual, start)} instead of {_cut(expected, start)}"


def _cut(text: str, start: int = 0) -> str:
    """The text, or of a long one what stands around `start`."""
    if len(text) <= _LONGEST:
        return text
    first = max(0, min(start - _LONGEST // 2, len(text) - _LONGEST))
    last = first + _LONGEST
    return f"{'…' if first else ''}{text[first:last]}{'…' if last < len(text) else ''}"
