"""The ledger over a synthetic week beside the literal design, which keeps each payload as JSONB in its row.

python -m benchmarks.ledger [--tenants 100] [--days 7] [--all-hourly] [--markdown]

With --all-hourly every type is captured hourly. `bytes a snapshot` are those of all tables and indexes over
the number of snapshots. `database time` is what the server says that it spent on statements and commits, in
sessions whose commits do not wait for the disk.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection

from benchmarks import literal_design
from benchmarks.ledger_appends import database_time, parallel, unchanged
from benchmarks.ledger_week import Week, fill, least_bytes
from benchmarks.measuring import Comparison, size, timed
from benchmarks.synthetic_week import START, Account, moments
from ghl_snapshots.core.model import Capture, SnapshotType
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.ledger.verification import Verification
from ghl_snapshots.local.postgres import EmbeddedPostgres

TABLES = ("entity", "manifest", "provenance", "snapshot", "audit_event")
LARGE_LOCATIONS = 600
END = START + timedelta(days=400)


def sizes(table: Comparison, connection: Connection, week: Week) -> None:
    count = week.snapshots
    ledger_bytes = [size(connection, relation) for relation in TABLES]
    literal_bytes, least = size(connection, "literal"), least_bytes(connection)
    table.row(
        "bytes a snapshot on disk", f"{sum(ledger_bytes) / count:,.0f}", f"{literal_bytes / count:,.0f}"
    )
    for relation, used in zip(TABLES, ledger_bytes, strict=True):
        table.row(f"  {relation}", f"{used / count:,.0f}")
    table.row("times smaller than the literal design", f"{literal_bytes / sum(ledger_bytes):.1f}")
    table.row(
        "the least: all bodies in one zlib stream, digests, trace ids",
        f"{least / count:,.0f} ({literal_bytes / least:.0f} times)",
    )


def large(database: Database, connection: Connection) -> Account:
    """An account whose workflows are a snapshot of 12,000 entities, in both designs."""
    account = Account(9000, LARGE_LOCATIONS)
    TenantRegistry(database).import_all([account.tenant])
    capture: Capture = account.capture(SnapshotType.WORKFLOWS, START, "large")
    appended = Ledger(database).append(capture)
    literal_design.insert(connection, capture, appended.snapshot.snapshot_id)
    return account


def read(table: Comparison, ledger: Ledger, connection: Connection, account: Account) -> None:
    """Questions about one tenant's workflows, to both designs."""
    kind, as_of = SnapshotType.WORKFLOWS, START + timedelta(days=1)
    tenant_id = account.tenant.tenant_id
    entity = account.capture(kind, START, "x").entities[0]
    entity_id = entity.entity_id or ""
    latest = ledger.latest(tenant_id, kind)
    if latest is None:
        raise RuntimeError("the week left no snapshot")
    place = f"{account.locations} location(s), {latest.record_count:,} entities"

    def literal(columns: str, until: datetime = END) -> Callable[[], object]:
        return literal_design.newest(connection, columns, tenant_id, kind, until)

    def whole() -> list[bytes]:
        newest = ledger.latest(tenant_id, kind)
        return list(ledger.bodies(newest)) if newest else []

    row = "snapshot_id, checksum, payload -> 'metadata'"
    table.row(f"latest, {place}", timed(lambda: ledger.latest(tenant_id, kind)), timed(literal(row)))
    table.row(
        f"as of a moment, {place}",
        timed(lambda: ledger.latest(tenant_id, kind, as_of=as_of)),
        timed(literal(row, as_of)),
    )
    table.row(f"latest with all bodies, {place}", timed(whole), timed(literal("payload::text")))
    table.row(f"its checksum verified, {place}", timed(lambda: ledger.verify_snapshot(latest)))
    view = "SELECT payload::text FROM ghl.ghl_snapshot WHERE snapshot_id = %s"
    table.row(
        f"the view's payload, {place}",
        timed(lambda: connection.execute(view, [latest.snapshot_id]).fetchone(), 5),
    )
    table.row(
        f"history of one entity, {place}",
        timed(lambda: ledger.entity_history(tenant_id, entity.endpoint, entity_id)),
        timed(literal_design.history(connection, tenant_id, kind, entity_id), 1),
    )


def verifying(table: Comparison, database: Database, connection: Connection, held_bytes: int) -> None:
    for deep in (False, True):
        verification = Verification(database, deep=deep)
        start = time.perf_counter()
        if found := list(verification):
            raise RuntimeError(f"the ledger does not hold: {found[0]}")
        seconds, done = time.perf_counter() - start, verification.checked
        what = f"verification{', deep' if deep else ''}"
        table.row(what, f"{seconds:.1f} s, {done.snapshots / seconds:,.0f} snapshots/s")
    table.row(f"{what}: bytes that the snapshots hold", f"{held_bytes / 1e6 / seconds:,.0f} MB/s")
    table.row(f"{what}: distinct bytes, stored once", f"{done.bytes / 1e6 / seconds:,.0f} MB/s")
    hashing = timed(
        lambda: connection.execute("SELECT bool_and(sha256(body) = digest) FROM ghl.entity").fetchone(), 3
    )
    table.row(
        "  of it, hashing distinct bytes in the server", f"{done.bytes / 1e3 / hashing.median:,.0f} MB/s"
    )
    start = time.perf_counter()
    sample: Any = connection.execute(
        "SELECT sum(octet_length(text)), max(sha256(convert_to(text, 'UTF8'))) FROM ("
        "SELECT payload::text AS text FROM public.literal TABLESAMPLE SYSTEM (4) REPEATABLE (1)) AS payloads"
    ).fetchone()
    rate = float(sample[0] or 0) / 1e6 / (time.perf_counter() - start)
    table.row("hashing a sample of the payloads as texts", "", f"{rate:,.0f} MB/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenants", type=int, default=100)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--all-hourly", action="store_true")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder)) as server:
        url = server.url("benchmark")
        migrate(url)
        with psycopg.connect(url, autocommit=True) as connection, Database(url) as database:
            connection.execute(literal_design.SCHEMA)
            title = f"{given.days} days{', all types hourly' if given.all_hourly else ''}"
            table = Comparison(title, "ledger", "literal design", markdown=given.markdown)
            accounts = [Account(number) for number in range(given.tenants)]
            stored = fill(url, accounts, list(moments(given.days, everything=given.all_hourly)))
            what = f"{stored.snapshots:,} snapshots of {given.tenants} tenants"
            table.row(what, f"{stored.held_bytes / 1e9:.2f} GB of entities")
            connection.execute("VACUUM ANALYZE")
            sizes(table, connection, stored)
            verifying(table, database, connection, stored.held_bytes)
            smallest = min(accounts, key=lambda account: account.locations)
            largest = max(accounts, key=lambda account: account.locations)
            for account in (smallest, largest, large(database, connection)):
                read(table, Ledger(database), connection, account)
            for account in (smallest, largest):
                unchanged(table, database, connection, account)
                database_time(table, url, account)
            parallel(table, url, accounts)
            table.print()


if __name__ == "__main__":
    main()
