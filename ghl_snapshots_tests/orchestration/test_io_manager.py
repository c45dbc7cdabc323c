"""The append-only IO manager: one tenant's capture goes in, its latest snapshot comes out."""

import json
from datetime import UTC, datetime

import dagster as dg
import psycopg
import pytest

from ghl_snapshots.core.errors import SnapshotCorruptError, SnapshotNotFoundError, SnapshotRefusedError
from ghl_snapshots.core.model import Capture, Entity, RequestRecord, SnapshotType, Source, Status
from ghl_snapshots.definitions import all_definitions
from ghl_snapshots.orchestration.io_manager import LoadedSnapshot
from ghl_snapshots.orchestration.launch import capture_now
from ghl_snapshots.orchestration.partitions import add_partitions, tenants
from ghl_snapshots_tests.orchestration.product import Product


@dg.asset(partitions_def=tenants, ins={"snapshot": dg.AssetIn("workflows")}, io_manager_key="memory")
def workflow_names(snapshot: LoadedSnapshot) -> list[str]:
    """An asset of somebody who builds on the snapshots."""
    return [workflow["name"] for workflow in snapshot.entities()]


@dg.asset(partitions_def=tenants, ins={"snapshots": dg.AssetIn("workflows")}, io_manager_key="memory")
def workflow_counts(snapshots: dict[str, LoadedSnapshot]) -> dict[str, int]:
    """The same over several tenants in one run."""
    return {tenant: loaded.snapshot.record_count for tenant, loaded in snapshots.items()}


def materialized(product: Product, asset: dg.AssetsDefinition, first: str, last: str) -> object:
    """What the asset gives for a range of tenants."""
    theirs = dg.Definitions(assets=[asset], resources={"memory": dg.mem_io_manager})
    definitions = dg.Definitions.merge(all_definitions(), theirs)
    with product.instance() as instance:
        add_partitions(instance, product.tenant_ids)
        result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            asset_selection=[asset.key],
            tags={"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
            if first != last
            else {"dagster/partition": first},
        )
        return result.output_for_node(asset.op.name)


def capture_of(product: Product, tenant_id: str, body: bytes = b'{"id": "w1"}') -> Capture:
    now = datetime.now(UTC)
    request = RequestRecord(
        endpoint="/workflows/",
        location_id="L1",
        parent_id=None,
        offset=0,
        count=1,
        status=200,
        api_version="2021-07-28",
        trace_id=None,
        requested_at=now,
        duration_ms=1,
        attempts=1,
    )
    return Capture(
        tenant_id=tenant_id,
        ghl_account_id=product.tenants[tenant_id].ghl_account_id,
        snapshot_type=SnapshotType.WORKFLOWS,
        captured_at=now,
        duration_ms=1,
        status=Status.SUCCESS,
        entities=(Entity(body=body, endpoint="/workflows/", entity_id="w1"),),
        requests=(request,),
        errors=(),
        api_calls={("/workflows/", 200): 1},
        api_version="2021-07-28",
        source=Source.MANUAL,
        correlation_id="manual_test",
    )


def asset_that_gives(value: object) -> dg.AssetsDefinition:
    @dg.asset(name="elsewhere", partitions_def=tenants, io_manager_key="snapshots")
    def elsewhere() -> object:
        return value

    return elsewhere


def test_a_downstream_asset_gets_the_tenants_latest_snapshot(product: Product) -> None:
    capture_now(all_definitions(), ["t00", "t01"], [SnapshotType.WORKFLOWS], reason="test")
    expected = [json.loads(body)["name"] for body in product.location("t01").entities["workflows"]]
    assert materialized(product, workflow_names, "t01", "t01") == expected


def test_a_downstream_asset_over_several_tenants_gets_them_by_id(product: Product) -> None:
    capture_now(all_definitions(), ["t00", "t01"], [SnapshotType.WORKFLOWS], reason="test")
    counts = materialized(product, workflow_counts, "t00", "t01")
    assert counts == {t: len(product.location(t).entities["workflows"]) for t in ("t00", "t01")}


def test_a_tenant_without_a_snapshot_is_named(product: Product) -> None:
    with pytest.raises(SnapshotNotFoundError, match="t02 has no snapshot of workflows"):
        materialized(product, workflow_names, "t02", "t02")


def test_an_altered_snapshot_is_not_handed_on(product: Product) -> None:
    capture_now(all_definitions(), ["t00"], [SnapshotType.WORKFLOWS], reason="test")
    with psycopg.connect(product.superuser_url) as connection:
        connection.execute("ALTER TABLE ghl.entity DISABLE TRIGGER append_only")
        connection.execute("ALTER TABLE ghl.entity DROP CONSTRAINT entity_check")
        connection.execute("UPDATE ghl.entity SET body = '{}'")
    with pytest.raises(SnapshotCorruptError, match="t00"):
        materialized(product, workflow_names, "t00", "t00")


def test_a_capture_given_as_an_output_is_appended(product: Product) -> None:
    materialized(product, asset_that_gives(capture_of(product, "t00")), "t00", "t00")
    [row] = product.rows("SELECT tenant_id, correlation_id, record_count FROM ghl_snapshot")
    assert row == {"tenant_id": "t00", "correlation_id": "manual_test", "record_count": 1}


def test_a_capture_of_another_tenant_than_the_partitions_is_refused(product: Product) -> None:
    with pytest.raises(SnapshotRefusedError, match="t01"):
        materialized(product, asset_that_gives(capture_of(product, "t01")), "t00", "t00")
    assert product.rows("SELECT 1 FROM ghl_snapshot") == []


def test_anything_but_a_capture_is_refused(product: Product) -> None:
    with pytest.raises(SnapshotRefusedError, match="a dict"):
        materialized(product, asset_that_gives({"id": "w1"}), "t00", "t00")


def test_a_capture_that_the_ledger_refuses_costs_only_its_own_tenant(product: Product) -> None:
    with psycopg.connect(product.superuser_url) as connection:
        connection.execute("ALTER TABLE ghl.snapshot ADD CONSTRAINT planted CHECK (tenant_id <> 't01')")
    launched = capture_now(all_definitions(), ["t00", "t01", "t02"], [SnapshotType.WORKFLOWS], reason="test")
    assert {snapshot.tenant_id for snapshot in launched.snapshots} == {"t00", "t02"}
    assert "t01 (not stored)" in launched.failures[0]
