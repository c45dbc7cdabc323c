"""Runs that are over for good, each found once; again if the daemon died before it kept the cursor."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from ghl_snapshots.core.model import SnapshotType

ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]

_JOBS = {"full_snapshot", "critical_snapshot", "daily_checks", "weekly_checks", "token_refresh"}
# Dagster has no public names for its own tags.
_WILL_RETRY_TAG = "dagster/will_retry"
_RETRIED_BY_TAG = "dagster/auto_retry_run_id"
_FIRST_LOOK_BACK = timedelta(days=1)
# Runs are noted as ended by many processes, each by its own clock and in transactions of different length.
_OVERLAP = timedelta(minutes=2)
# Dagster tells a moment after a failure whether another run takes the failed one's place. It may die in
# between, or announce one and find that nothing is left to do, as where a process died after its last step.
_PATIENCE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Runs that are over for good, oldest first, and the cursor to go on with."""

    records: Sequence[dg.RunRecord]
    cursor: str


def is_over(record: dg.RunRecord, now: datetime) -> bool:
    """Whether nothing more is to come of the run by itself; another one may have taken its place by now."""
    run = record.dagster_run
    if run.status is not dg.DagsterRunStatus.FAILURE:
        return run.is_finished
    told = run.tags.get(_WILL_RETRY_TAG) == "false" or _RETRIED_BY_TAG in run.tags
    return told or now - record.update_timestamp > _PATIENCE


def ended_since(
    instance: dg.DagsterInstance, cursor: str | None, *, now: datetime, look_back: timedelta | None = None
) -> Ended:
    """The product's runs that ended since the cursor and that no other run takes up, none from before that.

    A run of which it is not yet known whether another takes its place holds the cursor up. `look_back` limits
    how old a run may be.
    """
    kept = json.loads(cursor) if cursor else json.loads(cursor_at(now - _FIRST_LOOK_BACK))
    since, seen = datetime.fromisoformat(kept["since"]), frozenset(kept["seen"])
    since = max(since, now - look_back) if look_back else since
    found = instance.get_run_records(
        dg.RunsFilter(statuses=ENDED, updated_after=since - _OVERLAP),
        order_by="update_timestamp",
        ascending=True,
    )
    decided = [record for record in found if is_over(record, now)]
    undecided = [record.update_timestamp for record in found if not is_over(record, now)]
    return Ended(
        records=[record for record in decided if record.dagster_run.run_id not in seen and _last(record)],
        cursor=cursor_at(
            min([max(since, now), *undecided]), [record.dagster_run.run_id for record in decided]
        ),
    )


def cursor_at(moment: datetime, seen: Sequence[str] = ()) -> str:
    """The cursor of who knows all runs that ended before that moment, and the ids of some later ones."""
    return json.dumps({"since": moment.astimezone(UTC).isoformat(), "seen": list(seen)})


def _last(record: dg.RunRecord) -> bool:
    """Whether the run is ours and no other has taken its place."""
    return _RETRIED_BY_TAG not in record.dagster_run.tags and ours(record.dagster_run)


def ours(run: dg.DagsterRun) -> bool:
    """Whether the run is one of the product's; an instance may hold those of other code as well."""
    selected = [*(run.asset_selection or ()), *(key.asset_key for key in run.asset_check_selection or ())]
    return run.job_name in _JOBS or any(key.path[-1] in set(SnapshotType) for key in selected)
