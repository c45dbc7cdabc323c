"""The sensors: what Dagster watches the product's own database for."""

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import dagster as dg

from ghl_snapshots.errors import GhlSnapshotsError
from ghl_snapshots.orchestration.partitions import covered, tenants
from ghl_snapshots.orchestration.resources import DatabaseResource

_IN_FLIGHT = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionChanges:
    """What makes the partitions equal to the enabled tenants; `waiting` leave when their runs are over."""

    add: Sequence[str]
    delete: Sequence[str]
    waiting: Sequence[str]


def partition_changes(
    enabled: AbstractSet[str] | None, partitions: Collection[str], in_flight: AbstractSet[str]
) -> PartitionChanges:
    """Decide which partitions to add and delete.

    `enabled` is None when the registry could not be read, and then nothing changes: a comparison with
    nothing would delete every tenant. A tenant with a run in flight keeps its partition, because deleting a
    partition under its run destroys finished work.
    """
    if enabled is None:
        return PartitionChanges(add=[], delete=[], waiting=[])
    present = frozenset(partitions)
    left = present - enabled
    return PartitionChanges(
        add=sorted(enabled - present), delete=sorted(left - in_flight), waiting=sorted(left & in_flight)
    )


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Keeps the partitions `tenants` equal to the enabled tenants of the registry. A disabled "
    "tenant's partition goes when no run covers it any more; its snapshots stay for ever. While the registry "
    "cannot be read, nothing changes.",
)
def tenant_partitions(context: dg.SensorEvaluationContext, database: DatabaseResource) -> dg.SensorResult:
    """Wire the decision above to the registry and to Dagster's partitions."""
    partitions = context.instance.get_dynamic_partitions(tenants.name or "")
    enabled, problem = _enabled(database)
    changes = partition_changes(enabled, partitions, _in_flight(context.instance, partitions))
    requests: list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest] = []
    if changes.add:
        requests.append(tenants.build_add_request(changes.add))
    if changes.delete:
        requests.append(tenants.build_delete_request(changes.delete))
    return dg.SensorResult(
        dynamic_partitions_requests=requests, skip_reason=dg.SkipReason(problem or _told(changes))
    )


def _enabled(database: DatabaseResource) -> tuple[AbstractSet[str] | None, str | None]:
    """Ids of the enabled tenants, or None and what kept them from being read."""
    try:
        registered = database.tenants.list()
    except GhlSnapshotsError as error:
        return None, f"The registry of tenants could not be read, so nothing was changed: {error}"
    return {tenant.tenant_id for tenant in registered if tenant.enabled}, None


def _in_flight(instance: dg.DagsterInstance, partitions: Sequence[str]) -> AbstractSet[str]:
    runs = instance.get_runs(dg.RunsFilter(statuses=_IN_FLIGHT))
    return {tenant_id for run in runs for tenant_id in covered(partitions, run.tags)}


def _told(changes: PartitionChanges) -> str:
    parts = [
        f"{verb}: {', '.join(tenant_ids)}"
        for verb, tenant_ids in (
            ("Added", changes.add),
            ("Deleted", changes.delete),
            ("To be deleted when their runs are over", changes.waiting),
        )
        if tenant_ids
    ]
    return "; ".join(parts) or "The partitions equal the enabled tenants."
