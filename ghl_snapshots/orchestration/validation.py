"""When to judge: the checks follow a scheduled capture once all of its runs are over, however they ended."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg

from ghl_snapshots.core.model import Priority, Source
from ghl_snapshots.orchestration.finished_runs import is_over
from ghl_snapshots.orchestration.schedules import DAILY, WEEKLY, Cadence
from ghl_snapshots.orchestration.trigger import CORRELATION_ID_TAG, Trigger, trigger_tags

_SCHEDULE_TAG = "dagster/schedule_name"
_CHECKS_OF = ((DAILY, "daily_checks"), (WEEKLY, "weekly_checks"))


def judged(captures: Sequence[dg.RunRecord], now: datetime) -> bool:
    """Whether a trigger's captures may be judged: there are some, and all of them are over."""
    return bool(captures) and all(is_over(record, now) for record in captures)


def validation_sensor(cadence: Cadence, job_name: str) -> dg.SensorDefinition:
    """The sensor that has the checks of a cadence's captures run, once for each tick."""

    @dg.sensor(
        name=f"{job_name}_due",
        job_name=job_name,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Asks for {job_name} when all runs of the latest tick of {cadence.schedule_name} are "
        "over, however they ended.",
    )
    def checks_due(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        latest = context.instance.get_runs(
            dg.RunsFilter(tags={_SCHEDULE_TAG: cadence.schedule_name}), limit=1
        )
        if not latest:
            return dg.SkipReason(f"{cadence.schedule_name} has not asked for a run yet.")
        tick = latest[0].tags[CORRELATION_ID_TAG]
        runs = context.instance.get_run_records(dg.RunsFilter(tags={CORRELATION_ID_TAG: tick}))
        captures = [record for record in runs if record.dagster_run.job_name != job_name]
        if not judged(captures, datetime.now(UTC)):
            return dg.SkipReason(f"Captures of {tick} are still under way.")
        # A run key is started once, so that a judged tick is not judged again.
        trigger = Trigger(source=Source.SCHEDULED, correlation_id=tick)
        return dg.RunRequest(
            run_key=f"{job_name} {tick}", tags=trigger_tags(trigger, priority=Priority.NORMAL)
        )

    return checks_due


def validation_sensors() -> Iterator[dg.SensorDefinition]:
    """One sensor for each cadence whose captures are followed by checks."""
    for cadence, job_name in _CHECKS_OF:
        yield validation_sensor(cadence, job_name)
