"""A run that is executed again: whose run it is, what it captures, and what it says of itself."""

from collections.abc import Collection

import dagster as dg
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.audit_events import AuditEvent
from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.definitions import all_definitions
from ghl_snapshots.ledger.audit import AuditTrail
from ghl_snapshots.orchestration import dagster_tags
from ghl_snapshots.orchestration.partitions import NAME, TenantRange, add_partitions
from ghl_snapshots.orchestration.run_audit import run_audit
from ghl_snapshots_tests.orchestration.product import Product
from ghl_snapshots_tests.orchestration.sensing import evaluated

pytestmark = pytest.mark.slow

TICK = "scheduled_hourly_1703123456789"
SCHEDULED = {
    dagster_tags.CORRELATION_ID: TICK,
    dagster_tags.SOURCE: "scheduled",
    dagster_tags.QUEUE_PRIORITY: "-10",
    dagster_tags.SCHEDULE: "hourly_critical",
}
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def critical_snapshot() -> dg.JobDefinition:
    """The hourly job."""
    return all_definitions().resolve_job_def("critical_snapshot")


def executed(product: Product, first: str = "t00", last: str = "t04") -> dg.DagsterRun:
    """A run of the hourly job over a range of tenants."""
    tags = {**SCHEDULED, **TenantRange(first=first, last=last).tags()}
    with product.instance() as instance:
        result = critical_snapshot().execute_in_process(
            instance=instance, tags=tags, raise_on_error=False, run_config=QUIET
        )
        return result.dagster_run


def again(product: Product, run: dg.DagsterRun, **tags: str) -> dg.DagsterRun:
    """The run executed again, with its tags and more, as Dagster's webserver and daemon do it."""
    with product.instance() as instance:
        options = dg.ReexecutionOptions(parent_run_id=run.run_id)
        if dagster_tags.FROM_FAILURE in tags:
            options = dg.ReexecutionOptions.from_failure(run.run_id, instance)
        with dg.execute_job(
            dg.reconstructable(critical_snapshot),
            instance,
            tags={**run.tags, **tags},
            run_config=QUIET,
            reexecution_options=options,
        ) as result:
            found = instance.get_run_by_id(result.run_id)
    assert found is not None
    return found


def without_partition(product: Product, tenant_id: str) -> None:
    """Disable a tenant, and do what the sensor tenant_partitions does then."""
    with product.registry() as registry:
        registry.set_enabled(tenant_id, enabled=False)
    with product.instance() as instance:
        instance.delete_dynamic_partition(NAME, tenant_id)


def captured(product: Product, correlation_id: str) -> Collection[tuple[object, object]]:
    rows = product.rows(
        "SELECT tenant_id, snapshot_type FROM ghl_snapshot WHERE correlation_id = %s", correlation_id
    )
    return sorted((row["tenant_id"], row["snapshot_type"]) for row in rows)


def full_runs(product: Product, correlation_id: str) -> dict[str, AuditEvent]:
    evaluated(product, run_audit)
    with open_database(product.settings) as database:
        found = AuditTrail(database).events(correlation_id=correlation_id, event_type="ghl_snapshot_full_run")
    return {str(event.tenant_id): event for event in found}


@pytest.fixture(autouse=True)
def partitions(product: Product) -> None:
    with product.instance() as instance:
        add_partitions(instance, product.tenant_ids)


@pytest.mark.parametrize("disabled", ["t00", "t04"])
def test_a_run_whose_range_ends_with_a_disabled_tenant_is_executed_again_for_the_others(
    product: Product, disabled: str
) -> None:
    """Dagster refuses a range whose first or last partition is gone."""
    run = executed(product)
    without_partition(product, disabled)
    retried = again(product, run)
    assert retried.status is dg.DagsterRunStatus.SUCCESS
    assert {tenant for tenant, _ in captured(product, f"manual_{retried.run_id}")} == {
        tenant for tenant in product.tenant_ids if tenant != disabled
    }


def test_a_tenant_that_was_enabled_again_brings_no_other_into_the_run(product: Product) -> None:
    """Its partition is the last one by now, so the old range would reach over all that are between."""
    run = executed(product, "t00", "t02")
    without_partition(product, "t02")
    with product.registry() as registry:
        registry.set_enabled("t02", enabled=True)
    with product.instance() as instance:
        add_partitions(instance, ["t02"])
    retried = again(product, run)
    assert {tenant for tenant, _ in captured(product, f"manual_{retried.run_id}")} == {"t00", "t01"}


