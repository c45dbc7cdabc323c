"""The ledger with ten million snapshot rows, and whether partitions by month would help.

python -m benchmarks.ledger_growth [--rows 10000000]: about ten minutes and 12 GB of disk on two cores.
The rows are copies of real snapshots, one an hour, made without the triggers, so their chain does not hold.
"""

import argparse
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection

from benchmarks.measuring import Comparison, Timer, timed
from benchmarks.synthetic_week import HOURLY, START, Account
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.postgres import EmbeddedPostgres

TENANTS = 200
HOURS_AT_A_TIME = 1000

GROW = """
INSERT INTO ghl.snapshot
SELECT captured_at + hour * interval '1 hour', created_at + hour * interval '1 hour', 1 + hour, 0,
    record_count, duration_ms, api_calls, uuidv7()::text, tenant_id, ghl_account_id, snapshot_type,
    version, status, checksum,
    provenance, sent_after_us, took_ms, ARRAY[gen_random_uuid()], created_by, source,
    'scheduled_hourly_' || 1700000000000 + hour * 3600000,
    sha256(int8send(hour) || convert_to(tenant_id || snapshot_type, 'UTF8'))
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS hour
CROSS JOIN (SELECT * FROM ghl.snapshot WHERE seq = 1) AS first
ORDER BY hour
"""
PARTITIONED = """
CREATE TABLE public.by_month (LIKE ghl.snapshot) PARTITION BY RANGE (captured_at);
CREATE INDEX ON public.by_month (tenant_id, snapshot_type, captured_at DESC);
DO $$
DECLARE
    span interval := (SELECT max(captured_at) - min(captured_at) FROM ghl.snapshot);
BEGIN
    FOR month IN 0 .. 2 + extract(days FROM span)::integer / 30 LOOP
        EXECUTE format(
            'CREATE TABLE public.by_month_%s PARTITION OF public.by_month FOR VALUES FROM (%L) TO (%L)',
            month, date '2026-03-01' + month * interval '1 month',
            date '2026-03-01' + (month + 1) * interval '1 month'
        );
    END LOOP;
END $$;
INSERT INTO public.by_month SELECT * FROM ghl.snapshot;
"""
NEWEST = """
SELECT * FROM {} WHERE tenant_id = %s AND snapshot_type = %s AND status <> 'failed' AND captured_at <= %s
ORDER BY captured_at DESC, seq DESC LIMIT 1
"""


def grow(connection: Connection, database: Database, rows: int) -> int:
    """Fill the table; the number of hours that it spans."""
    accounts = [Account(number, locations=1) for number in range(TENANTS)]
    TenantRegistry(database).import_all([account.tenant for account in accounts])
    for account in accounts:
        for kind in HOURLY:
            Ledger(database).append(account.capture(kind, START, "first"))
    hours = rows // (TENANTS * len(HOURLY))
    connection.execute("ALTER TABLE ghl.snapshot DISABLE TRIGGER ALL")
    for first in range(1, hours, HOURS_AT_A_TIME):
        connection.execute(GROW, {"first": first, "last": min(first + HOURS_AT_A_TIME, hours) - 1})
    connection.execute("ALTER TABLE ghl.snapshot ENABLE TRIGGER ALL")
    for trigger in ("append_only", "link_snapshot", "count_snapshot"):
        connection.execute(f"ALTER TABLE ghl.snapshot ENABLE ALWAYS TRIGGER {trigger}")
    connection.execute("VACUUM ANALYZE")
    return hours


def read(table: Comparison, connection: Connection, database: Database, hours: int) -> None:
    ledger, kind, middle = Ledger(database), SnapshotType.WORKFLOWS, START + timedelta(hours=hours // 2)
    tenants = iter(f"tenant-{number % TENANTS:04}" for number in range(10**9))

    def bare(relation: str, moment: datetime) -> Timer:
        statement = NEWEST.format(relation)
        return timed(
            lambda: connection.execute(statement, [next(tenants), kind.value, moment]).fetchone(), 300
        )

    for what, moment in (("latest", START + timedelta(days=1300)), ("as of a moment", middle)):
        table.row(f"{what}, the bare query", bare("ghl.snapshot", moment), bare("public.by_month", moment))
    table.row("latest, through the product", timed(lambda: ledger.latest(next(tenants), kind), 300))
    table.row(
        "as of a moment, through the product",
        timed(lambda: ledger.latest(next(tenants), kind, as_of=middle), 300),
    )
    latest = ledger.latest("tenant-0007", kind)
    if latest is None:
        raise RuntimeError("the table is empty")
    table.row("one snapshot by its id", timed(lambda: ledger.get(latest.snapshot_id), 100))
    table.row("all snapshots of a trigger", timed(lambda: ledger.of_trigger(latest.correlation_id)))
    table.row("100 newest of an account", timed(lambda: ledger.of_account(latest.ghl_account_id)))
    entity = Account(7, locations=1).capture(kind, START, "x").entities[0]
    table.row(
        "history of one entity",
        timed(lambda: ledger.entity_history("tenant-0007", entity.endpoint, entity.entity_id or "")),
    )


def append(table: Comparison, database: Database) -> None:
    """Unchanged captures through the product, chain link included."""
    ledger, account = Ledger(database), Account(7, locations=1)
    captures = iter(
        account.capture(SnapshotType.WORKFLOWS, START + timedelta(days=1200, hours=hour), "later")
        for hour in range(500)
    )
    table.row("append of an unchanged capture", timed(lambda: ledger.append(next(captures)), 500))


def main() -> None:
    """Grow the ledger, then ask it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        table = Comparison(f"{rows:,} snapshot rows of {TENANTS} tenants", "ledger", "partitions by month")
        with EmbeddedPostgres(Path(folder)) as server:
            url = server.url("benchmark")
            migrate(url)
            with psycopg.connect(url, autocommit=True) as connection, Database(url) as database:
                hours = grow(connection, database, rows)
                connection.execute(PARTITIONED)
                connection.execute("VACUUM ANALYZE public.by_month")
                size: Any = connection.execute("SELECT pg_total_relation_size('ghl.snapshot')").fetchone()
                table.row("bytes a row on disk, indexes included", f"{size[0] / rows:,.0f}")
        # The server was stopped, so its own cache is empty; the operating system's is not.
        with EmbeddedPostgres(Path(folder)) as server:
            url = server.url("benchmark")
            with psycopg.connect(url, autocommit=True) as connection, Database(url) as database:
                first = timed(lambda: Ledger(database).latest("tenant-0150", SnapshotType.WORKFLOWS), 1)
                table.row("the first question after a restart", first)
                read(table, connection, database, hours)
                append(table, database)
        table.print()


if __name__ == "__main__":
    main()
