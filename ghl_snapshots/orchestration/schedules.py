"""The schedules: a tick asks for one run per batch of tenants, and all its runs carry one correlation id.

Evaluating a tick again, after a daemon was restarted say, asks for the same runs by the same run keys, which
Dagster starts once; and where the tenants fall into other batches by then, the correlation id keeps a tenant
from being captured twice for one tick.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from ghl_snapshots.core.cron import Cron
from ghl_snapshots.core.model import Priority, SnapshotType, Source
from ghl_snapshots.core.settings import Settings
from ghl_snapshots.orchestration.partitions import NAME, ranges
from ghl_snapshots.orchestration.resources import DatabaseResource
from ghl_snapshots.orchestration.trigger import Trigger, trigger_tags


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSpec:
    """What a schedule captures, and when; `name` is a part of the correlation id of each tick."""

    name: str
    schedule_name: str
    job_name: str
    snapshot_types: frozenset[SnapshotType]
    description: str

    def cron(self, settings: Settings) -> Cron:
        """When it is due."""
        expressions = {
            HOURLY.name: settings.hourly_cron,
            DAILY.name: settings.daily_cron,
            WEEKLY.name: settings.weekly_cron,
        }
        return Cron(expression=expressions[self.name], timezone=settings.timezone)


HOURLY = ScheduleSpec(
    name="hourly",
    schedule_name="hourly_critical",
    job_name="critical_snapshot",
    snapshot_types=frozenset({SnapshotType.PIPELINES, SnapshotType.WORKFLOWS}),
    description="Captures pipelines and workflows of every enabled tenant.",
)
DAILY = ScheduleSpec(
    name="daily",
    schedule_name="daily_full",
    job_name="full_snapshot",
    snapshot_types=frozenset(SnapshotType),
    description="Captures everything of every enabled tenant.",
)
WEEKLY = ScheduleSpec(
    name="weekly",
    schedule_name="weekly_validation",
    job_name="full_snapshot",
    snapshot_types=frozenset(SnapshotType),
    description="Captures everything of every enabled tenant; when that is over, all checks are run.",
)


def crons(settings: Settings) -> Mapping[SnapshotType, Cron]:
    """When each snapshot type is captured, by the schedule that does so most often."""
    return {
        kind: (HOURLY if kind in HOURLY.snapshot_types else DAILY).cron(settings) for kind in SnapshotType
    }


def scheduled_trigger(name: str, moment: datetime) -> Trigger:
    """The trigger of what was due at that moment, such as scheduled_daily_1703123456789."""
    milliseconds = round(moment.timestamp() * 1000)
    return Trigger(source=Source.SCHEDULED, correlation_id=f"{Source.SCHEDULED}_{name}_{milliseconds}")


def snapshot_schedule(spec: ScheduleSpec, settings: Settings) -> dg.ScheduleDefinition:
    """The schedule; it runs without anybody having to start it."""
    cron = spec.cron(settings)

    @dg.schedule(
        name=spec.schedule_name,
        job_name=spec.job_name,
        cron_schedule=cron.expression,
        execution_timezone=cron.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"{spec.description} One run for every {settings.tenants_per_run} tenants.",
    )
    def request_runs(
        context: dg.ScheduleEvaluationContext, database: DatabaseResource
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        tick = context.scheduled_execution_time
        partitions = context.instance.get_dynamic_partitions(NAME)
        enabled = database.tenants.enabled()
        if next(cron.ticks(tick)) <= datetime.now(UTC):
            yield dg.SkipReason(f"Missed at {tick}; a later tick captures the same and more recently.")
        elif enabled.isdisjoint(partitions):
            yield dg.SkipReason("No enabled tenant has a partition yet; tenant_partitions adds them.")
        else:
            trigger = scheduled_trigger(spec.name, tick)
            yield from run_requests(
                trigger,
                partitions,
                enabled,
                at_most=settings.tenants_per_run,
                key=trigger.correlation_id,
                priority=Priority.LOW,
            )

    return request_runs


def run_requests(
    trigger: Trigger,
    partitions: Sequence[str],
    wanted: Collection[str],
    *,
    at_most: int,
    key: str,
    priority: Priority,
) -> Iterator[dg.RunRequest]:
    """One run for each batch of wanted tenants that follow one another; a run key is started once."""
    tags = trigger_tags(trigger, priority=priority)
    for batch in ranges(partitions, wanted, at_most=at_most):
        yield dg.RunRequest(run_key=f"{key} {batch.first}...{batch.last}", tags={**tags, **batch.tags()})
