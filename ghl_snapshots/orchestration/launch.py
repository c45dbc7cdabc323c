"""Captures on demand in this process: real Dagster runs, kept in the instance and seen in its UI."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import dagster as dg

from ghl_snapshots.core.model import Priority, SnapshotType, Source
from ghl_snapshots.core.settings import load_settings
from ghl_snapshots.ledger.append import Appended
from ghl_snapshots.orchestration.failures import failures
from ghl_snapshots.orchestration.partitions import TenantRange, add_partitions, ranges
from ghl_snapshots.orchestration.resources import StoredListener, unheard
from ghl_snapshots.orchestration.trigger import Trigger, trigger_tags

# The webserver lists a run under its code location by this tag; Dagster sets it where it launches the run.
_CODE_LOCATION_TAG = ".dagster/repository"
_CODE_LOCATION = "__repository__@ghl_snapshots.definitions"
# Whoever asked for the run sees how it ends, and the daemon could not start another one in its place.
_MAX_RETRIES_TAG = "dagster/max_retries"
_FAILURE_REASON_TAG = "dagster/failure_reason"
_INTERRUPTED = "UNEXPECTED_TERMINATION"
_QUIET: Mapping[str, object] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """What came of a launch: its snapshots as they were stored, and what the runs' failures say."""

    correlation_id: str
    run_ids: tuple[str, ...]
    stored: tuple[Appended, ...]
    failures: tuple[str, ...]

    @property
    def success(self) -> bool:
        """Whether every tenant was captured completely."""
        return not self.failures


def capture_now(
    composed: Callable[[StoredListener], dg.Definitions],
    tenant_ids: Collection[str],
    snapshot_types: Collection[SnapshotType] = tuple(SnapshotType),
    *,
    reason: str,
    on_stored: StoredListener = unheard,
) -> Launched:
    """Capture the tenants in runs of `full_snapshot`, one for each contiguous range of partitions.

    `composed` is that of the definitions; `on_stored` is called for every snapshot as it is stored, a failed
    one included. Needs DAGSTER_HOME.

    Raises:
        KeyboardInterrupt: Ctrl-C; the run is marked as canceled, and what was stored stays stored.
    """
    stored: list[Appended] = []

    def listener(appended: Appended) -> None:
        stored.append(appended)
        on_stored(appended)

    trigger = Trigger(source=Source.MANUAL, correlation_id=f"{Source.MANUAL}_{uuid4()}")
    tags = {
        **trigger_tags(trigger, reason=reason, priority=Priority.NORMAL),
        _CODE_LOCATION_TAG: _CODE_LOCATION,
        _MAX_RETRIES_TAG: "0",
    }
    job = composed(listener).resolve_job_def("full_snapshot")
    with _instance() as instance:
        partitions = add_partitions(instance, tenant_ids)
        results = [
            _run(job, instance, tenant_range, snapshot_types, tags)
            for tenant_range in ranges(partitions, tenant_ids, at_most=load_settings().tenants_per_run)
        ]
    return Launched(
        correlation_id=trigger.correlation_id,
        run_ids=tuple(result.run_id for result in results),
        stored=tuple(stored),
        failures=tuple(failure for result in results for failure in failures(result.all_events)),
    )


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
    tenant_range: TenantRange,
    snapshot_types: Collection[SnapshotType],
    tags: Mapping[str, str],
) -> dg.ExecuteInProcessResult:
    result = job.execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(snapshot_type.value) for snapshot_type in snapshot_types],
        tags={**tags, **tenant_range.tags()},
        run_config=_QUIET,
        raise_on_error=False,
    )
    if result.dagster_run.tags.get(_FAILURE_REASON_TAG) == _INTERRUPTED:
        instance.report_run_canceled(result.dagster_run, "Interrupted with Ctrl-C.")
        raise KeyboardInterrupt
    return result
