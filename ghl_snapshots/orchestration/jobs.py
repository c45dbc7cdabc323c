"""The jobs: which snapshot types are captured together. One run covers a contiguous range of tenants."""

import dagster as dg

from ghl_snapshots.model import SnapshotType

# A tenant costs milliseconds within a run and a process of its own would cost seconds, so steps share one.
full_snapshot = dg.define_asset_job(
    "full_snapshot",
    selection=[snapshot_type.value for snapshot_type in SnapshotType],
    executor_def=dg.in_process_executor,
    description="Captures all five snapshot types of the run's tenants.",
)

critical_snapshot = dg.define_asset_job(
    "critical_snapshot",
    selection=[SnapshotType.PIPELINES.value, SnapshotType.WORKFLOWS.value],
    executor_def=dg.in_process_executor,
    description="Captures what changes most and matters soonest: the pipelines and workflows of the run's "
    "tenants.",
)
