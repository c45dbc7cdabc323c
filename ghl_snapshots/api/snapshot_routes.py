"""Reading snapshots: lists, whole documents, exact bytes, proofs."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import anyio
from fastapi import APIRouter, Depends, Header, Query, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ghl_snapshots.api.cursors import Cursor
from ghl_snapshots.api.documents import ListedSnapshot, SnapshotDocument, SnapshotList, Verified
from ghl_snapshots.api.problems import CallRefusedError, Kind, documented
from ghl_snapshots.api.request_context import Call, current_call
from ghl_snapshots.core.errors import SnapshotCorruptError
from ghl_snapshots.core.model import Snapshot, SnapshotType
from ghl_snapshots.core.snapshot_json import document, raw_lines
from ghl_snapshots.ledger.ledger import Ledger

router = APIRouter(prefix="/api/snapshots", tags=["snapshots"])
_PIECE_BYTES = 65_536
_NDJSON = "application/x-ndjson"
_CurrentCall = Annotated[Call, Depends(current_call)]


class _Stream(StreamingResponse):
    """A response that gives its connection to the database back also where the reader goes away."""

    def __init__(self, pieces: Generator[bytes], *, media_type: str, headers: dict[str, str]) -> None:
        super().__init__(pieces, media_type=media_type, headers=headers)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(self._pieces.close)


@router.get("", responses=documented())
def list_snapshots(
    call: _CurrentCall,
    tenant_id: Annotated[
        str | None, Query(alias="tenantId", description="May be left out with a key of one tenant.")
    ] = None,
    snapshot_type: Annotated[SnapshotType | None, Query(alias="snapshotType")] = None,
    since: Annotated[datetime | None, Query(alias="from", description="Captured at or after this.")] = None,
    until: Annotated[datetime | None, Query(alias="to", description="Captured before this.")] = None,
    as_of: Annotated[
        datetime | None,
        Query(
            alias="asOf",
            description="Only the snapshot of each type that was the latest at this moment; failed ones are "
            "passed over. Not together with `from`, `to` or `cursor`.",
        ),
    ] = None,
    cursor: Annotated[
        str | None, Query(max_length=200, description="`nextCursor` of the page before.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> SnapshotList:
    """List a tenant's snapshots, the newest first. Snapshots that are stored meanwhile do not shift pages."""
    bound = call.bind(tenant_id)
    types = [snapshot_type] if snapshot_type else list(SnapshotType)
    if as_of is not None:
        if since or until or cursor:
            raise CallRefusedError(Kind.INVALID_REQUEST, "asOf goes with neither from, to nor cursor.")
        found = _in_force(call.services.ledger, bound, types, _aware(as_of))
        next_cursor = None
    else:
        found = call.services.ledger.page(
            bound,
            types,
            since=_aware(since) if since else None,
            until=_aware(until) if until else None,
            before=Cursor.read(cursor).position if cursor else None,
            limit=limit + 1,
        )
        next_cursor = Cursor.after(found[limit - 1]).text if len(found) > limit else None
    listed = [ListedSnapshot.of(snapshot) for snapshot in found[:limit]]
    call.allowed({"snapshots": len(listed)})
    return SnapshotList(snapshots=listed, next_cursor=next_cursor)


@router.get(
    "/{snapshotId}",
    response_model=SnapshotDocument,
    responses={
        200: {"content": {_NDJSON: {"schema": {"type": "string"}}}},
        304: {"description": "The snapshot is the one that the caller has."},
        **documented(Kind.SNAPSHOT_CORRUPT),
    },
)
def read_snapshot(
    call: _CurrentCall,
    snapshotId: str,  # noqa: N803 - the contract's name
    *,
    raw: Annotated[
        bool, Query(description="Only the entities' exact bytes, a line feed behind each.")
    ] = False,
    if_none_match: Annotated[str | None, Header(description="An ETag that the caller has.")] = None,
) -> Response:
    """Read a snapshot whole, verified against its checksum, which is also its ETag."""
    snapshot = call.snapshot(snapshotId)
    headers = {"ETag": f'"{snapshot.checksum}"', "Cache-Control": "private, no-cache"}
    told = {"snapshotId": snapshot.snapshot_id, "snapshotType": snapshot.snapshot_type.value, "raw": raw}
    if _matches(if_none_match, headers["ETag"]):
        call.allowed({**told, "unchanged": True})
        return Response(status_code=304, headers=headers)
    ledger = Ledger(call.services.streams)
    ledger.verify_snapshot(snapshot)
    # The first piece is read before the answer begins, so that what goes wrong is still told as a problem.
    pieces = _started(_pieces(ledger, snapshot, raw=raw))
    try:
        call.allowed(told)
    except BaseException:
        pieces.close()
        raise
    media_type = _NDJSON if raw else "application/json"
    return _Stream(pieces, media_type=media_type, headers=headers)


@router.get("/{snapshotId}/verify", responses=documented())
def verify_snapshot(call: _CurrentCall, snapshotId: str) -> Verified:  # noqa: N803 - the contract's name
    """Recompute a snapshot's checksum from the bytes that are stored."""
    snapshot = call.snapshot(snapshotId)
    problem = None
    try:
        call.services.ledger.verify_snapshot(snapshot)
    except SnapshotCorruptError as error:
        problem = str(error)
    call.allowed({"snapshotId": snapshot.snapshot_id, "findings": int(bool(problem))}, success=not problem)
    return Verified(
        snapshot_id=snapshot.snapshot_id,
        tenant_id=snapshot.tenant_id,
        checksum=snapshot.checksum,
        record_count=snapshot.record_count,
        valid=problem is None,
        problem=problem,
    )


def _in_force(
    ledger: Ledger, tenant_id: str, types: Iterable[SnapshotType], moment: datetime
) -> list[Snapshot]:
    latest = (ledger.latest(tenant_id, snapshot_type, as_of=moment) for snapshot_type in types)
    return sorted(filter(None, latest), key=lambda snapshot: snapshot.captured_at, reverse=True)


def _aware(moment: datetime) -> datetime:
    """A moment without a time zone is taken as UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _matches(if_none_match: str | None, etag: str) -> bool:
    known = {each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")}
    return etag in known or "*" in known


def _pieces(ledger: Ledger, snapshot: Snapshot, *, raw: bool) -> Generator[bytes]:
    """The snapshot's bytes, some ten kilobytes at a time."""
    with closing(ledger.bodies(snapshot)) as bodies:
        piece = bytearray()
        for part in raw_lines(bodies) if raw else document(snapshot, bodies):
            piece += part
            if len(piece) >= _PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
        yield bytes(piece)


def _started(pieces: Generator[bytes]) -> Generator[bytes]:
    """The same pieces, with the first one read already."""
    started = _resumed(next(pieces), pieces)
    next(started)
    return started


def _resumed(first: bytes, rest: Iterator[bytes]) -> Generator[bytes]:
    yield b""
    yield first
    yield from rest
