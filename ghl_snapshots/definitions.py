"""The composition root: every Dagster object of the product, listed."""

import atexit
import gc

import dagster as dg

from ghl_snapshots.core.logs import configure_own_logs
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.core.settings import load_settings
from ghl_snapshots.orchestration.alerts import alerts
from ghl_snapshots.orchestration.assets import IO_MANAGER_KEY, snapshot_asset
from ghl_snapshots.orchestration.checks import ledger_asset, validation
from ghl_snapshots.orchestration.io_manager import SnapshotIOManager
from ghl_snapshots.orchestration.jobs import (
    critical_snapshot,
    daily_checks,
    full_snapshot,
    weekly_checks,
)
from ghl_snapshots.orchestration.orphaned_runs import orphaned_runs
from ghl_snapshots.orchestration.request_sensor import api_requests
from ghl_snapshots.orchestration.resources import DatabaseResource, GhlResource
from ghl_snapshots.orchestration.run_audit import run_audit
from ghl_snapshots.orchestration.run_history import run_history, run_history_schedule
from ghl_snapshots.orchestration.schedules import DAILY, HOURLY, WEEKLY, snapshot_schedule
from ghl_snapshots.orchestration.sensors import tenant_sensor
from ghl_snapshots.orchestration.token_refresh import expiring_tokens, token_refresh
from ghl_snapshots.orchestration.validation import validation_sensors

# At its end the interpreter goes several times through all that Dagster's import made, in search of garbage:
# more than half a second of every run and of every command that captures.
atexit.register(gc.freeze)


@dg.definitions
def definitions() -> dg.Definitions:
    """All assets, jobs, sensors and resources; loading them needs neither a database nor the network."""
    # Dagster loads them in its own processes in which the product works: code servers and runs.
    configure_own_logs()
    return all_definitions()


def all_definitions() -> dg.Definitions:
    """The same without our logging, for a process that has its own, such as a command."""
    # Configured at launch although there is nothing to configure, because only then does Dagster share one
    # instance, and so one pool of connections, between the resources that hold it.
    database = DatabaseResource.configure_at_launch()
    settings = load_settings()
    return dg.Definitions(
        assets=[
            *(
                snapshot_asset(
                    snapshot_type, tenants_per_run=settings.tenants_per_run, owner=settings.asset_owner
                )
                for snapshot_type in SnapshotType
            ),
            *(ledger_asset(snapshot_type, owner=settings.asset_owner) for snapshot_type in SnapshotType),
        ],
        asset_checks=[validation],
        jobs=[full_snapshot, critical_snapshot, daily_checks, weekly_checks, token_refresh, run_history],
        schedules=[
            *(snapshot_schedule(spec, settings) for spec in (HOURLY, DAILY, WEEKLY)),
            run_history_schedule(settings),
        ],
        sensors=[
            tenant_sensor(settings.tenants_per_run),
            *validation_sensors(),
            api_requests,
            expiring_tokens,
            orphaned_runs,
            run_audit,
            alerts,
        ],
        resources={
            "database": database,
            "ghl": GhlResource(database=database),
            IO_MANAGER_KEY: SnapshotIOManager(database=database),
        },
        # Materializations asked for in the UI run outside of the jobs; see jobs.py for the reason.
        executor=dg.in_process_executor,
    )
