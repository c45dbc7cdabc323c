"""How long the deletion of old runs takes, and what it leaves.

python -m benchmarks.run_history [--events 1000000] [--markdown]

One hourly run over fifty tenants is executed, then copied in Dagster's database
under other ids until there are so many events, one copy an hour into the past. A last run makes all of them
old. Half of the copies are deleted first, then the rest, which tells whether the time goes with the number of
runs. CPU is that of this process and of PostgreSQL.
"""

import argparse
import os
import resource
import time
from datetime import UTC, datetime, timedelta

import dagster as dg
import psycopg

from benchmarks.measuring import Comparison
from benchmarks.orchestration import MEGABYTE, events, executed, postgres_cpu, world
from ghl_snapshots.orchestration.run_history import delete_runs
from ghl_snapshots.orchestration.schedules import HOURLY

TENANTS = 50
_COPY = """
WITH copies AS (
    SELECT number, gen_random_uuid()::text AS run_id, make_interval(hours => number) AS ago
    FROM generate_series(1, %(copies)s) AS number
), runs_ AS (
    INSERT INTO runs (run_id, snapshot_id, pipeline_name, status, run_body,
                      create_timestamp, update_timestamp, start_time, end_time)
    SELECT copies.run_id, snapshot_id, pipeline_name, status, replace(run_body, runs.run_id, copies.run_id),
           create_timestamp - ago, update_timestamp - ago,
           start_time - number * 3600, end_time - number * 3600
    FROM runs, copies ORDER BY number DESC
), tags AS (
    INSERT INTO run_tags (run_id, key, value)
    SELECT copies.run_id, key, value FROM run_tags, copies
), logged AS (
    INSERT INTO event_logs (run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition)
    SELECT copies.run_id, replace(event, event_logs.run_id, copies.run_id), dagster_event_type,
           timestamp - ago, step_key, asset_key, partition
    FROM event_logs, copies
    RETURNING id, asset_key, partition, timestamp, dagster_event_type
)
INSERT INTO asset_event_tags (event_id, asset_key, key, value, event_timestamp)
SELECT id, asset_key, 'dagster/partition', partition, timestamp
FROM logged WHERE dagster_event_type = 'ASSET_MATERIALIZATION'
"""


def dagsters_database() -> psycopg.Connection:
    """A connection to Dagster's own records."""
    url = os.environ["GHL_SNAPSHOTS_DAGSTER_DATABASE_URL"].replace("+psycopg2", "")
    return psycopg.connect(url, autocommit=True)


def fill(wanted: int) -> int:
    """Copy the one run until there are so many events; how many copies."""
    copies = -(-wanted // events())
    with dagsters_database() as connection:
        connection.execute(_COPY, {"copies": copies})
        connection.execute("VACUUM ANALYZE")
    return copies


def add_row(table: Comparison, what: str, instance: dg.DagsterInstance, before: datetime) -> None:
    """Delete the runs from before that moment, and tell what that took."""
    found, began, cpu, postgres = events(), time.monotonic(), time.process_time(), postgres_cpu()
    deleted = delete_runs(instance, before=before, seconds=36_000)
    seconds = time.monotonic() - began
    table.row(
        what,
        f"{found:,}",
        f"{deleted:,}",
        f"{seconds:,.0f}",
        f"{seconds * 1000 / max(deleted, 1):,.1f}",
        f"{time.process_time() - cpu:,.0f}",
        f"{postgres_cpu() - postgres:,.0f}",
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE:,.0f}",
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    options = parser.parse_args()
    headings = ("events before", "runs deleted", "seconds", "ms a run", "CPU s", "PostgreSQL", "peak MB")
    table = Comparison("Old runs", *headings, markdown=options.markdown)
    with world(TENANTS) as tenants:
        executed(HOURLY, tenants)
        copies = fill(options.events)
        with dg.DagsterInstance.get() as instance:
            add_row(table, "the older half", instance, datetime.now(UTC) - timedelta(hours=copies // 2))
            executed(HOURLY, tenants)
            add_row(table, "the others", instance, datetime.now(UTC) + timedelta(hours=1))
            add_row(table, "nothing is left to delete", instance, datetime.now(UTC) + timedelta(hours=1))
            left = {run.run_id for run in instance.get_runs()}
        if len(left) != 1:
            raise SystemExit(f"{len(left)} runs are left, not the newest alone.")
    table.print()


if __name__ == "__main__":
    main()
