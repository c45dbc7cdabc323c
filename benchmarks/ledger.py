"""The ledger over a synthetic week beside the literal design, which keeps each payload as JSONB in its row.

python -m benchmarks.ledger [--tenants 100] [--days 7] [--all-hourly]

About half an hour on two cores. With --all-hourly every type is captured hourly.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection
from rich.progress import track

from benchmarks.measuring import Comparison, Timer, timed
from benchmarks.synthetic_week import HOURLY, START, Account, Moment, moments
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.ledger.verification import Verification
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.model import Capture, SnapshotType

LITERAL = """
CREATE TABLE public.literal (
    snapshot_id text PRIMARY KEY, tenant_id text NOT NULL, ghl_account_id text NOT NULL,
    snapshot_type text NOT NULL, captured_at timestamptz NOT NULL, version text NOT NULL,
    status text NOT NULL,
    record_count int NOT NULL, checksum text NOT NULL, payload jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(), created_by text NOT NULL, source text NOT NULL,
    correlation_id text NOT NULL);
CREATE INDEX ON public.literal (tenant_id, snapshot_type, captured_at DESC);
CREATE INDEX ON public.literal (tenant_id, ghl_account_id);
CREATE INDEX ON public.literal (correlation_id);
"""
TABLES = ("entity", "manifest", "provenance", "snapshot", "audit_event")


def size(connection: Connection, *tables: str) -> int:
    connection.execute("CHECKPOINT")
    found = connection.execute(
        "SELECT sum(pg_total_relation_size(to_regclass(name))) FROM unnest(%s::text[]) AS name",
        [list(tables)],
    ).fetchone()
    return int(found[0]) if found else 0


def insert_literal(connection: Connection, capture: Capture, snapshot_id: str) -> None:
    data = b",".join(entity.body for entity in capture.entities).decode()
    connection.execute(
        "INSERT INTO literal VALUES (%s, %s, %s, %s, %s, '1.0.0', %s, %s, %s, %s, now(), 'system', %s, %s)",
        [
            snapshot_id,
            capture.tenant_id,
            capture.ghl_account_id,
            capture.snapshot_type.value,
            capture.captured_at,
            capture.status.value,
            capture.record_count,
            capture.checksum,
            f'{{"data": [{data}], "metadata": {json.dumps(capture.metadata())}}}',
            capture.source.value,
            capture.correlation_id,
        ],
    )


def week(
    table: Comparison, url: str, connection: Connection, accounts: list[Account], ticks: list[Moment]
) -> None:
    """Every capture of the week into both designs."""
    ours, literal, logical, count = Timer(), Timer(), 0, 0
    with Database(url) as database:
        TenantRegistry(database).import_all([account.tenant for account in accounts])
        ledger = Ledger(database)
        for moment in track(ticks, description="hours"):
            for account in accounts:
                account.change()
                for kind in moment.types:
                    capture = account.capture(kind, moment.at, "hourly")
                    with ours():
                        appended = ledger.append(capture)
                    with literal():
                        insert_literal(connection, capture, appended.snapshot.snapshot_id)
                    logical += sum(len(entity.body) for entity in capture.entities)
                    count += 1
    table.row(f"{count:,} snapshots of {len(accounts)} tenants", f"{logical / 1e9:.2f} GB of entities")
    ledger_bytes = [size(connection, relation) for relation in TABLES]
    literal_bytes = size(connection, "literal")
    table.row(
        "bytes a snapshot on disk", f"{sum(ledger_bytes) / count:,.0f}", f"{literal_bytes / count:,.0f}"
    )
    for relation, used in zip(TABLES, ledger_bytes, strict=True):
        table.row(f"  {relation}", f"{used / count:,.0f}")
    table.row("times smaller than the literal design", f"{literal_bytes / sum(ledger_bytes):.1f}")
    table.row("append of a capture, by one writer", ours, literal)
    table.row(
        "appends a second, by one writer",
        ours.per_second,
        literal.per_second,
    )


def unchanged(table: Comparison, url: str, connection: Connection, accounts: list[Account]) -> None:
    """What a capture costs that yields what the one before it did."""
    chosen = {1: min(accounts, key=lambda account: account.locations)}
    chosen[200] = max(accounts, key=lambda account: account.locations)
    with Database(url) as database:
        ledger = Ledger(database)
        for account in chosen.values():
            ledger.append(account.capture(SnapshotType.WORKFLOWS, START + timedelta(days=30), "first"))
            before, audit = size(connection, *TABLES), size(connection, "audit_event")
            timer = Timer()
            for number in range(400):
                at = START + timedelta(days=30, hours=number + 1)
                capture = account.capture(SnapshotType.WORKFLOWS, at, "hourly")
                with timer():
                    ledger.append(capture)
            grown, audited = size(connection, *TABLES) - before, size(connection, "audit_event") - audit
            what = f"unchanged capture, {account.locations} location(s)"
            table.row(f"{what}: bytes", f"{(grown - audited) / 400:,.0f} + audit {audited / 400:,.0f}")
            table.row(f"{what}: time", timer)


def write_some(url: str, number: int, count: int) -> None:
    account = Account(number)
    with Database(url) as database:
        ledger = Ledger(database)
        for hour in range(count):
            at = START + timedelta(days=90, hours=hour)
            account.change(HOURLY)
            ledger.append(account.capture(SnapshotType.WORKFLOWS, at, "parallel"))


def parallel(table: Comparison, url: str, accounts: list[Account]) -> None:
    numbers = [int(account.tenant.tenant_id[-4:]) for account in accounts if account.locations < 20][:4]
    for writers in (1, len(numbers)):
        with ProcessPoolExecutor(writers) as pool:
            list(pool.map(write_some, [url] * writers, numbers[:writers], [1] * writers))
            start = time.perf_counter()
            list(pool.map(write_some, [url] * writers, numbers[:writers], [400] * writers))
            rate = writers * 400 / (time.perf_counter() - start)
        table.row(f"appends a second, {writers} process(es), generator incl.", f"{rate:,.0f}")


def reading(table: Comparison, url: str, connection: Connection, accounts: list[Account]) -> None:
    with Database(url) as database:
        for account in (min(accounts, key=lambda a: a.locations), max(accounts, key=lambda a: a.locations)):
            read(table, Ledger(database), connection, account)


def read(table: Comparison, ledger: Ledger, connection: Connection, account: Account) -> None:
    """Questions about one tenant's workflows, to both designs."""
    kind, as_of, place = SnapshotType.WORKFLOWS, START + timedelta(days=1), f"{account.locations} location(s)"
    tenant_id = account.tenant.tenant_id
    entity_id = account.capture(kind, START, "x").entities[0].entity_id or ""
    latest = ledger.latest(tenant_id, kind)
    if latest is None:
        raise RuntimeError("the week left no snapshot")

    def literal(columns: str, until: datetime) -> Callable[[], Any]:
        statement = (
            f"SELECT {columns} FROM literal WHERE tenant_id = %s AND snapshot_type = %s "  # noqa: S608 - literals
            "AND captured_at <= %s ORDER BY captured_at DESC LIMIT 1"
        )
        return lambda: connection.execute(statement, [tenant_id, kind.value, until]).fetchone()

    row, end = "snapshot_id, checksum, payload -> 'metadata'", START + timedelta(days=400)
    table.row(f"latest, {place}", timed(lambda: ledger.latest(tenant_id, kind)), timed(literal(row, end)))
    table.row(
        f"as of a moment, {place}",
        timed(lambda: ledger.latest(tenant_id, kind, as_of=as_of)),
        timed(literal(row, as_of)),
    )
    table.row(
        f"all {latest.record_count:,} bodies, {place}",
        timed(lambda: list(ledger.bodies(latest))),
        timed(literal("payload::text", end)),
    )
    table.row(f"its checksum verified, {place}", timed(lambda: ledger.verify_snapshot(latest)))
    view = "SELECT payload::text FROM ghl.ghl_snapshot WHERE snapshot_id = %s"
    table.row(
        f"the view's payload, {place}",
        timed(lambda: connection.execute(view, [latest.snapshot_id]).fetchone(), 5),
    )
    history = (
        "SELECT DISTINCT item FROM literal, jsonb_array_elements(payload -> 'data') AS item "
        "WHERE tenant_id = %s AND snapshot_type = %s AND item ->> 'id' = %s"
    )
    table.row(
        f"history of one entity, {place}",
        timed(lambda: ledger.entity_history(tenant_id, entity_id)),
        timed(lambda: connection.execute(history, [tenant_id, kind.value, entity_id]).fetchall(), 1),
    )