def test_the_tags_the_snapshots_and_the_audit_of_a_run_executed_by_hand_agree(product: Product) -> None:
    """It is a request of today, not the schedule's that once started it, with its place in the queue."""
    run = executed(product, "t00", "t01")
    retried = again(product, run)
    trigger = f"manual_{retried.run_id}"
    assert retried.tags[dagster_tags.CORRELATION_ID] == trigger
    assert retried.tags[dagster_tags.SOURCE] == "manual"
    assert retried.tags[dagster_tags.QUEUE_PRIORITY] == "0"
    assert dagster_tags.SCHEDULE not in retried.tags
    assert len(captured(product, trigger)) == 4
    events = full_runs(product, trigger)
    assert {tenant: (event.success, event.source) for tenant, event in events.items()} == {
        "t00": (True, "manual"),
        "t01": (True, "manual"),
    }


def test_what_a_person_chose_for_the_run_stays(product: Product) -> None:
    run = executed(product, "t00", "t01")
    chosen = {dagster_tags.QUEUE_PRIORITY: "7", dagster_tags.REASON: "after the fix"}
    retried = again(product, run, **chosen, **TenantRange(first="t01", last="t01").tags())
    assert {name: retried.tags[name] for name in chosen} == chosen
    assert {tenant for tenant, _ in captured(product, f"manual_{retried.run_id}")} == {"t01"}


def test_from_failure_captures_what_failed(product: Product) -> None:
    """And says so in the audit trail; what fails once more is what is left then."""
    granted = [product.location(tenant).scopes for tenant in ("t01", "t03")]
    for scopes in granted:
        scopes.discard("workflows.readonly")
    run = executed(product)
    assert run.status is dg.DagsterRunStatus.FAILURE
    granted[0].add("workflows.readonly")
    second = again(product, run, **{dagster_tags.FROM_FAILURE: "true"})
    assert captured(product, f"manual_{second.run_id}") == [("t01", "workflows"), ("t03", "workflows")]
    events = full_runs(product, f"manual_{second.run_id}")
    assert {tenant: event.success for tenant, event in events.items()} == {"t01": True, "t03": False}
    assert events["t01"].details["plannedSnapshotTypes"] == ["workflows"]
    granted[1].add("workflows.readonly")
    third = again(product, second, **{dagster_tags.FROM_FAILURE: "true"})
    assert third.status is dg.DagsterRunStatus.SUCCESS
    assert captured(product, f"manual_{third.run_id}") == [("t03", "workflows")]


def test_the_daemons_retry_goes_on_with_the_trigger(product: Product) -> None:
    """Also where a tenant was disabled between the crash and the retry."""
    run = executed(product)
    without_partition(product, "t04")
    retried = again(product, run, **{dagster_tags.RETRY_NUMBER: "1"})
    assert retried.status is dg.DagsterRunStatus.SUCCESS
    assert retried.tags[dagster_tags.CORRELATION_ID] == TICK
    assert retried.tags[dagster_tags.SCHEDULE] == "hourly_critical"
    assert captured(product, f"manual_{retried.run_id}") == []


def test_the_daemons_retry_covers_what_its_creation_did_not_come_to(product: Product) -> None:
    """The daemon was killed while it created the first run, whose process died later."""
    run = executed(product)
    name = conninfo_to_dict(product.superuser_url)["dbname"]
    planned = "dagster_event_type = 'ASSET_MATERIALIZATION_PLANNED' AND partition IN ('t00', 't02')"
    with psycopg.connect(product.superuser_url, dbname=f"{name}_dagster") as connection:
        connection.execute(f"DELETE FROM event_logs WHERE {planned}")
    retried = again(product, run, **{dagster_tags.RETRY_NUMBER: "1"})
    assert (retried.tags[dagster_tags.RANGE_START], retried.tags[dagster_tags.RANGE_END]) == ("t00", "t04")


def test_a_run_whose_tenants_are_all_disabled_is_refused_before_it_is_created(product: Product) -> None:
    run = executed(product, "t00", "t00")
    without_partition(product, "t00")
    with pytest.raises(ConfigurationError, match="No tenant of this run is captured any more"):
        again(product, run)
    with product.instance() as instance:
        assert instance.get_runs_count() == 1
