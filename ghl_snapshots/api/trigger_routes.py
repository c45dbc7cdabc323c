"""Requesting captures, and following a request."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Response

from ghl_snapshots.api.documents import AcceptedRequest, RequestDocument, Text, TriggerBody
from ghl_snapshots.api.problems import ProblemKind, documented
from ghl_snapshots.api.request_context import RequestContext, request_context
from ghl_snapshots.ledger.snapshot_requests import NewRequest

router = APIRouter(prefix="/api/snapshots", tags=["requests"])
_Context = Annotated[RequestContext, Depends(request_context)]


@router.post(
    "/trigger",
    status_code=202,
    responses=documented(
        ProblemKind.MALFORMED_JSON,
        ProblemKind.ACCOUNT_MISMATCH,
        ProblemKind.UNKNOWN_TENANT,
        ProblemKind.TENANT_DISABLED,
        ProblemKind.BODY_TOO_LARGE,
        ProblemKind.UNSUPPORTED_MEDIA_TYPE,
        ProblemKind.IDEMPOTENCY_KEY_REUSED,
    ),
)
def trigger_snapshots(
    body: TriggerBody,
    response: Response,
    context: _Context,
    idempotency_key: Annotated[
        Text | None,
        Header(
            min_length=1,
            max_length=200,
            description="The same key with the same body is one request, however often it is sent.",
        ),
    ] = None,
) -> AcceptedRequest:
    """Request captures of one tenant. A 202 means that the request is stored and will be served, once."""
    new_request = NewRequest(
        tenant_id=context.bind(body.tenant_id),
        ghl_account_id=body.ghl_account_id,
        snapshot_types=tuple(body.snapshot_types),
        priority=body.priority,
        reason=body.reason,
        idempotency_key=idempotency_key,
        key_id=context.key.key_id if context.key else None,
    )
    accepted = context.services.requests.accept(
        new_request, now=datetime.now(UTC), limit=context.services.triggers_per_minute
    )
    response.headers["Location"] = f"/api/snapshots/requests/{accepted.request_id}"
    return AcceptedRequest.of(accepted)


@router.get("/requests/{requestId}", responses=documented())
def read_request(context: _Context, requestId: str) -> RequestDocument:  # noqa: N803 - the contract's name
    """Follow a request: accepted, queued, running, then succeeded, partial_failure or failed."""
    request = context.request(requestId)
    snapshots = [
        snapshot
        for snapshot in context.services.ledger.of_trigger(request.request_id)
        if snapshot.tenant_id == request.tenant_id
    ]
    context.record_success({"requestId": request.request_id, "requestStatus": request.status.value})
    return RequestDocument.of(request, snapshots)
