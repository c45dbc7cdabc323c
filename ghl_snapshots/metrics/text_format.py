"""Prometheus' text formats, for more series than prometheus_client writes in time.

A thousand tenants have 85,000 lines. prometheus_client checks and escapes every label of every line, which
takes ten times as long as the database needs to count; here a histogram's labels are written once for all its
lines. The tests read with prometheus_client, and with a real Prometheus, what is written.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

Labels = tuple[str, ...]
_MOST_EXEMPLAR_CHARACTERS = 128
"""By OpenMetrics, names and values of its labels together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A counter, whose name is given without `_total`, or a gauge; a value for each combination of labels."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    labels: Labels = ()
    values: Mapping[Labels, float]

    def lines(self, *, openmetrics: bool) -> Iterator[str]:
        """What describes it, and its samples."""
        sample = f"{self.name}_total" if self.kind == "counter" else self.name
        yield from _described(self.name if openmetrics else sample, self.kind, self.help)
        for labels, value in self.values.items():
            yield f"{sample}{{{_labelled(self.labels, labels)}}} {value}" if labels else f"{sample} {value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemplar:
    """One observation, in the bucket of this place, with what leads to the work that it was of."""

    bucket: int
    value: float
    timestamp: float
    label: str
    told: str

    def __str__(self) -> str:
        """As it follows its bucket's sample in OpenMetrics; nothing if it would be longer than allowed."""
        fits = len(self.label) + len(self.told) <= _MOST_EXEMPLAR_CHARACTERS
        return (
            f" # {{{_labelled((self.label,), (self.told,))}}} {self.value} {self.timestamp}" if fits else ""
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One series of a histogram: observations by bucket, those above the last bound too, and their sum."""

    counts: Sequence[int]
    total: float
    exemplar: Exemplar | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """A histogram, which has labels."""

    name: str
    help: str
    labels: Labels
    bounds: Sequence[int]
    """The upper bounds of its buckets, each bound within its bucket."""
    series: Mapping[Labels, Observed]

    def lines(self, *, openmetrics: bool) -> Iterator[str]:
        """What describes it, and its samples."""
        yield from _described(self.name, "histogram", self.help)
        ends = [f',le="{bound}"}} ' for bound in (*self.bounds, "+Inf")]
        for labels, observed in self.series.items():
            own = f"{{{_labelled(self.labels, labels)}"
            bucket = f"{self.name}_bucket{own}"
            counts = list(accumulate(observed.counts))
            buckets = [f"{bucket}{end}{count}" for end, count in zip(ends, counts, strict=True)]
            if openmetrics and observed.exemplar:
                buckets[observed.exemplar.bucket] += str(observed.exemplar)
            yield from buckets
            yield f"{self.name}_count{own}}} {counts[-1]}"
            yield f"{self.name}_sum{own}}} {observed.total}"


def written(families: Iterable[Family | Histogram], *, openmetrics: bool) -> bytes:
    """The families in the text format 0.0.4, or in OpenMetrics 1.0."""
    lines = [line for family in families for line in family.lines(openmetrics=openmetrics)]
    return "\n".join([*lines, "# EOF", ""] if openmetrics else [*lines, ""]).encode()


def _described(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _labelled(names: Labels, values: Labels) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
