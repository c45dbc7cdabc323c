"""Recomputing the checksums of stored payloads from the digests of their entities, in little memory."""

import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

# Of an array of one dimension: how many dimensions, whether it has NULLs, type, length, first index.
_HEADER_BYTES = 20
_ID_BYTES = 12
_DIGEST_BYTES = 32
_NOTHING = bytes(_DIGEST_BYTES)
# Smaller spans take longer to compare, larger ones hold more entities that did not change.
_SPAN = 32 * _ID_BYTES

Row = Mapping[str, Any]
Change = tuple[int, tuple[int, ...]]


class Checksums:
    """Recomputes the checksums of payloads that follow each other in a chain.

    Most of a payload's entities are those of the payload before it, at the same places, and only the others
    are looked at. A payload is a row with its `digest`, and its `entity_ids` as PostgreSQL sends a bigint
    array. `digests_of` looks up the stored digests of entities; it is asked once for `batch_bytes` of
    payloads, and about `max_cached` digests are cached for those that follow.
    """

    def __init__(
        self,
        digests_of: Callable[[Sequence[int]], Mapping[int, bytes]],
        *,
        batch_bytes: int = 4_000_000,
        max_cached: int = 100_000,
    ) -> None:
        self._digests_of = digests_of
        self._batch_bytes = batch_bytes
        self._max_cached = max_cached
        self._cached: dict[int, bytes] = {}
        self._absent: set[int] = set()
        self._ids = b""
        self._digests = bytearray()

    def problems(self, payloads: Iterable[Row]) -> Iterator[tuple[Row, str | None]]:
        """Each payload with what is wrong with it, None where nothing is."""
        for batch in _batches(payloads, self._batch_bytes):
            changes = [self._changes(payload) for payload in batch]
            self._learn(set().union(*(ids for changed in changes for _, ids in changed)))
            for payload, changed in zip(batch, changes, strict=True):
                yield payload, self._problem(payload, changed)

    def _changes(self, payload: Row) -> list[Change]:
        """Where the payload may differ from the one before it, and the entities that it has there."""
        before, self._ids = self._ids, _ids(payload["entity_ids"]) or b""
        return [
            (start // _ID_BYTES, _unpacked(self._ids[start : start + _SPAN]))
            for start in range(0, len(self._ids), _SPAN)
            if self._ids[start : start + _SPAN] != before[start : start + _SPAN]
        ]

    def _learn(self, ids: set[int]) -> None:
        if len(self._cached) > self._max_cached:
            self._cached.clear()
        wanted = list(ids.difference(self._cached))
        if wanted:
            digests = self._digests_of(wanted)
            absent = [id_ for id_ in wanted if id_ not in digests]
            self._absent.update(absent)
            self._cached |= {**digests, **dict.fromkeys(absent, _NOTHING)}

    def _problem(self, payload: Row, changed: Iterable[Change]) -> str | None:
        ids = _ids(payload["entity_ids"])
        for place, some in changed:
            new = b"".join(map(self._cached.__getitem__, some))
            self._digests[place * _DIGEST_BYTES : (place + len(some)) * _DIGEST_BYTES] = new
        del self._digests[len(ids or b"") // _ID_BYTES * _DIGEST_BYTES :]
        if ids is None:
            return "its list of entities is malformed"
        missing = next((id_ for id_ in _unpacked(ids) if id_ in self._absent), None) if self._absent else None
        if missing is not None:
            return f"entity {missing} of its payload is not there"
        checksum = hashlib.sha256(self._digests).digest()
        if checksum != payload["digest"]:
            return f"its entities give the checksum {checksum.hex()}, not {payload['digest'].hex()}"
        return None


def _ids(sent: bytes) -> bytes | None:
    """The elements of an array as it was sent; None if it has NULLs or more than one dimension."""
    dimensions, nulls = struct.unpack_from(">ii", sent)
    if dimensions == 0:
        return b""
    return sent[_HEADER_BYTES:] if (dimensions, nulls) == (1, 0) else None


def _unpacked(ids: bytes) -> tuple[int, ...]:
    return struct.unpack(">" + "4xq" * (len(ids) // _ID_BYTES), ids)


def _batches(payloads: Iterable[Row], most_bytes: int) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    for payload in payloads:
        batch.append(payload)
        size += len(payload["entity_ids"])
        if size >= most_bytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
