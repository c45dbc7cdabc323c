"""Why a run failed, in the words of its steps, or its own if it failed outside of any step."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import dagster as dg


class _Error(Protocol):
    """An error as Dagster keeps it."""

    @property
    def message(self) -> str: ...

    @property
    def cause(self) -> "_Error | None": ...


def failures(events: Iterable[dg.DagsterEvent]) -> Sequence[str]:
    """One text for each failed step among a run's events, else the run's own; none if nothing failed."""
    run_causes, step_causes = [], []
    for event in events:
        if event.is_step_failure:
            step_causes.append(_step_cause(event))
        elif event.is_failure:
            run_causes.append(_run_cause(event))
    return step_causes or run_causes


def failures_of_run(instance: dg.DagsterInstance, run_id: str) -> Sequence[str]:
    """The same, of a run of this or another process."""
    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    records = instance.get_records_for_run(run_id, of_type=kinds).records
    return failures(event for record in records if (event := record.event_log_entry.dagster_event))


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
