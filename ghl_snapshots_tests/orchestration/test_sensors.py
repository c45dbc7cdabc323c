"""Partitions follow the registry, and a new tenant is captured without anybody asking."""

from collections.abc import Sequence

import dagster as dg
import psycopg

from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.definitions import all_definitions, definitions
from ghl_snapshots.orchestration.launch import capture_now
from ghl_snapshots.orchestration.partitions import TenantRange, add_partitions, tenants
from ghl_snapshots.orchestration.sensors import PartitionChanges, partition_changes, tenant_sensor
from ghl_snapshots_tests.orchestration.product import Product


def evaluated(product: Product) -> tuple[Sequence[dg.RunRequest], str]:
    """The runs that the sensor asks for, or else what it says; does the daemon's part with the partitions."""
    resources = definitions().resources or {}
    with (
        product.instance() as instance,
        dg.build_sensor_context(instance=instance, resources={"database": resources["database"]}) as context,
    ):
        data = tenant_sensor(50).evaluate_tick(context)
        for request in data.dynamic_partitions_requests or []:
            if isinstance(request, dg.AddDynamicPartitionsRequest):
                instance.add_dynamic_partitions(tenants.name or "", request.partition_keys)
            else:
                for key in request.partition_keys:
                    instance.delete_dynamic_partition(tenants.name or "", key)
        return data.run_requests or [], data.skip_message or ""


def partitions(product: Product) -> list[str]:
    with product.instance() as instance:
        return list(instance.get_dynamic_partitions(tenants.name or ""))


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


def test_every_enabled_tenant_gets_a_partition_and_its_first_capture_in_one_run(product: Product) -> None:
    with product.registry() as registry:
        registry.set_enabled("t03", enabled=False)
    [request], _ = evaluated(product)
    assert partitions(product) == ["t00", "t01", "t02", "t04"]
    assert request.tags.items() >= TenantRange(first="t00", last="t04").tags().items()
    assert request.tags["dagster/ghl_snapshots_correlation_id"].startswith("scheduled_first_")


def test_a_tenant_that_was_ever_captured_is_not_asked_for_again(product: Product) -> None:
    capture_now(all_definitions(), ["t00", "t01"], [SnapshotType.PIPELINES], reason="test")
    [request], _ = evaluated(product)
    assert request.tags.items() >= TenantRange(first="t02", last="t04").tags().items()
    capture_now(all_definitions(), ["t02", "t03", "t04"], [SnapshotType.PIPELINES], reason="test")
    requests, said = evaluated(product)
    assert not requests
    assert said == "The partitions equal the enabled tenants."


def test_asking_again_before_the_run_began_repeats_the_run_key(product: Product) -> None:
    """Dagster starts a run key once; so a daemon that died in between asks for nothing twice."""
    first, second = ([request.run_key for request in evaluated(product)[0]] for _ in range(2))
    assert first == second


def test_a_disabled_tenants_partition_goes_and_its_snapshots_stay(product: Product) -> None:
    capture_now(all_definitions(), ["t00"], [SnapshotType.PIPELINES], reason="test")
    with product.registry() as registry:
        registry.set_enabled("t00", enabled=False)
    evaluated(product)
    assert partitions(product) == ["t01", "t02", "t03", "t04"]
    assert product.rows("SELECT count(*) AS stored FROM ghl_snapshot") == [{"stored": 1}]


def test_a_run_in_flight_holds_a_disabled_tenants_partition(product: Product) -> None:
    with product.instance() as instance:
        add_partitions(instance, product.tenant_ids)
        job = definitions().resolve_job_def("full_snapshot")
        run = instance.create_run_for_job(job, tags=TenantRange(first="t00", last="t01").tags())
    with product.registry() as registry:
        registry.set_enabled("t01", enabled=False)
        registry.set_enabled("t02", enabled=False)
    evaluated(product)
    assert partitions(product) == ["t00", "t01", "t03", "t04"]
    with product.instance() as instance:
        instance.report_run_canceled(run)
    evaluated(product)
    assert partitions(product) == ["t00", "t03", "t04"]


def test_a_registry_out_of_reach_changes_nothing_and_says_so(product: Product) -> None:
    evaluated(product)
    with psycopg.connect(product.superuser_url) as connection:
        connection.execute("ALTER TABLE ghl.tenant RENAME TO elsewhere")
    assert "could not be read" in evaluated(product)[1]
    assert partitions(product) == product.tenant_ids
