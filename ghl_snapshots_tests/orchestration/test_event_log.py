"""Dagster's event log keeps its connections, and nothing else about it is ours."""

import os

import dagster as dg
import psycopg

from ghl_snapshots.definitions import composed
from ghl_snapshots.model import SnapshotType
from ghl_snapshots.orchestration.launch import capture_now
from ghl_snapshots_tests.end_to_end.stack import eventually
from ghl_snapshots_tests.orchestration.product import Product

OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def of_dagsters_database(query: str) -> int:
    """A number that Dagster's database tells of itself, by a connection that it counts as well."""
    url = os.environ["GHL_SNAPSHOTS_DAGSTER_DATABASE_URL"].replace("+psycopg2", "")
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row
    return int(row[0])


def nobody_is_connected() -> bool:
    """The server takes a moment to notice that a connection was closed."""
    return of_dagsters_database(f"SELECT count(*) {OTHERS}") == 0


def sessions() -> int:
    """How many connections there have been."""
    eventually(nobody_is_connected, "all have gone and are counted")
    return of_dagsters_database("SELECT sessions FROM pg_stat_database WHERE datname = current_database()")


def opened(tenants: list[str]) -> int:
    """How many connections a run over the tenants opens."""
    before = sessions()
    assert capture_now(composed, tenants, [SnapshotType.PIPELINES], reason="test").success
    return sessions() - before


def test_a_run_opens_no_connection_for_an_event(product: Product) -> None:
    """Opening them would take more of client and server than all the rest of a capture."""
    opened(["t00"])
    assert opened(["t00"]) == opened(["t00", "t01", "t02", "t03", "t04"])


def test_a_connection_that_the_server_cut_is_replaced_before_it_is_used(product: Product) -> None:
    with product.instance() as instance:
        asset = dg.AssetKey("workflows")
        for tenant in ("t00", "t01"):
            instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=tenant))
            assert of_dagsters_database(f"SELECT count(pg_terminate_backend(pid)) {OTHERS}") > 0
        assert sorted(instance.get_materialized_partitions(asset)) == ["t00", "t01"]


def test_an_instance_takes_its_connections_along(product: Product) -> None:
    with product.instance() as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("workflows", partition="t00"))
        assert not nobody_is_connected()
    eventually(nobody_is_connected, "the connections are closed")
