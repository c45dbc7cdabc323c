"""One audit event for each tenant and trigger, however the run ended."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.audit_events import AuditEvent
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.definitions import all_definitions, definitions
from ghl_snapshots.ledger.audit import AuditTrail
from ghl_snapshots.ledger.snapshot_requests import NewRequest, SnapshotRequests
from ghl_snapshots.orchestration import dagster_tags
from ghl_snapshots.orchestration.finished_runs import finished_since
from ghl_snapshots.orchestration.launch import capture_now
from ghl_snapshots.orchestration.partitions import TenantRange, add_partitions, tenants
from ghl_snapshots.orchestration.run_audit import run_audit
from ghl_snapshots_tests.orchestration.product import Product
from ghl_snapshots_tests.orchestration.sensing import evaluated

pytestmark = pytest.mark.slow

TICK = "scheduled_daily_1703123456789"
TAGS = {
    "dagster/ghl_snapshots_correlation_id": TICK,
    "dagster/ghl_snapshots_source": "scheduled",
    **TenantRange(first="t00", last="t01").tags(),
}
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def events(product: Product, correlation_id: str = TICK) -> dict[str, AuditEvent]:
    """The full-run events of a trigger by tenant, after the sensor has looked; each is there once."""
    evaluated(product, run_audit)
    evaluated(product, run_audit)
    with open_database(product.settings) as database:
        found = AuditTrail(database).events(correlation_id=correlation_id, event_type="ghl_snapshot_full_run")
    assert len({event.tenant_id for event in found}) == len(found)
    return {str(event.tenant_id): event for event in found}


def created(product: Product, job: str = "full_snapshot", **tags: str) -> dg.DagsterRun:
    """A run that waits for its process."""
    with product.instance() as instance:
        add_partitions(instance, product.tenant_ids)
        return instance.create_run_for_job(
            definitions().resolve_job_def(job), tags={**TAGS, dagster_tags.JOB: "capture", **tags}
        )


def executed(product: Product, job: str, **tags: str) -> None:
    with product.instance() as instance:
        add_partitions(instance, product.tenant_ids)
        all_definitions().resolve_job_def(job).execute_in_process(
            instance=instance, tags={**TAGS, **tags}, raise_on_error=False, run_config=QUIET
        )


def test_a_run_that_succeeded_is_told_with_its_totals(product: Product) -> None:
    executed(product, "full_snapshot")
    found = events(product)
    assert sorted(found) == ["t00", "t01"]
    [records] = product.rows("SELECT sum(record_count) AS n FROM ghl_snapshot WHERE tenant_id = 't00'")
    [took] = product.rows("SELECT sum(duration_ms) AS ms FROM ghl.snapshot WHERE tenant_id = 't00'")
    event = found["t00"]
    assert event.success
    assert event.source == "scheduled"
    assert event.ghl_account_id == product.tenants["t00"].ghl_account_id
    assert event.details["totalSnapshots"] == event.details["successfulSnapshots"] == len(SnapshotType)
    assert event.details["totalRecords"] == records["n"]
    assert event.details["durationMs"] == took["ms"] < event.details["runDurationMs"]
    assert event.details["runStatus"] == "SUCCESS"


def test_a_tenant_that_failed_has_an_event_of_its_own(product: Product) -> None:
    product.location("t01").scopes.discard("workflows.readonly")
    executed(product, "critical_snapshot")
    found = events(product)
    assert {tenant: event.success for tenant, event in found.items()} == {"t00": True, "t01": False}
    assert found["t01"].details["successfulSnapshots"] == 1
    assert found["t01"].details["totalSnapshots"] == 2
    assert found["t01"].details["plannedSnapshotTypes"] == ["pipelines", "workflows"]


@pytest.mark.parametrize("end", ["FAILURE", "CANCELED"])
def test_a_run_that_died_without_a_cause_is_recorded_too(product: Product, end: str) -> None:
    """Also when its tenants have lost their partitions since."""
    run = created(product, **{"dagster/max_retries": "0"})
    with product.instance() as instance:
        report = instance.report_run_failed if end == "FAILURE" else instance.report_run_canceled
        report(run, "gone")
        for tenant in ("t00", "t01"):
            instance.delete_dynamic_partition(tenants.name or "", tenant)
    found = events(product)
    assert sorted(found) == ["t00", "t01"]
    for event in found.values():
        assert not event.success
        assert event.details["totalSnapshots"] == 0
        assert event.details["runStatus"] == end


def test_a_retried_run_is_recorded_when_its_retry_is_finished(product: Product) -> None:
    run = created(product)
    with product.instance() as instance:
        instance.report_run_failed(run, "killed")
    assert events(product) == {}
    executed(
        product, "critical_snapshot", **{"dagster/parent_run_id": run.run_id, "dagster/retry_number": "1"}
    )
    with product.instance() as instance:
        [retry] = [other for other in instance.get_runs() if other.run_id != run.run_id]
        instance.add_run_tags(run.run_id, {"dagster/auto_retry_run_id": retry.run_id})
    assert sorted(events(product)) == ["t00", "t01"]


def test_a_retry_that_never_comes_is_not_waited_for(product: Product) -> None:
    """A run that should have been taken up, but never was, is over after all."""
    run = created(product)
    with product.instance() as instance:
        instance.report_run_failed(run, "killed")
        soon, late = (datetime.now(UTC) + timedelta(minutes=minutes) for minutes in (5, 15))
        early = finished_since(instance, None, now=soon)
        assert early.records == []
        assert [
            one.dagster_run.run_id for one in finished_since(instance, early.cursor, now=late).records
        ] == [run.run_id]


def test_a_run_is_looked_at_once(product: Product) -> None:
    """Reading what was planned costs as much as the run had tenants."""
    executed(product, "critical_snapshot")
    with product.instance() as instance:
        first = finished_since(instance, None, now=datetime.now(UTC))
        assert len(first.records) == 1
        again = finished_since(instance, first.cursor, now=datetime.now(UTC))
        assert again.records == []
        later = datetime.now(UTC) + timedelta(hours=1)
        assert finished_since(instance, again.cursor, now=later).records == []


def test_a_clock_that_was_ahead_for_a_while_hides_no_run(product: Product) -> None:
    """The cursor of an evaluation by it lies in the future."""
    now = datetime.now(UTC)
    with product.instance() as instance:
        ahead = finished_since(instance, None, now=now + timedelta(days=400))
    executed(product, "critical_snapshot")
    with product.instance() as instance:
        assert len(finished_since(instance, ahead.cursor, now=datetime.now(UTC)).records) == 1


def test_runs_that_capture_nothing_are_not_recorded(product: Product) -> None:
    with product.instance() as instance:
        definitions().resolve_job_def("daily_checks").execute_in_process(instance=instance, run_config=QUIET)
    assert "0 events of 1 finished runs" in str(evaluated(product, run_audit).skip_reason)


def test_each_launch_is_a_trigger_of_its_own(product: Product) -> None:
    for _ in range(2):
        launched = capture_now(all_definitions(), ["t03"], [SnapshotType.WORKFLOWS], reason="test")
        [event] = events(product, launched.correlation_id).values()
        assert (event.tenant_id, event.source) == ("t03", "manual")


def test_a_request_of_the_api_ends_with_its_run(product: Product) -> None:
    product.location("t00").scopes.discard("workflows.readonly")
    new_request = NewRequest(tenant_id="t00", ghl_account_id=product.tenants["t00"].ghl_account_id)
    with open_database(product.settings) as database:
        request = SnapshotRequests(database).accept(new_request, now=datetime.now(UTC), limit=10)
    api = {"dagster/ghl_snapshots_correlation_id": request.request_id, "dagster/ghl_snapshots_source": "api"}
    executed(product, "critical_snapshot", **api)
    assert sorted(events(product, request.request_id)) == ["t00", "t01"]
    with open_database(product.settings) as database:
        ended = SnapshotRequests(database).get(request.request_id)
    assert ended.ended_at is not None
    assert "workflows failed or is incomplete" in (ended.error or "")
