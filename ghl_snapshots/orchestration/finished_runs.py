"""Runs that are finished for good, each given once; again if the daemon died before it stored the cursor."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.orchestration import dagster_tags

FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_FIRST_LOOK_BACK = timedelta(days=1)
# Many processes note runs as finished, each by its own clock and in transactions of different length.
_OVERLAP = timedelta(minutes=2)
# Dagster notes a moment after a failure whether another run takes the failed one's place. It may die in
# between, or announce one and find that nothing is left to do, as where a process died after its last step.
_RETRY_DECISION_TIMEOUT = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRuns:
    """Runs that are finished for good, oldest first, and the cursor to go on with."""

    records: Sequence[dg.RunRecord]
    cursor: str


def is_final(record: dg.RunRecord, now: datetime) -> bool:
    """Whether nothing more comes of the run by itself; another one may have taken its place by now."""
    run = record.dagster_run
    if run.status is not dg.DagsterRunStatus.FAILURE:
        return run.is_finished
    decided = run.tags.get(dagster_tags.WILL_RETRY) == "false" or dagster_tags.RETRIED_BY in run.tags
    return decided or now - record.update_timestamp > _RETRY_DECISION_TIMEOUT


def finished_since(
    instance: dg.DagsterInstance, cursor: str | None, *, now: datetime, look_back: timedelta | None = None
) -> FinishedRuns:
    """The product's runs that finished since the cursor and that no other run continues.

    The cursor does not move past a run of which it is undecided whether another takes its place. `look_back`
    limits how old a run may be. `now` is the database server's, or a daemon whose clock is ahead for a while
    would move past runs that finish afterwards.
    """
    position = json.loads(cursor or cursor_at(now - _FIRST_LOOK_BACK))
    since, seen = min(datetime.fromisoformat(position["since"]), now), frozenset(position["seen"])
    since = max(since, now - look_back) if look_back else since
    records = instance.get_run_records(
        dg.RunsFilter(statuses=FINISHED, updated_after=since - _OVERLAP),
        order_by="update_timestamp",
        ascending=True,
    )
    final = [record for record in records if is_final(record, now)]
    undecided = [record.update_timestamp for record in records if not is_final(record, now)]
    return FinishedRuns(
        records=[record for record in final if record.dagster_run.run_id not in seen and _is_last(record)],
        cursor=cursor_at(min([max(since, now), *undecided]), [record.dagster_run.run_id for record in final]),
    )


def cursor_at(moment: datetime, seen: Sequence[str] = ()) -> str:
    """The cursor after all runs that finished before that moment, and some later ones by their ids."""
    return json.dumps({"since": moment.astimezone(UTC).isoformat(), "seen": list(seen)})


def _is_last(record: dg.RunRecord) -> bool:
    """Whether the run is ours and no other has taken its place."""
    return dagster_tags.RETRIED_BY not in record.dagster_run.tags and is_ours(record.dagster_run)


def is_ours(run: dg.DagsterRun) -> bool:
    """Whether the run is of a job of ours or selects our assets; an instance may hold other code's too."""
    selected = [*(run.asset_selection or ()), *(key.asset_key for key in run.asset_check_selection or ())]
    return dagster_tags.JOB in run.tags or any(key.path[-1] in set(SnapshotType) for key in selected)
