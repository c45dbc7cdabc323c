"""Tenants as partitions, and the ranges that runs cover."""

from collections.abc import Sequence
from itertools import pairwise

import dagster as dg
from hypothesis import given
from hypothesis import strategies as st

from ghl_snapshots.orchestration.partitions import TenantRange, add_partitions, covered, ranges, tenants

PARTITIONS = ["acme", "berg", "cole", "dune", "east"]


def places(partitions: Sequence[str]) -> dict[str, int]:
    return {tenant_id: place for place, tenant_id in enumerate(partitions)}


def test_tenants_that_follow_one_another_make_one_range() -> None:
    assert list(ranges(PARTITIONS, {"berg", "cole", "dune"}, at_most=50)) == [
        TenantRange(first="berg", last="dune")
    ]


def test_a_tenant_in_between_that_is_not_wanted_splits_the_range() -> None:
    assert list(ranges(PARTITIONS, {"acme", "berg", "dune"}, at_most=50)) == [
        TenantRange(first="acme", last="berg"),
        TenantRange(first="dune", last="dune"),
    ]


@given(wanted=st.sets(st.integers(0, 40)), count=st.integers(0, 40), at_most=st.integers(1, 10))
def test_ranges_cover_the_wanted_partitions_and_no_other(wanted: set[int], count: int, at_most: int) -> None:
    partitions = [f"t{number}" for number in range(count)]
    found = list(ranges(partitions, {f"t{number}" for number in wanted}, at_most=at_most))
    parts = [covered(partitions, places(partitions), tenant_range.tags()) for tenant_range in found]
    assert [tenant for part in parts for tenant in part] == [f"t{n}" for n in sorted(wanted) if n < count]
    assert all(len(part) <= at_most for part in parts)
    for before, after in pairwise(parts):
        gap = partitions.index(after[0]) - partitions.index(before[-1])
        assert gap > 1 or len(before) == at_most, "two ranges that touch could have been one"


def test_a_run_of_one_partition_covers_that_partition() -> None:
    assert covered(PARTITIONS, places(PARTITIONS), {"dagster/partition": "cole"}) == ["cole"]


def test_a_run_without_partitions_covers_none() -> None:
    assert covered(PARTITIONS, places(PARTITIONS), {"dagster/backfill": "abc"}) == []


def test_a_range_whose_end_is_gone_covers_nothing_that_is_known() -> None:
    assert covered(PARTITIONS, places(PARTITIONS), TenantRange(first="acme", last="gone").tags()) == []


def test_adding_partitions_again_keeps_their_order() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        add_partitions(instance, ["berg", "acme"])
        assert add_partitions(instance, ["cole", "acme"]) == ["acme", "berg", "cole"]
        assert instance.get_dynamic_partitions(tenants.name or "") == ["acme", "berg", "cole"]
