"""The schedules: a tick asks for one run per batch of tenants, and all its runs carry one correlation id.

Evaluating a tick again, after a daemon was restarted say, asks for the same runs by the same run keys, which
Dagster starts once; and were a batch cut otherwise meanwhile, the correlation id keeps a tenant from being
captured twice for one tick.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from ghl_snapshots.model import Source
from ghl_snapshots.orchestration.partitions import ranges, tenants
from ghl_snapshots.orchestration.resources import DatabaseResource
from ghl_snapshots.orchestration.trigger import Priority, Trigger, trigger_tags


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadence:
    """How often what is captured; `name` is a part of every correlation id that comes of it."""

    name: str
    schedule_name: str
    job_name: str
    cron: str
    period: timedelta
    """After this time a tick that was missed is not made up for: the next one captures the same."""
    description: str


TIMEZONE = "UTC"
HOURLY = Cadence(
    name="hourly",
    schedule_name="hourly_critical",
    job_name="critical_snapshot",
    cron="0 * * * *",
    period=timedelta(hours=1),
    description="Captures pipelines and workflows of every enabled tenant.",
)
DAILY = Cadence(
    name="daily",
    schedule_name="daily_full",
    job_name="full_snapshot",
    cron="0 2 * * *",
    period=timedelta(days=1),
    description="Captures everything of every enabled tenant.",
)
WEEKLY = Cadence(
    name="weekly",
    schedule_name="weekly_validation",
    job_name="full_snapshot",
    cron="0 3 * * 0",
    period=timedelta(days=7),
    description="Captures everything of every enabled tenant; when that is over, all checks are run.",
)


def scheduled(name: str, moment: datetime) -> Trigger:
    """The trigger of what was due at that moment, such as scheduled_daily_1703123456789."""
    milliseconds = round(moment.timestamp() * 1000)
    return Trigger(source=Source.SCHEDULED, correlation_id=f"{Source.SCHEDULED}_{name}_{milliseconds}")


def snapshot_schedule(cadence: Cadence, *, timezone: str, tenants_per_run: int) -> dg.ScheduleDefinition:
    """The schedule of a cadence; it runs without anybody having to start it."""

    @dg.schedule(
        name=cadence.schedule_name,
        job_name=cadence.job_name,
        cron_schedule=cadence.cron,
        execution_timezone=timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"{cadence.description} One run for every {tenants_per_run} tenants.",
    )
    def ask_for_runs(
        context: dg.ScheduleEvaluationContext, database: DatabaseResource
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        tick = context.scheduled_execution_time
        partitions = context.instance.get_dynamic_partitions(tenants.name or "")
        enabled = {tenant.tenant_id for tenant in database.tenants.list() if tenant.enabled}
        if datetime.now(UTC) - tick >= cadence.period:
            yield dg.SkipReason(f"Missed at {tick}; a later tick captures the same and more recently.")
        elif enabled.isdisjoint(partitions):
            yield dg.SkipReason("No enabled tenant has a partition yet; tenant_partitions adds them.")
        else:
            trigger = scheduled(cadence.name, tick)
            yield from run_requests(
                trigger,
                partitions,
                enabled,
                at_most=tenants_per_run,
                key=trigger.correlation_id,
                priority=Priority.LOW,
            )

    return ask_for_runs


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
