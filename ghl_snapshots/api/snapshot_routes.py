"""Reading snapshots: lists, documents, exact bytes, verification."""

from collections.abc import Generator, Iterable
from contextlib import closing
from datetime import UTC, datetime
from itertools import chain
from typing import Annotated

import anyio
from fastapi import APIRouter, Depends, Header, Query, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ghl_snapshots.api.cursors import Cursor
from ghl_snapshots.api.documents import (
    ListedSnapshot,
    Moment,
    SnapshotDocument,
    SnapshotList,
    VerificationResult,
)
from ghl_snapshots.api.problems import ProblemError, ProblemKind, documented
from ghl_snapshots.api.request_context import RequestContext, request_context
from ghl_snapshots.core.errors import SnapshotCorruptError
from ghl_snapshots.core.model import Snapshot, SnapshotType
from ghl_snapshots.core.snapshot_json import document, raw_lines, raw_sequence
from ghl_snapshots.ledger.ledger import Ledger

router = APIRouter(prefix="/api/snapshots", tags=["snapshots"])
_CHUNK_BYTES = 65_536
_NDJSON = "application/x-ndjson"
_SEQUENCE = "application/json-seq"
_Context = Annotated[RequestContext, Depends(request_context)]


class _ChunkedResponse(StreamingResponse):
    """A response that releases its database connection also when the reader disconnects."""

    def __init__(
        self, first: bytes, rest: Generator[bytes], *, media_type: str, headers: dict[str, str]
    ) -> None:
        super().__init__(chain([first], rest), media_type=media_type, headers=headers)
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(self._rest.close)


@router.get("", responses=documented())
def list_snapshots(
    context: _Context,
    tenant_id: Annotated[
        str | None,
        Query(alias="tenantId", description="Optional if the key gives access to one tenant only."),
    ] = None,
    snapshot_type: Annotated[SnapshotType | None, Query(alias="snapshotType")] = None,
    since: Annotated[Moment | None, Query(alias="from", description="Captured at or after this.")] = None,
    until: Annotated[Moment | None, Query(alias="to", description="Captured before this.")] = None,
    as_of: Annotated[
        Moment | None,
        Query(
            alias="asOf",
            description="Only the latest snapshot of each type at this time; failed ones are skipped. "
            "Not together with `from`, `to` or `cursor`.",
        ),
    ] = None,
    cursor: Annotated[
        str | None, Query(max_length=200, description="`nextCursor` of the previous page.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> SnapshotList:
    """List a tenant's snapshots, the newest first. Pages do not shift while snapshots are stored."""
    bound = context.bind(tenant_id)
    types = [snapshot_type] if snapshot_type else list(SnapshotType)
    if as_of is not None:
        if since or until or cursor:
            raise ProblemError(
                ProblemKind.INVALID_REQUEST, "asOf cannot be combined with from, to or cursor."
            )
        snapshots = _latest(context.services.ledger, bound, types, _aware(as_of))
        next_cursor = None
    else:
        snapshots = context.services.ledger.page(
            bound,
            types,
            since=_aware(since) if since else None,
            until=_aware(until) if until else None,
            before=Cursor.parse(cursor).position if cursor else None,
            limit=limit + 1,
        )
        next_cursor = Cursor.after(snapshots[limit - 1]).text if len(snapshots) > limit else None
    listed = [ListedSnapshot.of(snapshot) for snapshot in snapshots[:limit]]
    context.record_success({"snapshots": len(listed)})
    return SnapshotList(snapshots=listed, next_cursor=next_cursor)


@router.get(
    "/{snapshotId}",
    response_model=SnapshotDocument,
    responses={
        200: {"content": {_NDJSON: {"schema": {"type": "string"}}}},
        304: {"description": "The caller has this snapshot already."},
        **documented(ProblemKind.SNAPSHOT_CORRUPT),
    },
)
def read_snapshot(
    context: _Context,
    snapshotId: str,  # noqa: N803 - the contract's name
    *,
    raw: Annotated[
        bool, Query(description="Only the entities' exact bytes, a line feed behind each.")
    ] = False,
    accept: Annotated[
        str | None,
        Header(description="application/json-seq with raw: each behind a record separator (RFC 7464)."),
    ] = None,
    if_none_match: Annotated[
        str | None, Header(description="ETag of a snapshot that the caller has.")
    ] = None,
) -> Response:
    """Read a whole snapshot, verified against its checksum, which is also its ETag."""
    snapshot = context.snapshot(snapshotId)
    headers = {"ETag": f'"{snapshot.checksum}"', "Cache-Control": "private, no-cache"}
    details = {"snapshotId": snapshot.snapshot_id, "snapshotType": snapshot.snapshot_type.value, "raw": raw}
    if _matches(if_none_match, headers["ETag"]):
        context.record_success({**details, "unchanged": True})
        return Response(status_code=304, headers=headers)
    ledger = Ledger(context.services.streams)
    ledger.verify_snapshot(snapshot)
    # The first chunk is read before the answer starts, so that a failure is still a problem document.
    sequence = raw and _SEQUENCE in (accept or "")
    chunks = _chunks(ledger, snapshot, raw=raw, sequence=sequence)
    first = next(chunks)
    try:
        context.record_success(details)
    except BaseException:
        chunks.close()
        raise
    media_type = _SEQUENCE if sequence else _NDJSON if raw else "application/json"
    return _ChunkedResponse(first, chunks, media_type=media_type, headers=headers)


@router.get("/{snapshotId}/verify", responses=documented())
def verify_snapshot(context: _Context, snapshotId: str) -> VerificationResult:  # noqa: N803 - the contract's name
    """Recompute a snapshot's checksum from the stored bytes."""
    snapshot = context.snapshot(snapshotId)
    problem = None
    try:
        context.services.ledger.verify_snapshot(snapshot)
    except SnapshotCorruptError as error:
        problem = str(error)
    context.record_success(
        {"snapshotId": snapshot.snapshot_id, "findings": int(bool(problem))}, success=not problem
    )
    return VerificationResult(
        snapshot_id=snapshot.snapshot_id,
        tenant_id=snapshot.tenant_id,
        checksum=snapshot.checksum,
        record_count=snapshot.record_count,
        valid=problem is None,
        problem=problem,
    )


def _latest(
    ledger: Ledger, tenant_id: str, types: Iterable[SnapshotType], moment: datetime
) -> list[Snapshot]:
    snapshots = (ledger.latest(tenant_id, snapshot_type, as_of=moment) for snapshot_type in types)
    return sorted(filter(None, snapshots), key=lambda snapshot: snapshot.captured_at, reverse=True)


def _aware(moment: datetime) -> datetime:
    """A time without a time zone is UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _matches(if_none_match: str | None, etag: str) -> bool:
    etags = {each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")}
    return etag in etags or "*" in etags


def _chunks(ledger: Ledger, snapshot: Snapshot, *, raw: bool, sequence: bool) -> Generator[bytes]:
    """The snapshot's bytes in chunks of about `_CHUNK_BYTES`."""
    with closing(ledger.bodies(snapshot) if raw else ledger.shown_bodies(snapshot)) as bodies:
        chunk = bytearray()
        lines = raw_sequence if sequence else raw_lines
        for data in lines(bodies) if raw else document(snapshot, bodies):
            chunk += data
            if len(chunk) >= _CHUNK_BYTES:
                yield bytes(chunk)
                chunk.clear()
        yield bytes(chunk)