def verifying(table: Comparison, url: str) -> None:
    with Database(url) as database:
        for deep in (False, True):
            verification = Verification(database, deep=deep)
            start = time.perf_counter()
            if found := list(verification):
                raise RuntimeError(f"the ledger does not hold: {found[0]}")
            seconds, done = time.perf_counter() - start, verification.checked
            table.row(
                f"verification{', deep' if deep else ''}",
                f"{seconds:.1f} s, {done.snapshots / seconds:,.0f} rows/s",
            )
        start = time.perf_counter()
        with database.auditor() as connection:
            row: Any = connection.execute(
                "SELECT sum(octet_length(body)) AS bytes, bool_and(sha256(body) = digest) FROM ghl.entity"
            ).fetchone()
        table.row(
            "hashing all bodies in the server",
            f"{row['bytes'] / 1e6 / (time.perf_counter() - start):,.0f} MB/s",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenants", type=int, default=100)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--all-hourly", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder)) as server:
        url = server.url("benchmark")
        migrate(url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(LITERAL)
            title = f"{given.days} days{', all types hourly' if given.all_hourly else ''}"
            table = Comparison(title, "ledger", "literal design")
            accounts = [Account(number) for number in range(given.tenants)]
            ticks = list(moments(given.days, everything=given.all_hourly))
            week(table, url, connection, accounts, ticks)
            connection.execute("VACUUM ANALYZE")
            unchanged(table, url, connection, accounts)
            parallel(table, url, accounts)
            reading(table, url, connection, accounts)
            verifying(table, url)
            table.print()


if __name__ == "__main__":
    main()
