"""The sensors: what Dagster watches the product's own database for."""

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg
import psycopg

from ghl_snapshots.core.errors import GhlSnapshotsError
from ghl_snapshots.core.model import Priority
from ghl_snapshots.orchestration.partitions import NAME, covered, tenants
from ghl_snapshots.orchestration.resources import DatabaseResource
from ghl_snapshots.orchestration.schedules import run_requests, scheduled_trigger

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


def first_captures(
    new: AbstractSet[str],
    partitions: Sequence[str],
    changes: PartitionChanges,
    in_flight: AbstractSet[str],
) -> tuple[Sequence[str], AbstractSet[str]]:
    """The partitions as the changes leave them, and those whose tenant no run has captured or is about to."""
    after = [tenant_id for tenant_id in partitions if tenant_id not in changes.delete] + list(changes.add)
    return after, (new & frozenset(after)) - in_flight


def tenant_sensor(tenants_per_run: int) -> dg.SensorDefinition:
    """The sensor that keeps Dagster's partitions equal to the enabled tenants."""

    @dg.sensor(
        job_name="full_snapshot",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Keeps the partitions `tenants` equal to the enabled tenants of the registry, and asks "
        "for a new tenant's first full snapshot. A disabled tenant's partition goes when no run covers it "
        "any more; its snapshots stay. While the registry cannot be read, nothing changes.",
    )
    def tenant_partitions(context: dg.SensorEvaluationContext, database: DatabaseResource) -> dg.SensorResult:
        partitions = context.instance.get_dynamic_partitions(NAME)
        in_flight = _in_flight(context.instance, partitions)
        enabled, new, problem = _registry(database)
        changes = partition_changes(enabled, partitions, in_flight)
        after, first = first_captures(new, partitions, changes, in_flight)
        # A tenant with a snapshot, even a failed one, is left to the schedules; so one request suffices.
        trigger = scheduled_trigger("first", datetime.now(UTC))
        requests = run_requests(
            trigger, after, first, at_most=tenants_per_run, key="first", priority=Priority.NORMAL
        )
        runs = list(requests)
        return dg.SensorResult(
            run_requests=runs,
            dynamic_partitions_requests=_requests(changes),
            skip_reason=None if runs else dg.SkipReason(problem or _describe(changes)),
        )

    return tenant_partitions


def _requests(
    changes: PartitionChanges,
) -> list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest]:
    requests: list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest] = []
    if changes.add:
        requests.append(tenants.build_add_request(changes.add))
    if changes.delete:
        requests.append(tenants.build_delete_request(changes.delete))
    return requests


def _registry(
    database: DatabaseResource,
) -> tuple[AbstractSet[str] | None, AbstractSet[str], str | None]:
    """The enabled tenants (None if they could not be read), those never captured, and what went wrong."""
    try:
        enabled = database.tenants.enabled()
        new = database.tenants.never_captured()
    except (GhlSnapshotsError, psycopg.Error) as error:
        return None, frozenset(), f"The registry could not be read, so nothing was changed: {error}"
    return enabled, new, None


def _in_flight(instance: dg.DagsterInstance, partitions: Sequence[str]) -> AbstractSet[str]:
    runs = instance.get_runs(dg.RunsFilter(statuses=_IN_FLIGHT))
    places = {tenant_id: place for place, tenant_id in enumerate(partitions)}
    return {tenant_id for run in runs for tenant_id in covered(partitions, places, run.tags)}


def _describe(changes: PartitionChanges) -> str:
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
