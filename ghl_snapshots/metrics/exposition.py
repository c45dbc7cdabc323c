"""The product's Prometheus metrics, made of the tables whenever they are asked for."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.samples import Exemplar

from ghl_snapshots.core.model import Status
from ghl_snapshots.core.snapshot_requests import RequestStatus
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.metrics.totals import Counter, Measurements, NewestCapture, measure

_Family = TypeVar("_Family", CounterMetricFamily, GaugeMetricFamily)
Labels = tuple[str, ...]
_STATUS_NUMBERS = {None: 0, Status.FAILED: 1, Status.PARTIAL_FAILURE: 2, Status.SUCCESS: 3}
"""The worse the lower, so that the lowest of all tenants is the worst."""
_EXEMPLAR_LABEL = "correlation_id"
_MOST_EXEMPLAR_CHARACTERS = 128
"""By OpenMetrics, names and values of its labels together."""


def exposition(database: Database, *, tenant_label: bool, openmetrics: bool = False) -> bytes:
    """All metrics as they are now, as text; without the label `tenant_id`, all tenants are taken together.

    Taken together, counters are added up, and of a gauge the worst tenant's value is shown.

    Raises:
        LedgerError: the server does not answer.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(measure(database), tenant_label=tenant_label))
    if openmetrics:
        text: bytes = openmetrics_exposition.generate_latest(registry)  # type: ignore[no-untyped-call]  # it has no types
        return text
    return generate_latest(registry)


