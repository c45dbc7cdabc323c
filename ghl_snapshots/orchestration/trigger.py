"""What caused a run: the source and the correlation id that all it stores carries.

A run that the retry daemon starts in place of one whose process died continues the same trigger, so that it
captures only what that trigger still lacks. A run re-executed by hand copies its parent's tags, but asks for
something new: it is a trigger of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

import dagster as dg

from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.model import Priority, Source
from ghl_snapshots.orchestration import dagster_tags

# The queue takes the higher number first.
_QUEUE_PRIORITY = {Priority.LOW: -10, Priority.NORMAL: 0, Priority.HIGH: 10}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One request for captures: where it came from, and the id that all it causes carries."""

    source: Source
    correlation_id: str


def trigger_tags(trigger: Trigger, *, priority: Priority, reason: str | None = None) -> dict[str, str]:
    """The tags by which a run carries its trigger."""
    tags = {
        dagster_tags.CORRELATION_ID: trigger.correlation_id,
        dagster_tags.SOURCE: trigger.source.value,
        dagster_tags.QUEUE_PRIORITY: str(_QUEUE_PRIORITY[priority]),
    }
    return {**tags, dagster_tags.REASON: reason} if reason else tags


def trigger_of(run: dg.DagsterRun, run_of: Callable[[str], dg.DagsterRun | None]) -> Trigger:
    """The trigger that a run belongs to; `run_of` looks a run up by its id.

    Raises:
        ConfigurationError: the run's source tag holds no known source.
    """
    first = first_attempt(run, run_of)
    correlation_id = first.tags.get(dagster_tags.CORRELATION_ID)
    re_executed = first.parent_run_id is not None and dagster_tags.RETRY_NUMBER not in first.tags
    if re_executed or not correlation_id:
        identifier = first.run_id if re_executed else first.tags.get(dagster_tags.BACKFILL, first.run_id)
        return Trigger(source=Source.MANUAL, correlation_id=f"{Source.MANUAL}_{identifier}")
    return Trigger(source=_source(first.tags.get(dagster_tags.SOURCE)), correlation_id=correlation_id)


def resumed_triggers(run: dg.DagsterRun, run_of: Callable[[str], dg.DagsterRun | None]) -> list[str]:
    """Correlation ids of the triggers whose failures the run re-executes; none if it executes all again."""
    first = first_attempt(run, run_of)
    if first.parent_run_id is None or dagster_tags.FROM_FAILURE not in first.tags:
        return []
    before = run_of(first.parent_run_id)
    return [trigger_of(before, run_of).correlation_id, *resumed_triggers(before, run_of)] if before else []


def first_attempt(run: dg.DagsterRun, run_of: Callable[[str], dg.DagsterRun | None]) -> dg.DagsterRun:
    """The run that this one continues by way of automatic retries; itself if it is none of these."""
    if run.parent_run_id is None or dagster_tags.RETRY_NUMBER not in run.tags:
        return run
    parent = run_of(run.parent_run_id)
    return first_attempt(parent, run_of) if parent else run


def _source(tag: str | None) -> Source:
    try:
        return Source(tag) if tag else Source.MANUAL
    except ValueError:
        sources = ", ".join(Source)
        raise ConfigurationError(
            f"The run's tag {dagster_tags.SOURCE} is {tag!r}; possible are {sources}."
        ) from None
