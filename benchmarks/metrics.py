"""What a scrape of the metrics costs on a large ledger, with and without the tenant label.

python -m benchmarks.metrics [--snapshots 1000000] [--tenants 100]

About ten minutes with a million snapshots on two cores.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

import psycopg

from benchmarks.measuring import Comparison, timed
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.metrics.exposition import exposition
from ghl_snapshots_tests.ledger.captures import capture, tenant

# A chain's later snapshots repeat its first one; neither links nor the counters' values are measured here.
MULTIPLY = """
INSERT INTO ghl.snapshot
SELECT captured_at + number * interval '1 minute', created_at, seq + number, 0, record_count, duration_ms,
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
        connection.execute("ALTER TABLE ghl.snapshot DISABLE TRIGGER ALL")
        connection.execute(MULTIPLY, [snapshots // (tenants * len(SnapshotType)) - 1])
        connection.execute("ALTER TABLE ghl.snapshot ENABLE TRIGGER ALL")
        for trigger in ("append_only", "link_snapshot", "count_snapshot"):
            connection.execute(f"ALTER TABLE ghl.snapshot ENABLE ALWAYS TRIGGER {trigger}")
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

            labels = (True, False)
            table.row("a scrape", *(timed(partial(scrape, tenant_label=label)) for label in labels))
            texts = [scrape(tenant_label=label) for label in labels]
            table.row("lines", *(f"{len(text.splitlines()):,}" for text in texts))
            table.row("bytes", *(f"{len(text):,}" for text in texts))
    table.print()


if __name__ == "__main__":
    main()
