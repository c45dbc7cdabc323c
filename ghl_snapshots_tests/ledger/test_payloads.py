"""A payload's checksum is the one over its entities' digests, whatever the payloads before it were."""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ghl_snapshots.ledger.payloads import Checksums

BIGINT = 20


def digest(id_: int) -> bytes:
    return hashlib.sha256(b"%d" % id_).digest()


def sent(ids: Sequence[int | None]) -> bytes:
    """A bigint array in PostgreSQL's binary form."""
    if not ids:
        return struct.pack(">iii", 0, 0, BIGINT)
    header = struct.pack(">iiiii", 1, None in ids, BIGINT, len(ids), 1)
    return header + b"".join(
        struct.pack(">i", -1) if id_ is None else struct.pack(">iq", 8, id_) for id_ in ids
    )


def payload(ids: Sequence[int | None]) -> Mapping[str, Any]:
    checksum = hashlib.sha256(b"".join(digest(id_) for id_ in ids if id_ is not None)).digest()
    return {"digest": checksum, "entity_ids": sent(ids)}


def problems(
    rows: Sequence[Mapping[str, Any]], absent: Sequence[int] = (), **limits: int
) -> list[str | None]:
    checksums = Checksums(lambda ids: {id_: digest(id_) for id_ in ids if id_ not in absent}, **limits)
    return [problem for _, problem in checksums.problems(rows)]


@st.composite
def histories(draw: st.DrawFn) -> list[list[int]]:
    """Payloads of which each is the one before it with a part exchanged by another, longer or shorter one."""
    ids = draw(st.lists(st.integers(1, 10**12), max_size=100))
    found = [ids]
    for _ in range(draw(st.integers(0, 5))):
        start, end = sorted(draw(st.tuples(st.integers(0, len(ids)), st.integers(0, len(ids)))))
        ids = ids[:start] + draw(st.lists(st.integers(1, 50), max_size=70)) + ids[end:]
        found.append(ids)
    return found


@given(history=histories())
def test_payloads_hold_in_whatever_way_they_differ_from_those_before(history: list[list[int]]) -> None:
    assert problems([payload(ids) for ids in history]) == [None] * len(history)


@given(history=histories())
def test_they_hold_when_little_is_looked_up_and_remembered_at_a_time(history: list[list[int]]) -> None:
    rows = [payload(ids) for ids in history]
    assert problems(rows, batch_bytes=1, max_cached=1) == [None] * len(history)


def test_each_payload_of_which_an_entity_is_missing_is_named_and_no_other() -> None:
    history = [list(range(100)), [0, *range(2, 101)], list(range(100)), [*range(99), 7]]
    assert problems([payload(ids) for ids in history], absent=[1]) == [
        "entity 1 of its payload is not there",
        None,
        "entity 1 of its payload is not there",
        "entity 1 of its payload is not there",
    ]


def test_a_list_with_nothing_in_it_at_a_place_is_named_and_the_next_payload_holds() -> None:
    history: list[list[int | None]] = [[1, 2, 3], [1, None, 3], [1, 2, 3]]
    assert problems([payload(ids) for ids in history]) == [None, "its list of entities is malformed", None]


def test_another_checksum_is_named_and_the_next_payload_holds() -> None:
    other = {**payload([1, 2]), "digest": digest(5)}
    wrong, right = problems([other, payload([1, 2, 3])])
    assert wrong is not None
    assert "its entities give the checksum" in wrong
    assert right is None
