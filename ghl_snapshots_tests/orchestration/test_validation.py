"""The checks follow a scheduled capture once it is over."""

from datetime import timedelta

import dagster as dg
import pytest

from ghl_snapshots.definitions import definitions
from ghl_snapshots.orchestration.schedules import DAILY, WEEKLY, ScheduleSpec
from ghl_snapshots.orchestration.validation import all_runs_finished, validation_sensor, validation_sensors
from ghl_snapshots_tests.orchestration.product import Product

TRIGGER = "scheduled_weekly_1703123456789"


@pytest.fixture
def batches(product: Product) -> list[dg.DagsterRun]:
    """Two runs of one weekly tick, both waiting in the queue."""
    tags = {"dagster/schedule_name": "weekly_validation", "dagster/ghl_snapshots_correlation_id": TRIGGER}
    job = definitions().resolve_job_def("full_snapshot")
    with product.instance() as instance:
        return [instance.create_run_for_job(job, tags=tags) for _ in range(2)]


def asked(
    product: Product, spec: ScheduleSpec = WEEKLY, job_name: str = "weekly_checks"
) -> tuple[str | None, str]:
    """The run key that the sensor asks for, and else why it does not."""
    with product.instance() as instance, dg.build_sensor_context(instance=instance) as context:
        data = validation_sensor(spec, job_name).evaluate_tick(context)
    keys = [request.run_key for request in data.run_requests or []]
    return keys[0] if keys else None, data.skip_message or ""


def test_nothing_is_judged_before_the_first_tick(product: Product) -> None:
    assert asked(product) == (None, "weekly_validation has not asked for a run yet.")


def test_captures_are_judged_when_all_their_runs_are_over(
    product: Product, batches: list[dg.DagsterRun]
) -> None:
    with product.instance() as instance:
        instance.report_run_canceled(batches[0])
    assert asked(product) == (None, f"Captures of {TRIGGER} are still under way.")
    with product.instance() as instance:
        instance.report_run_canceled(batches[1])
    assert asked(product) == (f"weekly_checks {TRIGGER}", "")


def test_a_run_that_will_be_retried_is_waited_for(product: Product, batches: list[dg.DagsterRun]) -> None:
    with product.instance() as instance:
        instance.report_run_failed(batches[0])
        instance.report_run_canceled(batches[1])
        instance.add_run_tags(batches[0].run_id, {"dagster/will_retry": "true"})
    assert asked(product)[0] is None
    with product.instance() as instance:
        instance.add_run_tags(batches[0].run_id, {"dagster/auto_retry_run_id": batches[1].run_id})
    assert asked(product)[0] == f"weekly_checks {TRIGGER}"


def test_a_retry_that_never_comes_is_not_waited_for_for_ever(
    product: Product, batches: list[dg.DagsterRun]
) -> None:
    """Dagster announces a retry and starts none where a process died between its last step and its end."""
    with product.instance() as instance:
        for run in batches:
            instance.report_run_failed(run)
            instance.add_run_tags(run.run_id, {"dagster/will_retry": "true"})
        records = instance.get_run_records()
    now = max(record.update_timestamp for record in records)
    assert not all_runs_finished(records, now + timedelta(minutes=10))
    assert all_runs_finished(records, now + timedelta(minutes=11))


@pytest.mark.parametrize("ending", ["success", "failure", "canceled"])
def test_it_does_not_matter_how_the_captures_ended(
    product: Product, batches: list[dg.DagsterRun], ending: str
) -> None:
    with product.instance() as instance:
        instance.report_run_canceled(batches[0])
        assert asked(product)[0] is None
        if ending == "success":
            success = dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, batches[1].job_name)
            instance.report_dagster_event(success, batches[1].run_id)
        elif ending == "failure":
            instance.report_run_failed(batches[1])
            instance.add_run_tags(batches[1].run_id, {"dagster/will_retry": "false"})
        else:
            instance.report_run_canceled(batches[1])
    assert asked(product)[0] == f"weekly_checks {TRIGGER}"


def test_a_daily_capture_is_followed_by_the_cheap_checks(product: Product) -> None:
    tick = "scheduled_daily_1703123456789"
    tags = {"dagster/schedule_name": "daily_full", "dagster/ghl_snapshots_correlation_id": tick}
    with product.instance() as instance:
        run = instance.create_run_for_job(definitions().resolve_job_def("full_snapshot"), tags=tags)
        instance.report_run_canceled(run)
    assert asked(product, DAILY, "daily_checks") == (f"daily_checks {tick}", "")
    sensors = {sensor.name: sensor for sensor in validation_sensors()}
    assert {"daily_checks_due", "weekly_checks_due"} == set(sensors)
