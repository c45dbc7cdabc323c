"""Runs that a launcher is asked about, of a job that does nothing."""

from collections.abc import Mapping

import dagster as dg


@dg.job
def nothing() -> None:
    """A job of no step."""


def started(instance: dg.DagsterInstance, tags: Mapping[str, str] | None = None) -> str:
    """The id of a run that works."""
    run = instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED, tags=dict(tags or {}))
    return run.run_id


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus | None:
    """The status of a run, if there is one."""
    run = instance.get_run_by_id(run_id)
    return run.status if run else None
