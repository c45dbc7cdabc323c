"""Why a run failed, in the words of its steps, or its own if it failed outside of any step."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import dagster as dg

from ghl_snapshots.core.summary import cause_key, counted
from ghl_snapshots.orchestration.result_events import CAPTURE_FAILURES

_MAX_LINES = 20


class _Error(Protocol):
    """An error as Dagster keeps it."""

    @property
    def message(self) -> str: ...

    @property
    def cause(self) -> "_Error | None": ...


def failures(events: Iterable[dg.DagsterEvent]) -> Sequence[str]:
    """A text for each cause in the steps among a run's events, else the run's own; none if nothing failed.

    What several steps could not capture is one text, in which each tenant's cause stands once.
    """
    run_causes, steps = [], []
    for event in events:
        if event.is_step_failure:
            steps.append(event)
        elif event.is_failure:
            run_causes.append(_run_cause(event))
    captures = [event for event in steps if _capture_failures(event)]
    if len(captures) < 2:
        return [_step_cause(event) for event in steps] or run_causes
    return [_merged(captures), *(_step_cause(event) for event in steps if event not in captures)]


def failures_of_run(instance: dg.DagsterInstance, run_id: str) -> Sequence[str]:
    """The same, of a run of this or another process."""
    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    records = instance.get_records_for_run(run_id, of_type=kinds).records
    return failures(event for record in records if (event := record.event_log_entry.dagster_event))


def _merged(steps: Sequence[dg.DagsterEvent]) -> str:
    """What the steps of several snapshot types could not capture: a line for each cause of a tenant."""
    causes: dict[tuple[str, str], str] = {}
    types: dict[tuple[str, str], list[str]] = {}
    for step in steps:
        for row in _capture_failures(step):
            key = (str(row["tenant"]), cause_key(str(row["cause"])))
            causes.setdefault(key, str(row["cause"]))
            types.setdefault(key, []).append(f"{step.step_key} {row['status']}")
    failed = len({tenant_id for tenant_id, _ in causes})
    lines = [f"{key[0]} ({', '.join(types[key])}): {cause}" for key, cause in causes.items()]
    if len(lines) > _MAX_LINES:
        lines = [*lines[:_MAX_LINES], f"... and {len(lines) - _MAX_LINES:,} more"]
    return "\n".join([f"{counted(failed, 'tenant')} failed or incomplete.", *lines])


def _capture_failures(event: dg.DagsterEvent) -> Sequence[Mapping[str, object]]:
    """The rows of the table that a capture's step fails with; none of another step."""
    data = event.step_failure_data.user_failure_data
    table = data.metadata.get(CAPTURE_FAILURES) if data else None
    return [record.data for record in table.records] if isinstance(table, dg.TableMetadataValue) else []


def _step_cause(event: dg.DagsterEvent) -> str:
    step = event.step_failure_data
    if step.user_failure_data and step.user_failure_data.description:
        return step.user_failure_data.description
    return _root_cause(step.error) or "a step gave no cause"


def _run_cause(event: dg.DagsterEvent) -> str:
    # There is no error where somebody else reported the failure of a run that died.
    error: _Error | None = getattr(event.event_specific_data, "error", None)
    return _root_cause(error) or event.message or "the run gave no cause"


def _root_cause(error: _Error | None) -> str:
    """The message at the root; Dagster's own wrapping comes first."""
    while error and error.cause:
        error = error.cause
    return error.message.strip() if error else ""
