"""The audit of a run as a whole: one event for each tenant and trigger, however the run ended."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ghl_snapshots.core.audit_events import AuditEvent, EventType
from ghl_snapshots.core.model import SnapshotType, Source
from ghl_snapshots.ledger.audit import AuditTrail
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.queries import query


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """A run that is over, with those that it took the place of; `status` is Dagster's word for its end."""

    run_id: str
    correlation_id: str
    source: Source
    status: str
    duration_ms: int
    """Of the run with all its tenants, its waiting and its retries."""
    planned: Mapping[str, Collection[SnapshotType]]
    """What was to be captured of each tenant."""


def record_full_run(database: Database, run: FinishedRun) -> int:
    """Append the events that are not there yet, safely also with two at once; how many were appended.

    Raises:
        LedgerError: the server does not answer; what was appended stays, and doing it again adds the rest.
    """
    parameters = {
        "correlation_id": run.correlation_id,
        "tenant_ids": list(run.planned),
        "event_type": EventType.FULL_RUN,
    }
    with database.auditor() as connection:
        rows = connection.execute(query("totals_of_trigger"), parameters).fetchall()
    trail = AuditTrail(database)
    return sum(trail.record(_event(run, row)) for row in rows)


def _event(run: FinishedRun, row: Mapping[str, Any]) -> AuditEvent:
    planned = sorted(run.planned[row["tenant_id"]])
    return AuditEvent(
        event_type=EventType.FULL_RUN,
        tenant_id=row["tenant_id"],
        ghl_account_id=row["ghl_account_id"],
        correlation_id=run.correlation_id,
        success=row["successful"] >= len(planned),
        source=run.source,
        details={
            "totalSnapshots": row["snapshots"],
            "successfulSnapshots": row["successful"],
            "totalRecords": row["records"],
            "durationMs": row["duration_ms"],
            "runDurationMs": run.duration_ms,
            "plannedSnapshotTypes": [kind.value for kind in planned],
            "runId": run.run_id,
            "runStatus": run.status,
        },
    )
