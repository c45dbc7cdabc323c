"""Old runs go from Dagster's records, but never what Dagster still shows."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.definitions import all_definitions
from ghl_snapshots.orchestration.launch import capture_now, check_now
from ghl_snapshots.orchestration.run_history import delete_runs, run_history
from ghl_snapshots_tests.orchestration.product import Product

pytestmark = pytest.mark.slow


def captured(*tenant_ids: str) -> str:
    """The run that captures these tenants' workflows."""
    [run_id] = capture_now(all_definitions(), tenant_ids, [SnapshotType.WORKFLOWS], reason="test").run_ids
    return run_id


def run_ids(instance: dg.DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def materialized(instance: dg.DagsterInstance) -> set[str]:
    return instance.get_materialized_partitions(dg.AssetKey("workflows"))


def test_a_run_goes_when_each_of_its_partitions_has_a_newer_materialization(product: Product) -> None:
    first, second = captured("t00", "t01"), captured("t00")
    later = datetime.now(UTC) + timedelta(hours=1)
    with product.instance() as instance:
        assert delete_runs(instance, before=later) == 0
        assert run_ids(instance) == {first, second}
    third = captured("t00", "t01")
    with product.instance() as instance:
        assert delete_runs(instance, before=later) == 2
        assert run_ids(instance) == {third}
        assert materialized(instance) == {"t00", "t01"}
        assert not instance.get_records_for_run(first).records
    assert product.rows("SELECT count(*) AS stored FROM ghl_snapshot") == [{"stored": 5}]


def test_what_is_not_old_stays(product: Product) -> None:
    kept = {captured("t00"), captured("t00")}
    with product.instance() as instance:
        assert delete_runs(instance, before=datetime.now(UTC) - timedelta(hours=1)) == 0
        assert run_ids(instance) == kept


def test_the_last_verdict_of_a_check_stays(product: Product) -> None:
    check_now(all_definitions())
    check_now(all_definitions())
    with product.instance() as instance:
        newest = instance.get_runs(limit=1)[0].run_id
        assert delete_runs(instance, before=datetime.now(UTC) + timedelta(hours=1)) == 1
        assert run_ids(instance) == {newest}


def test_no_more_time_is_taken_than_there_is(product: Product) -> None:
    captured("t00")
    captured("t00")
    with product.instance() as instance:
        assert delete_runs(instance, before=datetime.now(UTC) + timedelta(hours=1), seconds=-1) == 0


def test_the_job_deletes_what_the_settings_call_old(product: Product) -> None:
    captured("t00")
    with product.instance() as instance:
        result = run_history.execute_in_process(instance=instance, resources=all_definitions().resources)
        assert result.success
        assert len(run_ids(instance)) == 2
