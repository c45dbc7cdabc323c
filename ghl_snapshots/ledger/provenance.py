"""A payload's metadata in two parts: what captures that went alike share, and what is each one's own."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from ghl_snapshots.core.model import Capture, RequestRecord

_MICROSECOND = timedelta(microseconds=1)
_OWN = frozenset({"requestTimestamp", "durationMs"})
_OWN_TRACED = _OWN | {"traceId"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """The metadata of one capture as the ledger stores it.

    `body` is JSON text without what differs between two captures that went alike: when each request was sent,
    how long it took, and its trace id where that is a UUID; the three lists have these, one element for each
    request. The function `metadata` in the schema puts the whole together again.
    """

    body: str
    sent_after_us: list[int]
    took_ms: list[int]
    trace_ids: list[UUID | None]

    @property
    def digest(self) -> bytes:
        """SHA-256 of `body`, 32 bytes."""
        return hashlib.sha256(self.body.encode()).digest()


def provenance_of(capture: Capture, metadata: Mapping[str, Any]) -> Provenance:
    """Take a capture's metadata, which is left as it is, apart."""
    trace_ids = [_uuid(request.trace_id) for request in capture.requests]
    shared = {key: value for key, value in metadata.items() if key != "requestTimestamp"}
    shared["requests"] = [
        _without(request, _OWN if trace_id is None else _OWN_TRACED)
        for request, trace_id in zip(metadata["requests"], trace_ids, strict=True)
    ]
    return Provenance(
        body=json.dumps(shared, sort_keys=True, separators=(",", ":")),
        sent_after_us=[_microseconds(capture, request) for request in capture.requests],
        took_ms=[request.duration_ms for request in capture.requests],
        trace_ids=trace_ids,
    )


def _without(request: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    return {key: value for key, value in request.items() if key not in keys}


def _microseconds(capture: Capture, request: RequestRecord) -> int:
    return (request.requested_at - capture.captured_at) // _MICROSECOND


def _uuid(trace_id: str | None) -> UUID | None:
    """The trace id as a UUID if that has no other text than this one."""
    try:
        value = UUID(trace_id)
    except (TypeError, ValueError):
        return None
    return value if str(value) == trace_id else None
