"""The five snapshot assets, one for each snapshot type.

Dagster has no result for each partition of a run that covers many, so a step reports them itself: it emits
no Output (the moment it does, Dagster adds an event for every partition of the range, the failed ones
included), yields one materialization for each tenant as it is stored, and ends with a Failure that names the
others. Dagster then shows the yielded partitions as materialized and the rest of the range as failed. That
needs the asset to be skippable, or a step that captured everyone would fail for want of its Output.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from itertools import chain

import dagster as dg

from ghl_snapshots.capture.locked_captures import CaptureFailure
from ghl_snapshots.core.errors import RequestNotFoundError
from ghl_snapshots.core.model import Snapshot, SnapshotType, Source, Status, Tenant
from ghl_snapshots.ledger.append import Appended
from ghl_snapshots.ledger.snapshot_requests import SnapshotRequests
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.orchestration import dagster_tags
from ghl_snapshots.orchestration.descriptions import asset_description
from ghl_snapshots.orchestration.io_manager import SnapshotIOManager
from ghl_snapshots.orchestration.lost_database import told_if_database_is_lost
from ghl_snapshots.orchestration.partitions import tenants
from ghl_snapshots.orchestration.resources import DatabaseResource, GhlResource
from ghl_snapshots.orchestration.result_events import CaptureFailures, describe_tenants, result_event
from ghl_snapshots.orchestration.trigger import Trigger, resumed_triggers, trigger_of

GROUP = "ghl_snapshots"
IO_MANAGER_KEY = "snapshots"


def snapshot_asset(snapshot_type: SnapshotType, *, tenants_per_run: int, owner: str) -> dg.AssetsDefinition:
    """The asset whose partitions are the tenants and whose materializations are snapshots of one type."""

    @dg.multi_asset(
        name=snapshot_type.value,
        specs=[_spec(snapshot_type, owner)],
        partitions_def=tenants,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=tenants_per_run),
    )
    def capture_tenants(
        context: dg.AssetExecutionContext,
        database: DatabaseResource,
        ghl: GhlResource,
        snapshots: dg.ResourceParam[SnapshotIOManager],
    ) -> Iterator[dg.AssetMaterialization | dg.AssetObservation]:
        trigger = trigger_of(context.run, context.instance.get_run_by_id)
        resumed = resumed_triggers(context.run, context.instance.get_run_by_id)
        failures = CaptureFailures(snapshot_type, context.log.error)
        with told_if_database_is_lost():
            _mark_running(database, trigger, context.run.run_id)
            _tag_tenants(context, ghl.failed_tenants)
            enabled = _enabled(context.partition_keys, database.tenants, failures)
            stored = _stored_before(database, trigger, resumed, snapshot_type, enabled)
            missing = [tenant for tenant in enabled if tenant.tenant_id not in stored]
            with closing(ghl.capture_all(missing, snapshot_type, trigger, store=snapshots.store)) as results:
                for result in chain(stored.values(), results):
                    failures.add(result)
                    if isinstance(result, Appended):
                        yield result_event(result)
            ghl.failed_tenants.update(failures.tenant_ids)
            _tag_tenants(context, ghl.failed_tenants)
        failures.raise_if_any(tenants=len(context.partition_keys), correlation_id=trigger.correlation_id)

    return capture_tenants


def _spec(snapshot_type: SnapshotType, owner: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        key=snapshot_type.value,
        description=asset_description(snapshot_type),
        skippable=True,
        group_name=GROUP,
        kinds={"gohighlevel", "postgres"},
        owners=[owner],
        metadata={"dagster/table_name": "ghl.ghl_snapshot"},
    ).with_io_manager_key(IO_MANAGER_KEY)


def _tag_tenants(context: dg.AssetExecutionContext, failed: Collection[str]) -> None:
    """Say in the list of runs whose run this is and how many of them failed by now."""
    described = describe_tenants(context.partition_keys, len(failed))
    run = context.instance.get_run_by_id(context.run.run_id)
    if run is not None and run.tags.get(dagster_tags.TENANTS) != described:
        context.instance.add_run_tags(run.run_id, {dagster_tags.TENANTS: described})


def _mark_running(database: DatabaseResource, trigger: Trigger, run_id: str) -> None:
    """Note at an API request that its captures are under way."""
    if trigger.source is Source.API:
        # A tag that somebody put on a run by hand may name no request.
        with suppress(RequestNotFoundError):
            SnapshotRequests(database.database).running(trigger.correlation_id, run_id)


def _enabled(tenant_ids: Sequence[str], registry: TenantRegistry, failures: CaptureFailures) -> list[Tenant]:
    """The partitions' tenants; one that is unknown or disabled fails its own partition and no other."""
    registered = {tenant.tenant_id: tenant for tenant in registry.select(tenant_ids)}
    enabled: list[Tenant] = []
    for tenant_id in tenant_ids:
        tenant = registered.get(tenant_id)
        if tenant is not None and tenant.enabled:
            enabled.append(tenant)
        elif tenant is None:
            cause = "not in the registry; see `ghl-snapshots tenants list`"
            failures.add(CaptureFailure(tenant_id=tenant_id, status="unknown", cause=cause))
        else:
            cause = f"see `ghl-snapshots tenants enable {tenant_id}`"
            failures.add(CaptureFailure(tenant_id=tenant_id, status="disabled", cause=cause))
    return enabled


def _stored_before(
    database: DatabaseResource,
    trigger: Trigger,
    resumed: Collection[str],
    snapshot_type: SnapshotType,
    tenants_: Sequence[Tenant],
) -> Mapping[str, Appended]:
    """What is not captured again: what the same trigger has stored, such as by a run that died, and what was
    complete of those whose failures are executed again.
    """
    tenant_ids = [tenant.tenant_id for tenant in tenants_]
    snapshots: dict[str, Snapshot] = {}
    for correlation_id in resumed:
        before = database.ledger.stored_for_trigger(correlation_id, snapshot_type, tenant_ids)
        snapshots.update(
            {tenant_id: one for tenant_id, one in before.items() if one.status is Status.SUCCESS}
        )
    snapshots.update(database.ledger.stored_for_trigger(trigger.correlation_id, snapshot_type, tenant_ids))
    return {
        tenant_id: Appended(snapshot=snapshot, already_stored=True)
        for tenant_id, snapshot in snapshots.items()
    }
