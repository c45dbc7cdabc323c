"""The design that the ledger is measured against: each payload as JSONB in the row of its snapshot."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from psycopg import Connection

from ghl_snapshots.core.model import Capture, SnapshotType, iso

SCHEMA = """
CREATE TABLE public.literal (
    snapshot_id text PRIMARY KEY, tenant_id text NOT NULL, ghl_account_id text NOT NULL,
    snapshot_type text NOT NULL, captured_at timestamptz NOT NULL, version text NOT NULL,
    status text NOT NULL,
    record_count int NOT NULL, checksum text NOT NULL, payload jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(), created_by text NOT NULL, source text NOT NULL,
    correlation_id text NOT NULL);
CREATE INDEX ON public.literal (tenant_id, snapshot_type, captured_at DESC);
CREATE INDEX ON public.literal (tenant_id, ghl_account_id);
CREATE INDEX ON public.literal (correlation_id);
"""
_INSERT = (
    "INSERT INTO public.literal VALUES (%s, %s, %s, %s, %s, '1.0.0', %s, %s, %s, %s, now(), 'system', %s, %s)"
)
_HISTORY = (
    "SELECT DISTINCT item FROM public.literal, jsonb_array_elements(payload -> 'data') AS item "
    "WHERE tenant_id = %s AND snapshot_type = %s AND item ->> 'id' = %s"
)


def insert(connection: Connection, capture: Capture, snapshot_id: str) -> None:
    """Store a capture."""
    data = b",".join(bytes(entity.body) for entity in capture.entities).decode()
    connection.execute(
        _INSERT,
        [
            snapshot_id,
            capture.tenant_id,
            capture.ghl_account_id,
            capture.snapshot_type.value,
            capture.captured_at,
            capture.status.value,
            capture.record_count,
            capture.checksum,
            f'{{"data": [{data}], "metadata": {json.dumps(_metadata(capture))}}}',
            capture.source.value,
            capture.correlation_id,
        ],
    )


def _metadata(capture: Capture) -> Mapping[str, Any]:
    """The payload's metadata, whole."""
    requests = [
        {
            **request.provenance(),
            "requestTimestamp": iso(request.requested_at),
            "durationMs": request.duration_ms,
            "traceId": request.trace_id,
        }
        for request in capture.requests
    ]
    return {**capture.provenance(), "requests": requests, "requestTimestamp": iso(capture.captured_at)}


def newest(
    connection: Connection, columns: str, tenant_id: str, kind: SnapshotType, until: datetime
) -> Callable[[], Any]:
    """A function that reads columns of the newest snapshot captured by a moment."""
    statement = (
        f"SELECT {columns} FROM public.literal WHERE tenant_id = %s AND snapshot_type = %s "  # noqa: S608 - literals
        "AND captured_at <= %s ORDER BY captured_at DESC LIMIT 1"
    )
    return lambda: connection.execute(statement, [tenant_id, kind.value, until]).fetchone()


def history(connection: Connection, tenant_id: str, kind: SnapshotType, entity_id: str) -> Callable[[], Any]:
    """A function that reads every version of one entity."""
    return lambda: connection.execute(_HISTORY, [tenant_id, kind.value, entity_id]).fetchall()
