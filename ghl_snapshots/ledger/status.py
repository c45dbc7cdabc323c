"""How each enabled tenant stands: how old and complete its latest snapshot of each type is."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ghl_snapshots.core.cron import Cron
from ghl_snapshots.core.model import SnapshotType, Status, iso
from ghl_snapshots.ledger.checks import staleness_window
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.queries import query


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureStatus:
    """One snapshot type of one tenant."""

    tenant_id: str
    snapshot_type: SnapshotType
    snapshot_id: str | None
    """Of the latest capture, also of one that failed; None if there is none."""
    status: Status | None
    captured_at: datetime | None
    good_at: datetime | None
    """When the latest snapshot that holds anything was captured."""
    record_count: int | None
    """Of that snapshot."""
    not_granted: int
    """Calls that the latest capture left out because the credential lacks their scope."""
    open_requests: int
    """The tenant's requests for captures that are not over, of whatever type."""
    stale: bool
    """Whether that snapshot is older than the schedule allows, as the check `captured_recently` has it."""
    next_at: datetime
    """When the schedule is due next."""

    @property
    def failed(self) -> bool:
        """Whether the latest capture holds nothing."""
        return self.status is Status.FAILED

    @property
    def is_problem(self) -> bool:
        """Whether a person should look at it."""
        return self.stale or self.status in (Status.FAILED, Status.PARTIAL_FAILURE) or self.not_granted > 0

    def as_json(self) -> dict[str, Any]:
        """The status with the names of the snapshot's JSON form."""
        return {
            "tenantId": self.tenant_id,
            "snapshotType": self.snapshot_type.value,
            "snapshotId": self.snapshot_id,
            "status": self.status.value if self.status else None,
            "capturedAt": iso(self.captured_at) if self.captured_at else None,
            "lastGoodAt": iso(self.good_at) if self.good_at else None,
            "recordCount": self.record_count,
            "notGranted": self.not_granted,
            "openRequests": self.open_requests,
            "stale": self.stale,
            "nextCaptureAt": iso(self.next_at),
        }


def statuses(
    database: Database, crons: Mapping[SnapshotType, Cron], *, now: datetime, tenant_id: str | None = None
) -> list[CaptureStatus]:
    """Every enabled tenant, or that one, by types in the order of `crons`, which say when each is due.

    Raises:
        LedgerError: the server does not answer.
    """
    due = {kind: next(cron.ticks(now)) for kind, cron in crons.items()}
    parameters = {
        "snapshot_types": [kind.value for kind in crons],
        "windows": [staleness_window(cron, now) for cron in crons.values()],
        "now": now,
        "tenant_id": tenant_id,
    }
    with database.auditor() as connection:
        rows = connection.execute(query("statuses"), parameters).fetchall()
    return [_status(row, due) for row in rows]


def _status(row: Mapping[str, Any], due: Mapping[SnapshotType, datetime]) -> CaptureStatus:
    kind = SnapshotType(row["snapshot_type"])
    status = Status(row["status"]) if row["status"] else None
    return CaptureStatus(**{**row, "snapshot_type": kind, "status": status}, next_at=due[kind])
