"""A payload's metadata in two parts: what captures that went alike share, and what is each one's own."""

import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from ghl_snapshots.model import Capture, RequestRecord

_MICROSECOND = timedelta(microseconds=1)


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


def provenance_of(capture: Capture) -> Provenance:
    """Take a capture's metadata apart."""
    metadata = capture.metadata()
    del metadata["requestTimestamp"]
    trace_ids = [_uuid(request.trace_id) for request in capture.requests]
    for request, trace_id in zip(metadata["requests"], trace_ids, strict=True):
        del request["requestTimestamp"], request["durationMs"]
        if trace_id is not None:
            del request["traceId"]
    return Provenance(
        body=json.dumps(metadata, sort_keys=True, separators=(",", ":")),
        sent_after_us=[_microseconds(capture, request) for request in capture.requests],
        took_ms=[request.duration_ms for request in capture.requests],
        trace_ids=trace_ids,
    )


def _microseconds(capture: Capture, request: RequestRecord) -> int:
    return (request.requested_at - capture.captured_at) // _MICROSECOND


def _uuid(trace_id: str | None) -> UUID | None:
    """The trace id as a UUID if that has no other text than this one."""
    try:
        value = UUID(trace_id)
    except (TypeError, ValueError):
        return None
    return value if str(value) == trace_id else None
