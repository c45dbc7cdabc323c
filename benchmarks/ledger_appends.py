"""What appending costs in the ledger and in the literal design: bytes, milliseconds, appends a second."""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from functools import partial
from multiprocessing.synchronize import Barrier
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import Connection

from benchmarks import literal_design
from benchmarks.ledger_week import without_waiting
from benchmarks.measuring import Comparison, Timer, size
from benchmarks.synthetic_week import HOURLY, START, Account
from ghl_snapshots.core.model import Capture, SnapshotType
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger

LEDGER = ("entity", "manifest", "provenance", "snapshot")
KIND = SnapshotType.WORKFLOWS
APPENDS = 400
Store = Callable[[str, Sequence[Capture]], None]
_together: Barrier


def alike(account: Account, day: int, count: int) -> list[Capture]:
    """Captures an hour apart that all yield the same."""
    start = START + timedelta(days=day)
    return [account.capture(KIND, start + timedelta(hours=hour), f"day{day}") for hour in range(count)]


def unchanged(table: Comparison, database: Database, connection: Connection, account: Account) -> None:
    """What a capture costs that yields what the one before it did, commits waiting for the disk."""
    # A page of an index is 8 of the bytes of one of 1,000 appends.
    count = 1000 if account.locations < 20 else APPENDS
    first, *captures = alike(account, 30, count + 1)
    ledger, ours, literal = Ledger(database), Timer(), Timer()
    ledger.append(first)
    before = [size(connection, *tables) for tables in (LEDGER, ("audit_event",), ("literal",))]
    for capture in captures:
        with ours():
            ledger.append(capture)
        with literal():
            literal_design.insert(connection, capture, str(uuid4()))
    after = [size(connection, *tables) for tables in (LEDGER, ("audit_event",), ("literal",))]
    snapshot, audit, row = ((now - then) / count for now, then in zip(after, before, strict=True))
    what = f"unchanged capture, {account.locations} location(s)"
    table.row(f"{what}: bytes", f"{snapshot:,.0f} + audit {audit:,.0f}", f"{row:,.0f}")
    table.row(f"{what}: time", ours, literal)


def database_time(table: Comparison, url: str, account: Account) -> None:
    """The server's own time for an unchanged capture."""
    captures = alike(account, 80, APPENDS + 1)
    ours = _active_ms(url, append, captures)
    literal = _active_ms(url, insert, captures)
    what = f"unchanged capture, {account.locations} location(s): database time"
    table.row(what, f"{ours:.2f} ms", f"{literal:.2f} ms")


def append(url: str, captures: Sequence[Capture]) -> None:
    """Append them to the ledger, one by one."""
    with Database(url) as database:
        ledger = Ledger(database)
        for capture in captures:
            ledger.append(capture)


def insert(url: str, captures: Sequence[Capture]) -> None:
    """The same with the literal design."""
    with psycopg.connect(url, autocommit=True) as connection:
        for capture in captures:
            literal_design.insert(connection, capture, str(uuid4()))


def _active_ms(url: str, store: Store, captures: Sequence[Capture]) -> float:
    """Milliseconds of an append after the first in which the server's session was not idle."""
    store(without_waiting(url), captures[:1])
    before = _settled_active_ms(url)
    store(without_waiting(url), captures[1:])
    return (_settled_active_ms(url) - before) / (len(captures) - 1)


def _settled_active_ms(url: str) -> float:
    """What sessions that are over have spent; a session reports when it ends."""
    with psycopg.connect(url, autocommit=True) as connection:
        mine = connection.info.backend_pid
        others = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s "
            "AND xact_start IS NOT NULL"
        )
        while connection.execute(others, [mine]).fetchone() != (0,):
            time.sleep(0.05)
        time.sleep(1)
        row: Any = connection.execute(
            "SELECT active_time FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
        return float(row[0])


def parallel(table: Comparison, url: str, accounts: Sequence[Account]) -> None:
    """Appends a second by processes that begin together, each with a changing account of its own."""
    numbers = [account.number for account in accounts if account.locations < 20][:4]
    for writers in (1, len(numbers)):
        rates = []
        for store in (append, insert):
            with ProcessPoolExecutor(
                writers, initializer=_meet, initargs=(multiprocessing.Barrier(writers),)
            ) as pool:
                spans = list(pool.map(partial(_write, url, store, f"writers{writers}"), numbers[:writers]))
            seconds = max(end for _, end in spans) - min(start for start, _ in spans)
            rates.append(f"{writers * APPENDS / seconds:,.0f}")
        table.row(f"appends a second, {writers} writer(s)", *rates)


def _meet(barrier: Barrier) -> None:
    """The way to hand a barrier to a pool's processes."""
    global _together
    _together = barrier


def _write(url: str, store: Store, trigger: str, number: int) -> tuple[float, float]:
    """When the process began and ended."""
    account, captures = Account(number), []
    for hour in range(APPENDS + 1):
        account.change(HOURLY)
        captures.append(account.capture(KIND, START + timedelta(days=120, hours=hour), trigger))
    store(url, captures[:1])
    _together.wait()
    start = time.monotonic()
    store(url, captures[1:])
    return start, time.monotonic()
