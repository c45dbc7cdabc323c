"""Asking for captures, and following what comes of it."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Response

from ghl_snapshots.api.documents import Accepted, Request, Text, Trigger
from ghl_snapshots.api.problems import Kind, documented
from ghl_snapshots.api.request_context import Call, current_call
from ghl_snapshots.ledger.snapshot_requests import NewRequest

router = APIRouter(prefix="/api/snapshots", tags=["requests"])


@router.post(
    "/trigger",
    status_code=202,
    responses=documented(
        Kind.MALFORMED_JSON,
        Kind.ACCOUNT_MISMATCH,
        Kind.UNKNOWN_TENANT,
        Kind.TENANT_DISABLED,
        Kind.BODY_TOO_LARGE,
        Kind.UNSUPPORTED_MEDIA_TYPE,
        Kind.IDEMPOTENCY_KEY_REUSED,
        Kind.RATE_LIMITED,
    ),
)
def trigger_snapshots(
    body: Trigger,
    response: Response,
    call: Annotated[Call, Depends(current_call)],
    idempotency_key: Annotated[
        Text | None,
        Header(
            min_length=1,
            max_length=200,
            description="The same key with the same body is the same request, however often it is sent.",
        ),
    ] = None,
) -> Accepted:
    """Ask for captures of one tenant. When the 202 comes, the request is kept and will be served, once."""
    new_request = NewRequest(
        tenant_id=call.bind(body.tenant_id),
        ghl_account_id=body.ghl_account_id,
        snapshot_types=tuple(body.snapshot_types),
        priority=body.priority,
        reason=body.reason,
        idempotency_key=idempotency_key,
        key_id=call.key.key_id if call.key else None,
    )
    accepted = call.services.requests.accept(
        new_request, now=datetime.now(UTC), limit=call.services.triggers_per_minute
    )
    response.headers["Location"] = f"/api/snapshots/requests/{accepted.request_id}"
    return Accepted.of(accepted)


@router.get("/requests/{requestId}", responses=documented())
def read_request(call: Annotated[Call, Depends(current_call)], requestId: str) -> Request:  # noqa: N803 - the contract's name
    """Follow a request: accepted, queued, running, then succeeded, partial_failure or failed."""
    request = call.request(requestId)
    found = [
        snapshot
        for snapshot in call.services.ledger.of_trigger(request.request_id)
        if snapshot.tenant_id == request.tenant_id
    ]
    call.allowed({"requestId": request.request_id, "requestStatus": request.status.value})
    return Request.of(request, found)
