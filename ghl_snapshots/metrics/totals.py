"""What the ledger adds up to, as its tables have it at one moment; reading it changes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ghl_snapshots.core.model import Status
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.queries import query


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """One of a chain's totals; `row_counts` and `provenance_counts` in schema.sql say which there are."""

    tenant_id: str
    snapshot_type: str
    metric: str
    labels: Sequence[str]
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewestCapture:
    """A chain's newest capture."""

    tenant_id: str
    snapshot_type: str
    success: bool
    bucket: int
    """Number of `Measurements.duration_bounds` that the duration is above."""
    duration_ms: int
    captured_at: datetime
    correlation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LastSuccess:
    """An enabled tenant's newest complete capture of a type, None if there is none."""

    tenant_id: str
    snapshot_type: str
    last_success_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestCapture:
    """How an enabled tenant's newest capture of a type went, and what the newest good one has."""

    tenant_id: str
    snapshot_type: str
    status: Status | None
    """None if there is no capture yet."""
    good_at: datetime | None
    record_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LastFullRun:
    """How an enabled tenant's newest run over all types went; `duration_ms` is its captures' together."""

    tenant_id: str
    success: bool
    duration_ms: int
    api_calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LastVerification:
    """When the whole ledger was last verified, and whether the deepest verifications found it intact."""

    age_seconds: float
    success: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RemainingQuota:
    """Requests that GHL still allows a tenant's location or company today."""

    tenant_id: str
    resource: str
    remaining: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """Everything that is measured, at one moment."""

    duration_bounds: Sequence[int]
    """Upper bounds of the histogram's buckets in milliseconds, each bound within its bucket."""
    counters: Sequence[Counter]
    newest_captures: Sequence[NewestCapture]
    last_successes: Sequence[LastSuccess]
    latest_captures: Sequence[LatestCapture]
    last_full_runs: Sequence[LastFullRun]
    remaining_quotas: Sequence[RemainingQuota]
    requests: Mapping[str, int]
    """By status: the open ones, and those that ended within the last day."""
    verification: LastVerification | None


def measure(database: Database) -> Measurements:
    """Read all totals as they are at one moment.

    Raises:
        LedgerError: the server does not answer.
    """
    with database.auditor() as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        [bounds] = connection.execute(query("duration_bounds"))
        verification = connection.execute(query("last_verification")).fetchone()
        return Measurements(
            duration_bounds=bounds["bounds"],
            counters=[Counter(**row) for row in connection.execute(query("counters"))],
            newest_captures=[NewestCapture(**row) for row in connection.execute(query("newest_captures"))],
            last_successes=[LastSuccess(**row) for row in connection.execute(query("last_successes"))],
            latest_captures=[
                LatestCapture(**{**row, "status": Status(row["status"]) if row["status"] else None})
                for row in connection.execute(query("latest_captures"))
            ],
            last_full_runs=[LastFullRun(**row) for row in connection.execute(query("last_full_runs"))],
            remaining_quotas=[RemainingQuota(**row) for row in connection.execute(query("daily_quotas"))],
            requests={
                row["status"]: row["requests"] for row in connection.execute(query("requests_by_status"))
            },
            verification=LastVerification(**verification) if verification else None,
        )
