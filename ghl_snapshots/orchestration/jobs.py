"""The jobs: which snapshot types are captured together. One run covers a contiguous range of tenants."""

import dagster as dg

from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.orchestration.checks import CHECKS, ledger_key, validation
from ghl_snapshots.orchestration.schedules import HOURLY

# A tenant costs milliseconds within a run and a process of its own would cost seconds, so steps share one.
full_snapshot = dg.define_asset_job(
    "full_snapshot",
    selection=dg.AssetSelection.assets(*SnapshotType),
    executor_def=dg.in_process_executor,
    description="Captures all five snapshot types of the run's tenants.",
)

critical_snapshot = dg.define_asset_job(
    "critical_snapshot",
    selection=dg.AssetSelection.assets(*sorted(HOURLY.snapshot_types)),
    executor_def=dg.in_process_executor,
    description="Captures what changes most and matters soonest: the pipelines and workflows of the run's "
    "tenants.",
)

weekly_checks = dg.define_asset_job(
    "weekly_checks",
    selection=dg.AssetSelection.checks(validation),
    executor_def=dg.in_process_executor,
    description="Runs every check over all tenants.",
)

daily_checks = dg.define_asset_job(
    "daily_checks",
    selection=dg.AssetSelection.checks(
        *(
            dg.AssetCheckKey(ledger_key(kind), check.name)
            for kind in SnapshotType
            for check in CHECKS
            if check.daily
        )
    ),
    executor_def=dg.in_process_executor,
    description="Runs the checks that cost little over all tenants.",
)