class _Collector:
    """The metric families of one moment."""

    def __init__(self, measured: Measurements, *, tenant_label: bool) -> None:
        self._measured = measured
        self._tenant_label = tenant_label
        self._counters: defaultdict[str, list[Counter]] = defaultdict(list)
        for counter in measured.counters:
            self._counters[counter.metric].append(counter)

    def collect(self) -> Iterator[Metric]:
        """Every family."""
        yield self._durations()
        yield self._counter("records", "ghl_snapshot_records", "Records captured.", "snapshot_type")
        yield self._counter(
            "new_bytes",
            "ghl_snapshot_new_bytes",
            "Bytes of the entities stored, each content of a tenant once, before PostgreSQL compresses them.",
            "snapshot_type",
        )
        yield self._counter(
            "errors",
            "ghl_snapshot_errors",
            "Parts missing from captures, by the kind of error.",
            "snapshot_type",
            "error_type",
        )
        yield _family(
            CounterMetricFamily,
            "ghl_snapshot_api_calls",
            "HTTP requests sent to GHL, retries included; status_code is none where no answer came.",
            ("endpoint", "status_code"),
            ((tuple(row.labels), row.value) for row in self._counters["api_calls"]),
        )
        yield self._last_successes()
        yield from self._latest_captures()
        yield from self._full_runs()
        yield self._remaining_quotas()
        yield self._requests()
        yield from self._verification()

    def _names(self, *names: str) -> Labels:
        """The label names, with the tenant's as the last one if it is wanted."""
        return (*names, "tenant_id") if self._tenant_label else names

    def _tenant(self, tenant_id: str) -> Labels:
        return (tenant_id,) if self._tenant_label else ()

    def _counter(self, metric: str, name: str, text: str, *labels: str) -> CounterMetricFamily:
        rows = (
            (row.snapshot_type, *row.labels, *self._tenant(row.tenant_id)) for row in self._counters[metric]
        )
        values = (row.value for row in self._counters[metric])
        return _family(CounterMetricFamily, name, text, self._names(*labels), zip(rows, values, strict=True))

    def _durations(self) -> HistogramMetricFamily:
        family = HistogramMetricFamily(
            "ghl_snapshot_duration_ms",
            "Duration of captures in milliseconds; success is true for complete ones.",
            labels=self._names("snapshot_type", "success"),
        )
        bounds = [*map(str, self._measured.duration_bounds), "+Inf"]
        counts: defaultdict[Labels, list[int]] = defaultdict(lambda: [0] * len(bounds))
        for row in self._counters["captures"]:
            success, bucket = row.labels
            counts[row.snapshot_type, success, *self._tenant(row.tenant_id)][int(bucket)] += row.value
        sums: defaultdict[Labels, int] = defaultdict(int)
        for row in self._counters["duration_ms"]:
            sums[row.snapshot_type, *row.labels, *self._tenant(row.tenant_id)] += row.value
        newest = self._exemplars()
        for labels, bucket_counts in sorted(counts.items()):
            buckets: list[tuple[str, float] | tuple[str, float, Exemplar]]
            buckets = list(zip(bounds, accumulate(bucket_counts), strict=True))
            if labels in newest:
                position, exemplar = newest[labels]
                bound, count, *_ = buckets[position]
                buckets[position] = (bound, count, exemplar)
            family.add_metric(labels, buckets, sums[labels])
        return family

    def _exemplars(self) -> dict[Labels, tuple[int, Exemplar]]:
        """By series the newest capture of all its chains and its bucket, where its id is not too long."""
        return {
            (row.snapshot_type, str(row.success).lower(), *self._tenant(row.tenant_id)): (
                row.bucket,
                _exemplar(row),
            )
            for row in sorted(self._measured.newest_captures, key=lambda row: row.captured_at)
            if len(_EXEMPLAR_LABEL) + len(row.correlation_id) <= _MOST_EXEMPLAR_CHARACTERS
        }

    def _last_successes(self) -> GaugeMetricFamily:
        return _family(
            GaugeMetricFamily,
            "ghl_snapshot_last_success_timestamp_seconds",
            "When the newest complete capture of an enabled tenant began; 0 if there is none yet.",
            self._names("snapshot_type"),
            (
                (
                    (row.snapshot_type, *self._tenant(row.tenant_id)),
                    row.last_success_at.timestamp() if row.last_success_at else 0,
                )
                for row in self._measured.last_successes
            ),
            min,
        )

    def _latest_captures(self) -> Iterator[GaugeMetricFamily]:
        rows = [
            ((row.snapshot_type, *self._tenant(row.tenant_id)), row) for row in self._measured.latest_captures
        ]
        names = self._names("snapshot_type")
        yield _family(
            GaugeMetricFamily,
            "ghl_snapshot_latest_status",
            "How the newest capture of an enabled tenant went: 0 there is none yet, 1 failed, "
            "2 partial_failure, 3 success.",
            names,
            ((labels, _STATUS_NUMBERS[row.status]) for labels, row in rows),
            min,
        )
        yield _family(
            GaugeMetricFamily,
            "ghl_snapshot_last_good_timestamp_seconds",
            "When the newest capture of an enabled tenant that holds anything began; 0 if there is none yet.",
            names,
            ((labels, row.good_at.timestamp() if row.good_at else 0) for labels, row in rows),
            min,
        )
        yield _family(
            GaugeMetricFamily,
            "ghl_snapshot_latest_records",
            "Records of the newest capture of an enabled tenant that holds anything.",
            names,
            ((labels, row.record_count) for labels, row in rows),
        )

    def _full_runs(self) -> Iterator[GaugeMetricFamily]:
        runs = self._measured.last_full_runs
        yield _family(
            GaugeMetricFamily,
            "ghl_snapshot_last_full_run_duration_ms",
            "Duration of the newest full run of an enabled tenant in milliseconds.",
            self._names(),
            ((self._tenant(run.tenant_id), run.duration_ms) for run in runs),
            max,
        )
        yield _family(
            GaugeMetricFamily,
            "ghl_snapshot_last_full_run_api_calls",
            "Requests to GHL in the newest full run of an enabled tenant, which its duration grows with.",
            self._names(),
            ((self._tenant(run.tenant_id), run.api_calls) for run in runs),
            max,
        )
        yield _family(
            GaugeMetricFamily,
            "ghl_snapshot_full_run_success_ratio",
            "Part of the enabled tenants whose newest full run was complete; absent before there is one.",
            (),
            [((), sum(run.success for run in runs) / len(runs))] if runs else [],
        )

    def _remaining_quotas(self) -> GaugeMetricFamily:
        return _family(
            GaugeMetricFamily,
            "ghl_snapshot_rate_limit_daily_remaining",
            "Requests that GHL still allows a location or company today, as far as it has said so; "
            "without the tenant label, of the one that has the fewest.",
            ("resource", "tenant_id") if self._tenant_label else (),
            (
                ((row.resource, row.tenant_id) if self._tenant_label else (), row.remaining)
                for row in self._measured.remaining_quotas
            ),
            min,
        )

    def _requests(self) -> GaugeMetricFamily:
        return _family(
            GaugeMetricFamily,
            "ghl_snapshot_requests",
            "Requests of the API by status: the open ones, and those that ended within the last day.",
            ("status",),
            (((status.value,), self._measured.requests.get(status.value, 0)) for status in RequestStatus),
        )

    def _verification(self) -> Iterator[GaugeMetricFamily]:
        last = self._measured.verification
        yield _family(
            GaugeMetricFamily,
            "ghl_snapshot_chain_verification_age_seconds",
            "Time since the whole ledger was last verified; absent if it never was.",
            (),
            [((), last.age_seconds)] if last else [],
        )
        yield _family(
            GaugeMetricFamily,
            "ghl_snapshot_chain_verification_success",
            "1 if the ledger held when it was last verified, else 0; absent if it never was.",
            (),
            [((), float(last.success))] if last else [],
        )


def _exemplar(row: NewestCapture) -> Exemplar:
    return Exemplar({_EXEMPLAR_LABEL: row.correlation_id}, row.duration_ms, row.captured_at.timestamp())


def _family(
    kind: Callable[..., _Family],
    name: str,
    text: str,
    names: Labels,
    rows: Iterable[tuple[Labels, float]],
    together: Callable[[Sequence[float]], float] = sum,
) -> _Family:
    """A family with one value for each combination of labels."""
    family = kind(name, text, labels=names)
    values: defaultdict[Labels, list[float]] = defaultdict(list)
    for labels, value in rows:
        values[labels].append(value)
    for labels, of_series in sorted(values.items()):
        family.add_metric(labels, together(of_series))
    return family
