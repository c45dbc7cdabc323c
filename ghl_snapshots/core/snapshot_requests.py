"""What other systems ask for through the API, and how far that has come."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from ghl_snapshots.core.model import Priority, SnapshotType


class RequestStatus(StrEnum):
    """How far a request for captures has come; the last three are its end."""

    ACCEPTED = "accepted"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTIAL_FAILURE = "partial_failure"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRequest:
    """A request for captures that came in through the API, and how far it has come."""

    request_id: str
    """Also the correlation id of the run and of all that it stores."""
    tenant_id: str
    ghl_account_id: str
    snapshot_types: tuple[SnapshotType, ...]
    priority: Priority
    reason: str | None
    key_id: str | None
    estimated_seconds: int
    created_at: datetime
    status: RequestStatus
    run_id: str | None = None
    queued_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: str | None = None
    """Why the run ended without what was asked for, where the snapshots do not say."""

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Build a request from a row with this class's field names; other columns are left out."""
        named = {field.name: row[field.name] for field in fields(cls)}
        typed = {
            "snapshot_types": tuple(SnapshotType(name) for name in row["snapshot_types"]),
            "priority": Priority(row["priority"]),
            "status": RequestStatus(row["status"]),
        }
        return cls(**{**named, **typed})
