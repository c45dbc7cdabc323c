"""Partitions follow the registry."""

from ghl_snapshots.orchestration.sensors import PartitionChanges, partition_changes


def test_a_new_tenant_gets_a_partition() -> None:
    assert partition_changes({"acme", "berg"}, ["acme"], set()) == PartitionChanges(
        add=["berg"], delete=[], waiting=[]
    )


def test_a_disabled_tenant_loses_its_partition() -> None:
    assert partition_changes({"acme"}, ["acme", "berg"], set()).delete == ["berg"]


def test_a_disabled_tenant_keeps_its_partition_while_a_run_covers_it() -> None:
    changes = partition_changes({"acme"}, ["acme", "berg"], {"acme", "berg"})
    assert (changes.delete, changes.waiting) == ([], ["berg"])


def test_a_registry_that_cannot_be_read_changes_nothing() -> None:
    """A comparison with nothing would delete every tenant."""
    assert partition_changes(None, ["acme"], set()) == PartitionChanges(add=[], delete=[], waiting=[])


def test_an_empty_registry_that_could_be_read_means_no_partitions() -> None:
    assert partition_changes(set(), ["acme"], set()).delete == ["acme"]
