"""Captures made by hand, for tests of what becomes of them in the ledger."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from ghl_snapshots.core.errors import ErrorKind
from ghl_snapshots.core.json_text import legal_text
from ghl_snapshots.core.model import (
    AccountKind,
    Capture,
    CaptureError,
    Entity,
    RequestRecord,
    SnapshotType,
    Source,
    Status,
    Tenant,
    iso,
)

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
ENDPOINT = "/workflows/"
_ID = re.compile(rb'\{"id":"([^"]+)"')
BODIES = (b'{"id":"a","v":1}', b'{"id":"b","v":1.10}')


def tenant(tenant_id: str) -> Tenant:
    """A tenant whose account is named after it."""
    return Tenant(
        tenant_id=tenant_id,
        ghl_account_id=f"account-{tenant_id}",
        account_kind=AccountKind.LOCATION,
        credential="env:TOKEN",
    )


def capture(
    tenant_id: str = "acme",
    bodies: Sequence[bytes] = BODIES,
    *,
    correlation_id: str | None = None,
    snapshot_type: SnapshotType = SnapshotType.WORKFLOWS,
    captured_at: datetime = NOON,
    status: Status = Status.SUCCESS,
) -> Capture:
    """A capture of these bodies through one request; entities whose body has no id get e0, e1, ..."""
    return Capture(
        tenant_id=tenant_id,
        ghl_account_id=f"account-{tenant_id}",
        snapshot_type=snapshot_type,
        captured_at=captured_at,
        duration_ms=250,
        status=status,
        entities=tuple(
            Entity(body=body, endpoint=ENDPOINT, entity_id=_id(body, place), location_id="location-1")
            for place, body in enumerate(bodies)
        ),
        requests=(request(0, len(bodies), sent_at=captured_at + timedelta(milliseconds=3)),),
        errors=() if status is Status.SUCCESS else (failure(),),
        api_calls={(ENDPOINT, 200): 1},
        api_version="2021-07-28",
        source=Source.SCHEDULED,
        correlation_id=correlation_id or f"scheduled_{uuid4()}",
    )


def _id(body: bytes, place: int) -> str:
    named = _ID.match(body)
    return named[1].decode() if named else f"e{place}"


def request(offset: int, count: int, *, sent_at: datetime = NOON, endpoint: str = ENDPOINT) -> RequestRecord:
    """The record of a request that brought `count` entities."""
    return RequestRecord(
        endpoint=endpoint,
        location_id="location-1",
        parent_id=None,
        offset=offset,
        count=count,
        status=200,
        api_version="2021-07-28",
        trace_id=str(uuid4()),
        requested_at=sent_at,
        duration_ms=40,
        attempts=1,
    )


def metadata(given: Capture) -> Mapping[str, Any]:
    """The payload's metadata as it must be read once the capture is stored."""
    requests = [
        {
            **request.provenance(),
            "requestTimestamp": iso(request.requested_at),
            "durationMs": request.duration_ms,
            "traceId": request.trace_id and legal_text(request.trace_id),
        }
        for request in given.requests
    ]
    return {**given.provenance(), "requests": requests, "requestTimestamp": iso(given.captured_at)}


def failure(message: str = "gone") -> CaptureError:
    """A missing part of a capture."""
    return CaptureError(
        endpoint=ENDPOINT,
        location_id="location-2",
        parent_id=None,
        kind=ErrorKind.NOT_FOUND,
        status=404,
        message=message,
        attempts=1,
    )
