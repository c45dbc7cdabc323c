"""What is put right on a run, so that a person in the UI, or the daemon after a crash, can execute it again.

Dagster copies the tags of the run before. Its range may begin or end with a tenant that was disabled and has
no partition any more, which Dagster refuses, or with one that was enabled again and is the last in the order
by now. And a run that a person executes again is a trigger of its own, which no schedule and no request asked
for. The webserver and the daemon create these runs without code of ours; what they share is the storage of
runs, which calls this.
"""

import json
from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster_shared.serdes import deserialize_value

from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.model import Priority, SnapshotType
from ghl_snapshots.orchestration import dagster_tags
from ghl_snapshots.orchestration.finished_runs import is_ours
from ghl_snapshots.orchestration.partitions import NAME, covered, ranges
from ghl_snapshots.orchestration.trigger import trigger_of, trigger_tags

_OF_THE_RUN_BEFORE = {dagster_tags.TENANTS}
_OF_THE_TRIGGER_BEFORE = {
    dagster_tags.CORRELATION_ID,
    dagster_tags.SOURCE,
    dagster_tags.REASON,
    dagster_tags.QUEUE_PRIORITY,
    dagster_tags.MAX_RETRIES,
    dagster_tags.SCHEDULE,
    dagster_tags.SENSOR,
    dagster_tags.TICK,
    dagster_tags.RUN_KEY,
    dagster_tags.SCHEDULED_TIME,
}


def put_right(run: dg.DagsterRun, instance: dg.DagsterInstance) -> dg.DagsterRun:
    """A run that is about to be created, with tags of its own where those of the run before do not fit.

    Raises:
        ConfigurationError: none of its tenants is captured any more; no run is created.
    """
    if not is_ours(run):
        return run
    run = _with_origin(run)
    before = instance.get_run_by_id(run.parent_run_id) if run.parent_run_id else None
    if before is None:
        return run
    copied = _OF_THE_RUN_BEFORE
    own: dict[str, str] = {}
    if dagster_tags.RETRY_NUMBER not in run.tags:
        copied = copied | _OF_THE_TRIGGER_BEFORE
        own = trigger_tags(trigger_of(run, instance.get_run_by_id), priority=Priority.NORMAL)
    # What differs was chosen for this run, as the UI lets one do.
    kept = {
        name: value
        for name, value in run.tags.items()
        if name not in copied or value != before.tags.get(name)
    }
    return run.with_tags({**own, **kept, **_range(run, before, instance)})


def _with_origin(run: dg.DagsterRun) -> dg.DagsterRun:
    """The run with its code location, without which Dagster executes nothing again; a command's has none."""
    repository, named, location = run.tags.get(dagster_tags.CODE_LOCATION, "").partition("@")
    if run.remote_job_origin is not None or not named:
        return run
    # As Dagster stores it with a run, since its classes have no public names.
    stored = {
        "__class__": "ExternalPipelineOrigin",
        "external_repository_origin": {
            "__class__": "ExternalRepositoryOrigin",
            "repository_location_origin": {
                "__class__": "RegisteredRepositoryLocationOrigin",
                "location_name": location,
            },
            "repository_name": repository,
        },
        "pipeline_name": run.job_name,
    }
    origin: Any = deserialize_value(json.dumps(stored))
    return run.with_job_origin(origin)


def planned(instance: dg.DagsterInstance, run_id: str) -> Mapping[str, set[SnapshotType]]:
    """What a run was to capture, by tenant, as noted when it was created; partitions may be others now."""
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    captures: dict[str, set[SnapshotType]] = {}
    for record in instance.get_records_for_run(run_id, of_type={kind}).records:
        event = record.event_log_entry.dagster_event
        if event and event.partition and event.asset_key and event.asset_key.path[-1] in set(SnapshotType):
            captures.setdefault(event.partition, set()).add(SnapshotType(event.asset_key.path[-1]))
    return captures


def _range(run: dg.DagsterRun, before: dg.DagsterRun, instance: dg.DagsterInstance) -> Mapping[str, str]:
    """Tags of the longest range that the tenants of the run before still make."""
    first, last = dagster_tags.RANGE_START, dagster_tags.RANGE_END
    if first not in run.tags or any(run.tags[name] != before.tags.get(name) for name in (first, last)):
        return {}
    partitions = instance.get_dynamic_partitions(NAME)
    if dagster_tags.RETRY_NUMBER in run.tags and {run.tags[first], run.tags[last]} <= set(partitions):
        # A daemon that died while it created the run before has noted a part of what was planned.
        return {}
    tenants = planned(instance, before.run_id)
    places = {tenant_id: place for place, tenant_id in enumerate(partitions)}
    present = [one.tags() for one in ranges(partitions, tenants, at_most=len(partitions))]
    if not present:
        raise ConfigurationError(
            "No tenant of this run is captured any more; `ghl-snapshots tenants enable` enables one again."
        )
    return max(present, key=lambda tags: len(covered(partitions, places, tags)))
