"""The product's Prometheus metrics, made of the tables whenever they are asked for."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from ghl_snapshots.core.snapshot_requests import RequestStatus
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.metrics.text_format import Exemplar, Family, Histogram, Labels, Observed, written
from ghl_snapshots.metrics.totals import Durations, Measurements, NewestCapture, measure

_Row = TypeVar("_Row")


def exposition(database: Database, *, tenant_label: bool, openmetrics: bool = False) -> bytes:
    """All metrics as they are now, as text; without the label `tenant_id`, all tenants are taken together.

    Taken together, counters are added up, and of a gauge the worst tenant's value is shown.

    Raises:
        LedgerError: the server does not answer.
    """
    families = _Families(measure(database), tenant_label=tenant_label)
    return written(families, openmetrics=openmetrics)


class _Families:
    """The metric families of one moment."""

    def __init__(self, measured: Measurements, *, tenant_label: bool) -> None:
        self._measured = measured
        self._tenant_label = tenant_label

    def __iter__(self) -> Iterator[Family | Histogram]:
        """Every family."""
        yield self._durations()
        yield self._records()
        yield self._errors()
        yield self._api_calls()
        yield self._last_successes()
        yield from self._full_runs()
        yield self._daily_quotas()
        yield self._requests()
        yield from self._verification()

    def _names(self, *names: str) -> Labels:
        return tuple(name for name in names if name != "tenant_id" or self._tenant_label)

    def _tenant(self, tenant_id: str) -> Labels:
        return (tenant_id,) if self._tenant_label else ()

    def _durations(self) -> Histogram:
        rows: defaultdict[Labels, list[Durations]] = defaultdict(list)
        for row in self._measured.durations:
            rows[self._outcome(row)].append(row)
        newest = self._exemplars()
        return Histogram(
            name="ghl_snapshot_duration_ms",
            help="Duration of captures in milliseconds; success is true for complete ones.",
            labels=self._names("snapshot_type", "tenant_id", "success"),
            bounds=self._measured.duration_bounds,
            series={
                labels: self._observed(found, newest.get(labels)) for labels, found in sorted(rows.items())
            },
        )

    def _outcome(self, row: Durations | NewestCapture) -> Labels:
        return row.snapshot_type, *self._tenant(row.tenant_id), str(row.success).lower()

    def _exemplars(self) -> Mapping[Labels, Exemplar]:
        """The newest capture of each series, where it is a chain's newest; every scrape sees other ones."""
        return {
            self._outcome(row): Exemplar(
                bucket=row.bucket,
                value=row.duration_ms,
                timestamp=row.captured_at.timestamp(),
                label="correlation_id",
                told=row.correlation_id,
            )
            for row in sorted(self._measured.newest_captures, key=lambda row: row.captured_at)
        }

    def _observed(self, rows: Iterable[Durations], exemplar: Exemplar | None) -> Observed:
        counts, total = [0] * (len(self._measured.duration_bounds) + 1), 0
        for row in rows:
            counts[row.bucket] += row.captures
            total += row.duration_ms
        return Observed(counts=counts, total=total, exemplar=exemplar)

    def _records(self) -> Family:
        return Family(
            name="ghl_snapshot_records",
            kind="counter",
            help="Records captured.",
            labels=self._names("snapshot_type", "tenant_id"),
            values=_merged(
                self._measured.records,
                lambda row: (row.snapshot_type, *self._tenant(row.tenant_id)),
                lambda row: row.records,
            ),
        )

    def _errors(self) -> Family:
        return Family(
            name="ghl_snapshot_errors",
            kind="counter",
            help="Parts missing from captures, by the kind of error.",
            labels=self._names("snapshot_type", "tenant_id", "error_type"),
            values=_merged(
                self._measured.errors,
                lambda row: (row.snapshot_type, *self._tenant(row.tenant_id), row.error_type),
                lambda row: row.errors,
            ),
        )

    def _api_calls(self) -> Family:
        return Family(
            name="ghl_snapshot_api_calls",
            kind="counter",
            help="HTTP requests sent to GHL, retries included; status_code is none where no answer came.",
            labels=("endpoint", "status_code"),
            values={(row.endpoint, row.status_code): row.calls for row in self._measured.api_calls},
        )

    def _last_successes(self) -> Family:
        return Family(
            name="ghl_snapshot_last_success_timestamp_seconds",
            kind="gauge",
            help="When the newest complete capture of an enabled tenant began; 0 if there is none yet.",
            labels=self._names("snapshot_type", "tenant_id"),
            values=_merged(
                self._measured.last_successes,
                lambda row: (row.snapshot_type, *self._tenant(row.tenant_id)),
                lambda row: row.last_success_at.timestamp() if row.last_success_at else 0,
                min,
            ),
        )

    def _full_runs(self) -> Iterator[Family]:
        runs = self._measured.full_runs
        yield Family(
            name="ghl_snapshot_last_full_run_duration_ms",
            kind="gauge",
            help="Duration of the newest full run of an enabled tenant in milliseconds.",
            labels=self._names("tenant_id"),
            values=_merged(runs, lambda row: self._tenant(row.tenant_id), lambda row: row.duration_ms, max),
        )
        yield Family(
            name="ghl_snapshot_full_run_success_ratio",
            kind="gauge",
            help="Part of the enabled tenants whose newest full run was complete; absent before there is "
            "one.",
            values={(): sum(run.success for run in runs) / len(runs)} if runs else {},
        )

    def _daily_quotas(self) -> Family:
        return Family(
            name="ghl_snapshot_rate_limit_daily_remaining",
            kind="gauge",
            help="Requests that GHL still allows a location or company today, as far as it has said so; "
            "without the tenant label, of the one that has the fewest.",
            labels=("tenant_id", "resource") if self._tenant_label else (),
            values=_merged(
                self._measured.daily_quotas,
                lambda row: (row.tenant_id, row.resource) if self._tenant_label else (),
                lambda row: row.remaining,
                min,
            ),
        )

    def _requests(self) -> Family:
        told = self._measured.requests
        return Family(
            name="ghl_snapshot_requests",
            kind="gauge",
            help="Requests of the API by status: the open ones, and those that ended within the last day.",
            labels=("status",),
            values={(status.value,): told.get(status.value, 0) for status in RequestStatus},
        )

    def _verification(self) -> Iterator[Family]:
        last = self._measured.verification
        yield Family(
            name="ghl_snapshot_chain_verification_age_seconds",
            kind="gauge",
            help="Time since the whole ledger was last verified; absent if it never was.",
            values={(): last.age_seconds} if last else {},
        )
        yield Family(
            name="ghl_snapshot_chain_verification_success",
            kind="gauge",
            help="1 if the ledger held when it was last verified, else 0; absent if it never was.",
            values={(): int(last.success)} if last else {},
        )


def _merged(
    rows: Iterable[_Row],
    labels: Callable[[_Row], Labels],
    value: Callable[[_Row], float],
    together: Callable[[list[float]], float] = sum,
) -> Mapping[Labels, float]:
    """A value for each combination of labels."""
    values: defaultdict[Labels, list[float]] = defaultdict(list)
    for row in rows:
        values[labels(row)].append(value(row))
    return {key: together(found) for key, found in sorted(values.items())}
