"""Turns the requests for captures that wait in the database into runs, each request into one."""

from collections.abc import Mapping, Sequence

import dagster as dg

from ghl_snapshots.core.model import Source
from ghl_snapshots.core.snapshot_requests import SnapshotRequest
from ghl_snapshots.ledger.snapshot_requests import SnapshotRequests
from ghl_snapshots.orchestration import dagster_tags
from ghl_snapshots.orchestration.partitions import TenantRange, tenants
from ghl_snapshots.orchestration.resources import DatabaseResource
from ghl_snapshots.orchestration.trigger import Trigger, trigger_tags

_MAX_REQUESTS = 100


def run_request(request: SnapshotRequest) -> dg.RunRequest:
    """The run that a request asks for; its id is the run key, so that Dagster starts it once."""
    trigger = Trigger(source=Source.API, correlation_id=request.request_id)
    tags = trigger_tags(trigger, priority=request.priority, reason=request.reason)
    only = TenantRange(first=request.tenant_id, last=request.tenant_id)
    return dg.RunRequest(
        run_key=request.request_id,
        tags={**tags, **only.tags()},
        asset_selection=[dg.AssetKey(kind.value) for kind in request.snapshot_types],
    )


@dg.sensor(
    name="api_requests",
    job_name="full_snapshot",
    minimum_interval_seconds=1,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for a run for each request that the HTTP API has accepted, with the request's priority "
    "in the queue of runs.",
)
def api_requests(
    context: dg.SensorEvaluationContext, database: DatabaseResource
) -> dg.SensorResult | dg.SkipReason:
    """Ask for runs of new requests, and note the runs of those that were asked for before."""
    requests = SnapshotRequests(database.database)
    waiting = requests.waiting(limit=_MAX_REQUESTS)
    if not waiting:
        return dg.SkipReason("No request is waiting.")
    runs = _runs(context.instance, waiting)
    asked = database.tenants.select({request.tenant_id for request in waiting})
    enabled = {tenant.tenant_id for tenant in asked if tenant.enabled}
    wanted = []
    for request in waiting:
        if run_id := runs.get(request.request_id):
            requests.queued(request.request_id, run_id)
        elif request.tenant_id in enabled:
            wanted.append(request)
        else:
            requests.ended(request.request_id, error=f"Tenant {request.tenant_id} was disabled since.")
    # A tenant may be asked for before the registry's own sensor has given it a partition.
    add = tenants.build_add_request(sorted({request.tenant_id for request in wanted}))
    return dg.SensorResult(
        run_requests=[run_request(request) for request in wanted],
        dynamic_partitions_requests=[add] if wanted else [],
    )


def _runs(instance: dg.DagsterInstance, waiting: Sequence[SnapshotRequest]) -> Mapping[str, str]:
    """Run ids by request id, of the requests that have a run already."""
    ids = [request.request_id for request in waiting]
    runs = instance.get_runs(dg.RunsFilter(tags={dagster_tags.CORRELATION_ID: ids}))
    return {run.tags[dagster_tags.CORRELATION_ID]: run.run_id for run in runs}
