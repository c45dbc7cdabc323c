"""The job that deletes old runs from Dagster's own records, which open-source Dagster keeps for ever.

A captured tenant and type leaves some four kilobytes of events. The ledger has all that they say, and nothing
of the ledger is ever deleted; so a run goes when it is old, unless it holds what Dagster still shows: the
newest materialization of a partition, or the last verdict of a check.
"""

import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

import dagster as dg

from ghl_snapshots.core.settings import Settings, load_settings
from ghl_snapshots.orchestration import dagster_tags
from ghl_snapshots.orchestration.checks import CHECKS, ledger_key
from ghl_snapshots.orchestration.finished_runs import FINISHED, is_ours
from ghl_snapshots.orchestration.resources import DatabaseResource

RUN_HISTORY = "run_history"
_BATCH = 100
_PAGE = 1000
# Half of the time that dagster.yaml gives a run; what is left then is deleted the next day.
_SECONDS = 1800
_MATERIALIZED = dg.DagsterEventType.ASSET_MATERIALIZATION


def delete_runs(instance: dg.DagsterInstance, *, before: datetime, seconds: float = _SECONDS) -> int:
    """Delete the product's finished runs that were created before that moment; how many.

    Those that hold something newest stay. Stops after that time; the oldest runs go first.
    """
    deadline, deleted = time.monotonic() + seconds, 0
    verdicts = frozenset(_runs_of_last_verdicts(instance))
    old = dg.RunsFilter(statuses=FINISHED, created_before=before)
    last_kept: str | None = None
    while records := instance.get_run_records(old, limit=_BATCH, cursor=last_kept, ascending=True):
        for record in records:
            run = record.dagster_run
            if time.monotonic() > deadline:
                return deleted
            if is_ours(run) and run.run_id not in verdicts and not _holds_newest(instance, run.run_id):
                instance.delete_run(run.run_id)
                deleted += 1
            else:
                last_kept = run.run_id
    return deleted


def _runs_of_last_verdicts(instance: dg.DagsterInstance) -> Iterator[str]:
    for check in CHECKS:
        for kind in check.types:
            key = dg.AssetCheckKey(ledger_key(kind), check.name)
            if record := instance.get_latest_asset_check_evaluation_record(key):
                yield record.run_id


def _holds_newest(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether one of the run's materializations is the newest of its partition."""
    stored: dict[dg.AssetKey, dict[str, int]] = {}
    for record in _materializations(instance, run_id):
        event = record.event_log_entry.asset_materialization
        if event is not None and event.partition is not None:
            stored.setdefault(event.asset_key, {})[event.partition] = record.storage_id
    return any(_any_newest(instance, key, own) for key, own in stored.items())


def _any_newest(instance: dg.DagsterInstance, key: dg.AssetKey, own: Mapping[str, int]) -> bool:
    newest = instance.get_latest_storage_id_by_partition(key, _MATERIALIZED, set(own))
    return any(newest.get(partition) == storage_id for partition, storage_id in own.items())


def _materializations(instance: dg.DagsterInstance, run_id: str) -> Iterator[dg.EventLogRecord]:
    cursor, more = None, True
    while more:
        page = instance.get_records_for_run(run_id, cursor, of_type=_MATERIALIZED, limit=_PAGE)
        cursor, more = page.cursor, page.has_more
        yield from page.records


@dg.op
def delete_old_runs(context: dg.OpExecutionContext, database: DatabaseResource) -> None:
    """Delete what is older than the settings say, by the clock of the database's server."""
    days = load_settings().run_history_days
    deleted = delete_runs(context.instance, before=database.database.now() - timedelta(days=days))
    context.log.info("%d runs that are older than %d days were deleted.", deleted, days)


@dg.job(
    tags={dagster_tags.JOB: RUN_HISTORY},
    name=RUN_HISTORY,
    executor_def=dg.in_process_executor,
    description="Deletes runs older than GHL_SNAPSHOTS_RUN_HISTORY_DAYS from Dagster's records, but none "
    "that holds a partition's newest materialization or a check's last verdict. The ledger keeps all.",
)
def run_history() -> None:
    """One step."""
    delete_old_runs()


def run_history_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """Once a day, in the night."""
    return dg.ScheduleDefinition(
        name="daily_run_history",
        job=run_history,
        cron_schedule="30 4 * * *",
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Asks for {RUN_HISTORY}.",
    )
