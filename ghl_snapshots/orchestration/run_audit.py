"""Writes into the audit trail how each run went for each of its tenants, once it is finished for good.

A run cannot do so itself, since one that is killed writes nothing.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress

import dagster as dg

from ghl_snapshots.core.errors import RequestNotFoundError
from ghl_snapshots.core.model import SnapshotType, Source, Status
from ghl_snapshots.ledger.full_runs import FinishedRun, record_full_run
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.snapshot_requests import SnapshotRequests
from ghl_snapshots.orchestration.failures import failures_of_run
from ghl_snapshots.orchestration.finished_runs import finished_since
from ghl_snapshots.orchestration.reexecution import planned
from ghl_snapshots.orchestration.resources import DatabaseResource
from ghl_snapshots.orchestration.trigger import first_attempt, resumed_triggers, trigger_of

_MAX_ERROR_LENGTH = 2000


@dg.sensor(
    name="run_audit",
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Appends one audit event for each tenant of a finished run, however it ended.",
)
def run_audit(context: dg.SensorEvaluationContext, database: DatabaseResource) -> dg.SkipReason:
    """Record every run that finished since the last time; a run that comes again is not recorded again."""
    finished = finished_since(context.instance, context.cursor, now=database.database.now())
    appended = 0
    for record in finished.records:
        run = full_run(context.instance, database.ledger, record)
        if run.planned:
            appended += record_full_run(database.database, run)
            _end_request(context.instance, database, run)
    context.update_cursor(finished.cursor)
    return dg.SkipReason(f"{appended} events of {len(finished.records)} finished runs.")


def full_run(instance: dg.DagsterInstance, ledger: Ledger, record: dg.RunRecord) -> FinishedRun:
    """A finished run, from the start of the first of those that it continues."""
    run = record.dagster_run
    first = first_attempt(run, instance.get_run_by_id)
    begins = instance.get_run_records(dg.RunsFilter(run_ids=[first.run_id]))
    ends_at = record.end_time or record.update_timestamp.timestamp()
    began_at = min((began.start_time or ends_at for began in begins), default=ends_at)
    trigger = trigger_of(run, instance.get_run_by_id)
    return FinishedRun(
        run_id=run.run_id,
        correlation_id=trigger.correlation_id,
        source=trigger.source,
        status=run.status.value,
        duration_ms=round((ends_at - began_at) * 1000),
        planned=_planned(instance, ledger, first),
    )


def _planned(
    instance: dg.DagsterInstance, ledger: Ledger, first: dg.DagsterRun
) -> Mapping[str, Collection[SnapshotType]]:
    """What the run had to capture: all that was planned, except for what was captured when it began."""
    captures = planned(instance, first.run_id)
    for correlation_id in resumed_triggers(first, instance.get_run_by_id):
        for snapshot in ledger.of_trigger(correlation_id):
            if snapshot.status is Status.SUCCESS:
                captures.get(snapshot.tenant_id, set()).discard(snapshot.snapshot_type)
    return {tenant_id: types for tenant_id, types in captures.items() if types}


def _end_request(instance: dg.DagsterInstance, database: DatabaseResource, run: FinishedRun) -> None:
    if run.source is not Source.API:
        return
    error = "\n".join(failures_of_run(instance, run.run_id))[:_MAX_ERROR_LENGTH] or None
    if run.status == dg.DagsterRunStatus.CANCELED.value:
        error = "The run was canceled."
    # A tag that somebody put on a run by hand may name no request.
    with suppress(RequestNotFoundError):
        SnapshotRequests(database.database).ended(run.correlation_id, error=error)
