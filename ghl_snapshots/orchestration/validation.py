"""When the checks run: after a scheduled capture, once all of its runs are finished, however they ended."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg

from ghl_snapshots.core.model import Priority, Source
from ghl_snapshots.orchestration import dagster_tags
from ghl_snapshots.orchestration.finished_runs import is_final
from ghl_snapshots.orchestration.schedules import DAILY, WEEKLY, ScheduleSpec
from ghl_snapshots.orchestration.trigger import Trigger, trigger_tags

_CHECKS_AFTER = ((DAILY, "daily_checks"), (WEEKLY, "weekly_checks"))


def all_runs_finished(captures: Sequence[dg.RunRecord], now: datetime) -> bool:
    """Whether a trigger has runs, and all of them are finished for good."""
    return bool(captures) and all(is_final(record, now) for record in captures)


def validation_sensor(spec: ScheduleSpec, job_name: str) -> dg.SensorDefinition:
    """The sensor that asks for the checks of a schedule's captures, once for each tick."""

    @dg.sensor(
        name=f"{job_name}_due",
        job_name=job_name,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Asks for {job_name} when all runs of the latest tick of {spec.schedule_name} are "
        "finished, however they ended.",
    )
    def checks_due(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        latest = context.instance.get_runs(
            dg.RunsFilter(tags={dagster_tags.SCHEDULE: spec.schedule_name}), limit=1
        )
        if not latest:
            return dg.SkipReason(f"{spec.schedule_name} has not asked for a run yet.")
        tick = latest[0].tags[dagster_tags.CORRELATION_ID]
        runs = context.instance.get_run_records(dg.RunsFilter(tags={dagster_tags.CORRELATION_ID: tick}))
        captures = [record for record in runs if record.dagster_run.job_name != job_name]
        if not all_runs_finished(captures, datetime.now(UTC)):
            return dg.SkipReason(f"Captures of {tick} are still under way.")
        # A run key is started once, so a tick is validated once.
        trigger = Trigger(source=Source.SCHEDULED, correlation_id=tick)
        return dg.RunRequest(
            run_key=f"{job_name} {tick}", tags=trigger_tags(trigger, priority=Priority.NORMAL)
        )

    return checks_due


def validation_sensors() -> Iterator[dg.SensorDefinition]:
    """One sensor for each schedule whose captures are followed by checks."""
    for spec, job_name in _CHECKS_AFTER:
        yield validation_sensor(spec, job_name)
