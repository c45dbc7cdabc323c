"""The snapshot contract that a capture must keep to be stored; the schema's constraints say the same."""

import re

from ghl_snapshots.core.model import Capture, SnapshotType, Status

_CORRELATION_ID = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,200}")


def problem_with(capture: Capture) -> str | None:
    """What is wrong with the capture, or None if it may be stored."""
    if capture.snapshot_type not in list(SnapshotType):
        return f"its type {capture.snapshot_type!r} is none of {', '.join(SnapshotType)}"
    if not capture.correlation_id:
        return "its correlation id is empty"
    if not _CORRELATION_ID.fullmatch(capture.correlation_id):
        return "its correlation id is longer than 200 characters or holds a control character"
    if capture.captured_at.tzinfo is None:
        return f"its moment {capture.captured_at.isoformat()} has no time zone"
    if min(capture.duration_ms, capture.api_call_count) < 0:
        return "its duration or its number of API calls is negative"
    return _problem_with_status(capture) or _problem_with_requests(capture)


def _problem_with_status(capture: Capture) -> str | None:
    if capture.status is Status.FAILED and capture.entities:
        return f"it failed and yet holds {capture.record_count} entities"
    if (capture.status is Status.SUCCESS) == bool(capture.errors):
        return f"its status is {capture.status} with {len(capture.errors)} errors"
    return None


def _problem_with_requests(capture: Capture) -> str | None:
    """Every entity must have come from exactly one recorded request."""
    expected = 0
    for request in sorted(capture.requests, key=lambda request: request.offset):
        if request.requested_at.tzinfo is None:
            return f"the moment of its request to {request.endpoint} has no time zone"
        if request.count and request.offset != expected:
            return f"its requests account for entity {request.offset} where entity {expected} is next"
        expected += request.count
    if expected != capture.record_count:
        return f"its requests account for {expected} entities and it holds {capture.record_count}"
    return None
