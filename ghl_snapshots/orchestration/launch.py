"""Captures on demand in this process: real Dagster runs, stored in the instance and shown in its UI."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias
from uuid import uuid4

import dagster as dg

from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.model import Priority, Snapshot, SnapshotType, Source
from ghl_snapshots.core.settings import load_settings
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.orchestration import dagster_tags
from ghl_snapshots.orchestration.failures import failures
from ghl_snapshots.orchestration.partitions import add_partitions, ranges
from ghl_snapshots.orchestration.trigger import Trigger, trigger_tags

_CODE_LOCATION = "__repository__@ghl_snapshots.definitions"
_INTERRUPTED = "UNEXPECTED_TERMINATION"
_QUIET: Mapping[str, object] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_RESULT_EVENTS = {dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_OBSERVATION}
_POLL_SECONDS = 0.2
_ResultEvent: TypeAlias = dg.AssetMaterialization | dg.AssetObservation


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchResult:
    """What came of a launch: its snapshots in the order of their events, and the failures of its runs."""

    correlation_id: str
    run_ids: tuple[str, ...]
    snapshots: tuple[Snapshot, ...]
    new_bytes: int
    """Of entities that the ledger did not hold before."""
    failures: tuple[str, ...]

    @property
    def success(self) -> bool:
        """Whether every tenant was captured completely."""
        return not self.failures


def capture_now(
    definitions: dg.Definitions,
    tenant_ids: Collection[str],
    snapshot_types: Collection[SnapshotType] = tuple(SnapshotType),
    *,
    reason: str,
    on_snapshot: Callable[[Snapshot], None] = lambda _: None,
) -> LaunchResult:
    """Capture the tenants in runs of `full_snapshot`, one for each contiguous range of partitions.

    `on_snapshot` is called in another thread for every snapshot, a failed one included, soon after the run's
    event on it. Needs DAGSTER_HOME.

    Raises:
        KeyboardInterrupt: Ctrl-C; the run is marked as canceled, and what was stored stays stored.
    """
    tags = _tags(reason=reason)
    settings, job = load_settings(), definitions.resolve_job_def("full_snapshot")
    snapshots: list[Snapshot] = []
    new_bytes: list[int] = []
    with _instance() as instance, open_database(settings) as database:

        def on_event(event: _ResultEvent) -> None:
            snapshot_id = str(event.metadata["snapshot_id"].value)
            snapshot = Ledger(database).get(snapshot_id, tenant_id=event.partition)
            snapshots.append(snapshot)
            new_bytes.append(int(str(event.metadata["new_bytes"].value)))
            on_snapshot(snapshot)

        partitions = add_partitions(instance, tenant_ids)
        results = [
            _run(job, instance, snapshot_types, {**tags, **tenant_range.tags()}, on_event)
            for tenant_range in ranges(partitions, tenant_ids, at_most=settings.tenants_per_run)
        ]
    return LaunchResult(
        correlation_id=tags[dagster_tags.CORRELATION_ID],
        run_ids=tuple(result.run_id for result in results),
        snapshots=tuple(snapshots),
        new_bytes=sum(new_bytes),
        failures=tuple(failure for result in results for failure in failures(result.all_events)),
    )


def check_now(definitions: dg.Definitions) -> Mapping[str, bool]:
    """Run every check over all tenants in a run of `weekly_checks`; whether each passed, by asset and name.

    Needs DAGSTER_HOME.
    """
    with _instance() as instance:
        result = definitions.resolve_job_def("weekly_checks").execute_in_process(
            instance=instance, tags=_tags(), run_config=_QUIET, raise_on_error=False
        )
    return {
        f"{check.asset_key.to_user_string()} {check.check_name}": check.passed
        for check in result.get_asset_check_evaluations()
    }


def _tags(*, reason: str | None = None) -> dict[str, str]:
    """The tags of the runs of one launch, with a correlation id of its own."""
    trigger = Trigger(source=Source.MANUAL, correlation_id=f"{Source.MANUAL}_{uuid4()}")
    return {
        **trigger_tags(trigger, reason=reason, priority=Priority.NORMAL),
        dagster_tags.CODE_LOCATION: _CODE_LOCATION,
        # The caller sees how the run ends, and the daemon could not start another one in its place.
        dagster_tags.MAX_RETRIES: "0",
    }


@contextmanager
def _instance() -> Iterator[dg.DagsterInstance]:
    """The instance of DAGSTER_HOME without its compute logs, which would take the terminal away from us.

    Dagster's no-op manager has no public name; `dagster.yaml` would name it in the same way.
    """
    with dg.DagsterInstance.get() as configured:
        reference = configured.get_ref()
    compute_logs = reference.compute_logs_data._replace(
        module_name="dagster._core.storage.noop_compute_log_manager",
        class_name="NoOpComputeLogManager",
        config_yaml="{}\n",
    )
    with dg.DagsterInstance.from_ref(reference._replace(compute_logs_data=compute_logs)) as instance:
        yield instance


def _run(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    snapshot_types: Collection[SnapshotType],
    tags: Mapping[str, str],
    on_event: Callable[[_ResultEvent], None],
) -> dg.ExecuteInProcessResult:
    """Execute a run in this thread, the only one that Ctrl-C reaches, and follow its events in another."""
    run_id, finished = str(uuid4()), threading.Event()
    with ThreadPoolExecutor(1) as threads:
        following = threads.submit(_follow, instance, run_id, finished, on_event)
        try:
            result = job.execute_in_process(
                instance=instance,
                run_id=run_id,
                asset_selection=[dg.AssetKey(snapshot_type.value) for snapshot_type in snapshot_types],
                tags=tags,
                run_config=_QUIET,
                raise_on_error=False,
            )
        finally:
            finished.set()
    following.result()
    if result.dagster_run.tags.get(dagster_tags.FAILURE_REASON) == _INTERRUPTED:
        instance.report_run_canceled(result.dagster_run, "Interrupted with Ctrl-C.")
        raise KeyboardInterrupt
    return result


def _follow(
    instance: dg.DagsterInstance,
    run_id: str,
    finished: threading.Event,
    on_event: Callable[[_ResultEvent], None],
) -> None:
    """Hand over the run's result events as they come, the last of them after its end."""
    cursor, last = None, False
    while not last:
        last = finished.wait(_POLL_SECONDS)
        page = instance.get_records_for_run(run_id, cursor, of_type=_RESULT_EVENTS)
        cursor = page.cursor
        for record in page.records:
            event = record.event_log_entry.asset_materialization or record.event_log_entry.asset_observation
            if event is not None:
                on_event(event)
