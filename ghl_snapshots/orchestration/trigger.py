"""What caused a run: the source and the correlation id that all it stores carries.

A run that the retry daemon starts in place of one whose process died continues the same trigger, so that it
captures only what that trigger still lacks. A run re-executed by hand copies its parent's tags, but is a
request for something new: it is a trigger of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

import dagster as dg

from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.model import Priority, Source

CORRELATION_ID_TAG = "ghl_snapshots/correlation_id"
SOURCE_TAG = "ghl_snapshots/source"
REASON_TAG = "ghl_snapshots/reason"
PRIORITY_TAG = "ghl_snapshots/priority"

# Dagster has no public names for its own tags.
_BACKFILL_TAG = "dagster/backfill"
_RETRY_NUMBER_TAG = "dagster/retry_number"
_QUEUE_PRIORITY_TAG = "dagster/priority"
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
        CORRELATION_ID_TAG: trigger.correlation_id,
        SOURCE_TAG: trigger.source.value,
        PRIORITY_TAG: priority.value,
        _QUEUE_PRIORITY_TAG: str(_QUEUE_PRIORITY[priority]),
    }
    return {**tags, REASON_TAG: reason} if reason else tags


def trigger_of(run: dg.DagsterRun, run_of: Callable[[str], dg.DagsterRun | None]) -> Trigger:
    """The trigger that a run belongs to; `run_of` looks a run up by its id.

    Raises:
        ConfigurationError: the run's source tag holds no known source.
    """
    first = first_of(run, run_of)
    by_hand = first.parent_run_id is not None and _RETRY_NUMBER_TAG not in first.tags
    return _by_hand(first.run_id) if by_hand else _tagged(first)


def first_of(run: dg.DagsterRun, run_of: Callable[[str], dg.DagsterRun | None]) -> dg.DagsterRun:
    """The run that this one continues by way of automatic retries; itself if it is none of these."""
    if run.parent_run_id is None or _RETRY_NUMBER_TAG not in run.tags:
        return run
    parent = run_of(run.parent_run_id)
    return first_of(parent, run_of) if parent else run


def _tagged(run: dg.DagsterRun) -> Trigger:
    correlation_id = run.tags.get(CORRELATION_ID_TAG)
    if not correlation_id:
        return _by_hand(run.tags.get(_BACKFILL_TAG, run.run_id))
    return Trigger(source=_source(run.tags.get(SOURCE_TAG)), correlation_id=correlation_id)


def _by_hand(identifier: str) -> Trigger:
    return Trigger(source=Source.MANUAL, correlation_id=f"{Source.MANUAL}_{identifier}")


def _source(tag: str | None) -> Source:
    try:
        return Source(tag) if tag else Source.MANUAL
    except ValueError:
        known = ", ".join(Source)
        raise ConfigurationError(f"The run's tag {SOURCE_TAG} is {tag!r}; known are {known}.") from None
