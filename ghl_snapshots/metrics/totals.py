"""What the ledger adds up to: totals that never go back, kept by counting what is new since the last time.

A total must not miss a capture that commits late, nor count one twice when several processes count at once.
Row ids and times cannot promise that: a transaction may take its number early and commit after another was
counted. A chain's numbers can: they are given out under a lock that lasts until the commit, without a gap. So
the database keeps, for each chain, the number up to which it has counted (metric_chain), and counts on from
there, one process at a time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.queries import query


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """Captures whose duration is within one bucket of the histogram."""

    tenant_id: str
    snapshot_type: str
    success: bool
    bucket: int
    """Number of `Measurements.duration_bounds` that the durations are above."""
    captures: int
    duration_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewestCapture:
    """A chain's newest capture."""

    tenant_id: str
    snapshot_type: str
    success: bool
    bucket: int
    duration_ms: int
    captured_at: datetime
    correlation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Records captured by all of a chain's snapshots together."""

    tenant_id: str
    snapshot_type: str
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """Missing parts of captures, of one kind."""

    tenant_id: str
    snapshot_type: str
    error_type: str
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCalls:
    """HTTP requests sent to GHL; the status code is `none` where no answer came."""

    endpoint: str
    status_code: str
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LastSuccess:
    """An enabled tenant's newest complete capture of a type, None if there is none."""

    tenant_id: str
    snapshot_type: str
    last_success_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FullRun:
    """How an enabled tenant's newest run over all types went; `duration_ms` is its captures' together."""

    tenant_id: str
    success: bool
    duration_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LastVerification:
    """When the whole ledger was last verified, and whether it holds as far as the deepest looks tell."""

    age_seconds: float
    success: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyQuota:
    """Requests that GHL still allows a tenant's location or company today."""

    tenant_id: str
    resource: str
    remaining: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """Everything that is measured, at one moment."""

    duration_bounds: Sequence[int]
    """Upper bounds of the histogram's buckets in milliseconds, each bound within its bucket."""
    durations: Sequence[Durations]
    newest_captures: Sequence[NewestCapture]
    records: Sequence[Records]
    errors: Sequence[Errors]
    api_calls: Sequence[ApiCalls]
    last_successes: Sequence[LastSuccess]
    full_runs: Sequence[FullRun]
    daily_quotas: Sequence[DailyQuota]
    requests: Mapping[str, int]
    """By status: the open ones, and those that ended within the last day."""
    verification: LastVerification | None


def measure(database: Database) -> Measurements:
    """Count what is new, and read all totals.

    Raises:
        LedgerError: the server does not answer.
    """
    types = {"snapshot_types": list(SnapshotType)}
    with database.auditor() as connection:
        connection.execute(query("fold"))
        [bounds] = connection.execute(query("duration_bounds"))
        verification = connection.execute(query("last_verification")).fetchone()
        return Measurements(
            duration_bounds=bounds["bounds"],
            durations=[Durations(**row) for row in connection.execute(query("capture_durations"))],
            newest_captures=[NewestCapture(**row) for row in connection.execute(query("newest_captures"))],
            records=[Records(**row) for row in connection.execute(query("captured_records"))],
            errors=[Errors(**row) for row in connection.execute(query("capture_errors"))],
            api_calls=[ApiCalls(**row) for row in connection.execute(query("api_calls"))],
            last_successes=[LastSuccess(**row) for row in connection.execute(query("last_successes"))],
            full_runs=[FullRun(**row) for row in connection.execute(query("last_full_runs"), types)],
            daily_quotas=[DailyQuota(**row) for row in connection.execute(query("daily_quotas"))],
            requests={
                row["status"]: row["requests"] for row in connection.execute(query("requests_by_status"))
            },
            verification=LastVerification(**verification) if verification else None,
        )
