"""The product's Prometheus metrics, made of the tables whenever they are asked for."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.measurements import Durations, Measurements, measure
from ghl_snapshots.model import RequestStatus

Labels = tuple[str, ...]
_Row = TypeVar("_Row")


def registry(database: Database, *, tenant_label: bool) -> CollectorRegistry:
    """All metrics as they are now; without the label `tenant_id`, all tenants are taken together.

    Taken together, counters are added up, and of a gauge the worst tenant's value is shown.

    Raises:
        LedgerError: the server does not answer.
    """
    families = list(_Families(measure(database), tenant_label=tenant_label))
    collected = CollectorRegistry(auto_describe=False)
    collected.register(_Collected(families))
    return collected


class _Collected:
    """Families that are there already, in the form of a collector."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """The families."""
        return self._families


class _Families:
    """The metric families of one moment."""

    def __init__(self, measured: Measurements, *, tenant_label: bool) -> None:
        self._measured = measured
        self._tenant_label = tenant_label

    def __iter__(self) -> Iterator[Metric]:
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

    def _durations(self) -> Metric:
        family = HistogramMetricFamily(
            "ghl_snapshot_duration_ms",
            "Duration of captures in milliseconds; success is true for complete ones.",
            labels=self._names("snapshot_type", "tenant_id", "success"),
        )
        series: defaultdict[Labels, list[Durations]] = defaultdict(list)
        for row in self._measured.durations:
            series[row.snapshot_type, *self._tenant(row.tenant_id), str(row.success).lower()].append(row)
        for labels, rows in sorted(series.items()):
            family.add_metric(labels, self._buckets(rows), sum(row.duration_ms for row in rows))
        return family

    def _buckets(self, rows: Iterable[Durations]) -> list[tuple[str, float]]:
        bounds = [*map(str, self._measured.duration_bounds), "+Inf"]
        captures: Counter[int] = Counter()
        for row in rows:
            captures[row.bucket] += row.captures
        return list(zip(bounds, accumulate(captures[place] for place in range(len(bounds))), strict=True))

    def _records(self) -> Metric:
        family = CounterMetricFamily(
            "ghl_snapshot_records",
            "Records captured.",
            labels=self._names("snapshot_type", "tenant_id"),
        )
        return _filled(
            family,
            _merged(
                self._measured.records,
                lambda row: (row.snapshot_type, *self._tenant(row.tenant_id)),
                lambda row: row.records,
            ),
        )

    def _errors(self) -> Metric:
        family = CounterMetricFamily(
            "ghl_snapshot_errors",
            "Parts missing from captures, by the kind of error.",
            labels=self._names("snapshot_type", "tenant_id", "error_type"),
        )
        return _filled(
            family,
            _merged(
                self._measured.errors,
                lambda row: (row.snapshot_type, *self._tenant(row.tenant_id), row.error_type),
                lambda row: row.errors,
            ),
        )

    def _api_calls(self) -> Metric:
        family = CounterMetricFamily(
            "ghl_snapshot_api_calls",
            "HTTP requests sent to GHL, retries included; status_code is none where no answer came.",
            labels=("endpoint", "status_code"),
        )
        return _filled(
            family, {(row.endpoint, row.status_code): row.calls for row in self._measured.api_calls}
        )

    def _last_successes(self) -> Metric:
        family = GaugeMetricFamily(
            "ghl_snapshot_last_success_timestamp_seconds",
            "When the newest complete capture of an enabled tenant began; 0 if there is none yet.",
            labels=self._names("snapshot_type", "tenant_id"),
        )
        return _filled(
            family,
            _merged(
                self._measured.last_successes,
                lambda row: (row.snapshot_type, *self._tenant(row.tenant_id)),
                lambda row: row.last_success_at.timestamp() if row.last_success_at else 0,
                min,
            ),
        )

    def _full_runs(self) -> Iterator[Metric]:
        duration = GaugeMetricFamily(
            "ghl_snapshot_last_full_run_duration_ms",
            "Duration of the newest full run of an enabled tenant in milliseconds.",
            labels=self._names("tenant_id"),
        )
        yield _filled(
            duration,
            _merged(
                self._measured.full_runs,
                lambda row: self._tenant(row.tenant_id),
                lambda row: row.duration_ms,
                max,
            ),
        )
        ratio = GaugeMetricFamily(
            "ghl_snapshot_full_run_success_ratio",
            "Part of the enabled tenants whose newest full run was complete; absent before there is one.",
        )
        runs = self._measured.full_runs
        if runs:
            ratio.add_metric((), sum(run.success for run in runs) / len(runs))
        yield ratio

    def _daily_quotas(self) -> Metric:
        family = GaugeMetricFamily(
            "ghl_snapshot_rate_limit_daily_remaining",
            "Requests that GHL still allows a location or company today, as far as it has said so; without "
            "the tenant label, of the one that has the fewest.",
            labels=("tenant_id", "resource") if self._tenant_label else (),
        )
        return _filled(
            family,
            _merged(
                self._measured.daily_quotas,
                lambda row: (row.tenant_id, row.resource) if self._tenant_label else (),
                lambda row: row.remaining,
                min,
            ),
        )

    def _requests(self) -> Metric:
        family = GaugeMetricFamily(
            "ghl_snapshot_requests",
            "Requests of the API by status: the open ones, and those that ended within the last day.",
            labels=("status",),
        )
        for status in RequestStatus:
            family.add_metric((status.value,), self._measured.requests.get(status.value, 0))
        return family

    def _verification(self) -> Iterator[Metric]:
        age = GaugeMetricFamily(
            "ghl_snapshot_chain_verification_age_seconds",
            "Time since the whole ledger was last verified; absent if it never was.",
        )
        success = GaugeMetricFamily(
            "ghl_snapshot_chain_verification_success",
            "1 if the ledger held when it was last verified, else 0; absent if it never was.",
        )
        last = self._measured.verification
        if last:
            age.add_metric((), last.age_seconds)
            success.add_metric((), int(last.success))
        yield age
        yield success


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


def _filled(family: CounterMetricFamily | GaugeMetricFamily, values: Mapping[Labels, float]) -> Metric:
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
