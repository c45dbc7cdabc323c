"""What is written is what Prometheus' own library reads, and would have written."""

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest as text
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_text
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from prometheus_client.samples import Exemplar as LibraryExemplar

from ghl_snapshots.metrics.text_format import Exemplar, Family, Histogram, Observed, written

ODD = 'a "b" \\ c\nd é'


def exemplar(bucket: int, told: str) -> Exemplar:
    return Exemplar(bucket=bucket, value=70, timestamp=1772539200.5, label="id", told=told)


def theirs(told: str) -> LibraryExemplar:
    return LibraryExemplar({"id": told}, 70, 1772539200.5)


OURS: list[Family | Histogram] = [
    Histogram(
        name="took_ms",
        help="How long.",
        labels=("kind", "name"),
        bounds=(50, 100),
        series={
            ("x", ODD): Observed(counts=(1, 0, 2), total=1234, exemplar=exemplar(2, ODD)),
            ("y", "z"): Observed(counts=(0, 3, 0), total=210, exemplar=exemplar(1, "x" * 126)),
            ("y", "zz"): Observed(counts=(0, 1, 0), total=70, exemplar=exemplar(1, "x" * 127)),
        },
    ),
    Family(
        name="seen", kind="counter", help="Seen; counted.", labels=("kind",), values={("x",): 3, (ODD,): 0}
    ),
    Family(name="age", kind="gauge", help="Age.", values={(): 1772539200.123456}),
    Family(name="none", kind="gauge", help="Nothing yet.", labels=("kind",), values={}),
]


class Theirs:
    """The same in the library's words."""

    def collect(self) -> list[HistogramMetricFamily | CounterMetricFamily | GaugeMetricFamily]:
        took = HistogramMetricFamily("took_ms", "How long.", labels=("kind", "name"))
        took.add_metric(("x", ODD), [("50", 1), ("100", 1), ("+Inf", 3, theirs(ODD))], 1234)
        took.add_metric(("y", "z"), [("50", 0), ("100", 3, theirs("x" * 126)), ("+Inf", 3)], 210)
        took.add_metric(("y", "zz"), [("50", 0), ("100", 1), ("+Inf", 1)], 70)
        seen = CounterMetricFamily("seen", "Seen; counted.", labels=("kind",))
        seen.add_metric(("x",), 3)
        seen.add_metric((ODD,), 0)
        age = GaugeMetricFamily("age", "Age.", value=1772539200.123456)
        return [took, seen, age, GaugeMetricFamily("none", "Nothing yet.", labels=("kind",))]


@pytest.mark.parametrize("openmetrics", [False, True])
def test_it_reads_as_what_the_library_writes(*, openmetrics: bool) -> None:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Theirs())
    write, read = (openmetrics_text, read_openmetrics) if openmetrics else (text, read_text)
    ours = written(OURS, openmetrics=openmetrics).decode()
    assert list(read(ours)) == list(read(write(registry).decode()))
    assert ours.endswith("# EOF\n") == openmetrics
