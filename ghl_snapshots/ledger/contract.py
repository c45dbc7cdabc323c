"""The snapshot contract that a capture must keep to be stored; the schema's constraints say the same."""

from ghl_snapshots.model import Capture, Status


def problem_with(capture: Capture) -> str | None:
    """What is wrong with the capture, or None if it may be stored."""
    if not capture.correlation_id:
        return "its correlation id is empty"
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
    for request in capture.requests:
        if request.count and request.offset != expected:
            return f"its requests account for entity {request.offset} where entity {expected} is next"
        expected += request.count
    if expected != capture.record_count:
        return f"its requests account for {expected} entities and it holds {capture.record_count}"
    return None
