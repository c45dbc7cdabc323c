"""The jobs: which snapshot types are captured together. One run covers a contiguous range of tenants."""

from functools import partial

import dagster as dg

from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.orchestration import dagster_tags
from ghl_snapshots.orchestration.checks import CHECKS, ledger_key, validation
from ghl_snapshots.orchestration.schedules import HOURLY

# A tenant costs milliseconds within a run, a process of its own seconds; so steps share one.
_job = partial(dg.define_asset_job, executor_def=dg.in_process_executor)

full_snapshot = _job(
    "full_snapshot",
    selection=dg.AssetSelection.assets(*SnapshotType),
    tags={dagster_tags.JOB: "capture"},
    description="Captures all five snapshot types of the run's tenants.",
)

critical_snapshot = _job(
    "critical_snapshot",
    selection=dg.AssetSelection.assets(*sorted(HOURLY.snapshot_types)),
    tags={dagster_tags.JOB: "capture"},
    description="Captures what changes most and matters soonest: the pipelines and workflows of the run's "
    "tenants.",
)

weekly_checks = _job(
    "weekly_checks",
    selection=dg.AssetSelection.checks(validation),
    tags={dagster_tags.JOB: "check"},
    description="Runs every check over all tenants.",
)

daily_checks = _job(
    "daily_checks",
    selection=dg.AssetSelection.checks(
        *(
            dg.AssetCheckKey(ledger_key(kind), check.name)
            for check in CHECKS
            if check.daily
            for kind in check.types
        )
    ),
    tags={dagster_tags.JOB: "check"},
    description="Runs the checks that cost little over all tenants.",
)
