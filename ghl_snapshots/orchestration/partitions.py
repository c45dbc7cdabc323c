"""One partition for each enabled tenant, so that every tenant has a history and a status of its own."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from ghl_snapshots.orchestration import dagster_tags

NAME = "tenants"
tenants = dg.DynamicPartitionsDefinition(name=NAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantRange:
    """Tenants that follow one another in the order of the partitions, the first and the last included."""

    first: str
    last: str

    def tags(self) -> dict[str, str]:
        """The tags that make a run cover the range."""
        return {dagster_tags.RANGE_START: self.first, dagster_tags.RANGE_END: self.last}


def ranges(partitions: Sequence[str], wanted: Collection[str], *, at_most: int) -> Iterator[TenantRange]:
    """The fewest ranges of at most `at_most` tenants that cover the wanted partitions and no other."""
    chosen = frozenset(wanted)
    run: list[str] = []
    for tenant_id in partitions:
        if run and (tenant_id not in chosen or len(run) == at_most):
            yield TenantRange(first=run[0], last=run[-1])
            run = []
        if tenant_id in chosen:
            run.append(tenant_id)
    if run:
        yield TenantRange(first=run[0], last=run[-1])


def covered(
    partitions: Sequence[str], places: Mapping[str, int], run_tags: Mapping[str, str]
) -> Sequence[str]:
    """The partitions that a run with these tags covers; `places` are those of each partition in the order."""
    first = run_tags.get(dagster_tags.RANGE_START, run_tags.get(dagster_tags.PARTITION, ""))
    last = run_tags.get(dagster_tags.RANGE_END, first)
    if first not in places or last not in places:
        return []
    return partitions[places[first] : places[last] + 1]


def add_partitions(instance: dg.DagsterInstance, tenant_ids: Collection[str]) -> Sequence[str]:
    """Make sure that the tenants have partitions; gives all partitions in their order."""
    instance.add_dynamic_partitions(NAME, sorted(tenant_ids))
    return instance.get_dynamic_partitions(NAME)
