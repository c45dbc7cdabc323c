"""Ends runs that no process executes any more.

Dagster itself notices when a run's process dies while the server that started it lives. It does not when all
of the product is killed at once, or when `ghl-snapshots snapshot` is, which executes its run itself: such a
run would be shown as under way forever. But every run holds a lock in the database while its process lives;
a run under way whose lock is free is orphaned. It is looked at twice, because a run is under way for a moment
before it takes its lock and after it has freed it.
"""

import json
from collections.abc import Collection, Sequence

import dagster as dg

from ghl_snapshots.ledger.session_locks import unheld
from ghl_snapshots.orchestration.finished_runs import is_ours
from ghl_snapshots.orchestration.resources import DatabaseResource, run_lock


def orphaned(free: Sequence[str], suspected: Collection[str]) -> Sequence[str]:
    """The runs whose lock is free for the second time in a row."""
    return [run_id for run_id in free if run_id in suspected]


@dg.sensor(
    name="orphaned_runs",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Marks runs whose process is gone as failed, after which the run-retry daemon starts another "
    "one instead of those that Dagster launched.",
)
def orphaned_runs(context: dg.SensorEvaluationContext, database: DatabaseResource) -> dg.SkipReason:
    """Look at the runs under way and fail those that were found without a process twice."""
    under_way = context.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    locks = {run_lock(run.run_id): run.run_id for run in under_way if is_ours(run)}
    free = [locks[name] for name in unheld(database.database, locks)]
    gone = orphaned(free, json.loads(context.cursor or "[]"))
    for run_id in gone:
        run = context.instance.get_run_by_id(run_id)
        if run and run.status is dg.DagsterRunStatus.STARTED:
            context.instance.report_run_failed(run, "The process that executed the run is gone.")
    context.update_cursor(json.dumps(sorted(set(free) - set(gone))))
    return dg.SkipReason(f"Of {len(locks)} runs under way {len(gone)} were orphaned and marked as failed.")
