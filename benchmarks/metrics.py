"""What a scrape of the metrics costs on a large ledger, the first time and with little that is new.

python -m benchmarks.metrics [--snapshots 1000000] [--tenants 1000]

About ten minutes with a million snapshots on two cores.
"""

import argparse
import tempfile
from datetime import timedelta
from pathlib import Path

import psycopg

from benchmarks.measuring import Comparison, Timer, timed
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.metrics.exposition import exposition
from ghl_snapshots_tests.ledger.captures import NOON, capture, tenant

# A chain's later snapshots repeat its first one; its links are not what is measured here.
MULTIPLY = """
INSERT INTO ghl.snapshot
SELECT captured_at + number * interval '1 minute', created_at, seq + number, record_count, duration_ms,
    api_calls, gen_random_uuid()::text, tenant_id, ghl_account_id, snapshot_type, version, status, checksum,
    provenance, sent_after_us, took_ms, trace_ids, created_by, source, correlation_id || number, chain
FROM ghl.snapshot, generate_series(1, %s) AS number
"""


def fill(url: str, database: Database, *, tenants: int, snapshots: int) -> None:
    """So many snapshots, spread evenly over the tenants and types."""
    ids = [f"t{number:04}" for number in range(tenants)]
    TenantRegistry(database).import_all([tenant(tenant_id) for tenant_id in ids])
    ledger = Ledger(database)
    for tenant_id in ids:
        for snapshot_type in SnapshotType:
            ledger.append(capture(tenant_id, snapshot_type=snapshot_type))
    with psycopg.connect(url) as connection:
        connection.execute("ALTER TABLE ghl.snapshot DISABLE TRIGGER link_snapshot")
        connection.execute(MULTIPLY, [snapshots // (tenants * len(SnapshotType)) - 1])
        connection.execute("ALTER TABLE ghl.snapshot ENABLE ALWAYS TRIGGER link_snapshot")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def main() -> None:
    """Fill a ledger, scrape it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--snapshots", type=int, default=1_000_000)
    parser.add_argument("--tenants", type=int, default=100)
    arguments = parser.parse_args()
    table = Comparison(f"Scrape with {arguments.snapshots:,} snapshots", "with tenants", "without")
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder)) as server:
        url = server.url("metrics")
        migrate(url)
        with Database(url) as database:
            fill(url, database, tenants=arguments.tenants, snapshots=arguments.snapshots)

            def scrape(*, tenant_label: bool) -> bytes:
                return exposition(database, tenant_label=tenant_label, openmetrics=True)

            first = Timer()
            with first():
                size = len(scrape(tenant_label=True))
            table.row("the first one, which counts everything", first, "")
            table.row(
                "nothing new",
                timed(lambda: scrape(tenant_label=True)),
                timed(lambda: scrape(tenant_label=False)),
            )
            ledger, fresh = Ledger(database), Timer()
            for minute in range(20):
                for number in range(min(50, arguments.tenants)):
                    moment = NOON + timedelta(days=3000, minutes=minute)
                    ledger.append(capture(f"t{number:04}", captured_at=moment))
                with fresh():
                    scrape(tenant_label=False)
            table.row("fifty new snapshots of as many tenants", "", fresh)
            table.row("bytes", f"{size:,}", f"{len(scrape(tenant_label=False)):,}")
    table.print()


if __name__ == "__main__":
    main()
