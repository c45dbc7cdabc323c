"""Filling the ledger and the literal design with the synthetic week, over two processes."""

import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import psycopg
from psycopg import Connection
from rich.progress import track

from benchmarks import literal_design
from benchmarks.synthetic_week import Account, Moment
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.tenants import TenantRegistry

PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Week:
    """What was stored: snapshots, and the bytes of the entities that they hold."""

    snapshots: int
    held_bytes: int


def fill(url: str, accounts: Sequence[Account], ticks: Sequence[Moment]) -> Week:
    """Store every capture of the week in both designs, the accounts shared out by their size.

    Sizes do not depend on how it is done, so that nobody waits for the disk here.
    """
    with Database(url) as database:
        TenantRegistry(database).import_all([account.tenant for account in accounts])
    by_size = sorted(accounts, key=lambda account: account.locations)
    shares = [[account.number for account in by_size[first::PROCESSES]] for first in range(PROCESSES)]
    with ProcessPoolExecutor(PROCESSES) as pool:
        parts = list(pool.map(_fill, [url] * PROCESSES, shares, [ticks] * PROCESSES, range(PROCESSES)))
    return Week(sum(part.snapshots for part in parts), sum(part.held_bytes for part in parts))


def _fill(url: str, numbers: Sequence[int], ticks: Sequence[Moment], place: int) -> Week:
    accounts, snapshots, held = [Account(number) for number in numbers], 0, 0
    careless = without_waiting(url)
    with Database(careless) as database, psycopg.connect(careless, autocommit=True) as connection:
        ledger = Ledger(database)
        for moment in track(ticks, description="hours of the week", disable=place > 0):
            for account in accounts:
                account.change()
                for kind in moment.types:
                    capture = account.capture(kind, moment.at, "hourly")
                    appended = ledger.append(capture)
                    literal_design.insert(connection, capture, appended.snapshot.snapshot_id)
                    snapshots += 1
                    held += sum(len(entity.body) for entity in capture.entities)
    return Week(snapshots, held)


def without_waiting(url: str) -> str:
    """The URL of the same database for sessions whose commits do not wait for the disk."""
    return f"{url}{'&' if '?' in url else '?'}options=-c%20synchronous_commit%3Doff"


def least_bytes(connection: Connection) -> int:
    """What the stored content comes to when nothing but what cannot be compressed away is counted.

    All bodies as one stream of zlib, each body's digest, each snapshot's trace ids, chain value and checksum:
    no row, index, moment or order of entities.
    """
    packer, packed = zlib.compressobj(), 0
    with connection.transaction(), connection.cursor(name="bodies") as cursor:
        cursor.itersize = 10_000
        for (body,) in cursor.execute("SELECT body FROM ghl.entity ORDER BY id", binary=True):
            packed += len(packer.compress(body))
    row = connection.execute(
        "SELECT (SELECT 32 * count(*) FROM ghl.entity), sum(64 + 16 * cardinality(trace_ids))::bigint "
        "FROM ghl.snapshot"
    ).fetchone()
    digests, snapshots = row or (0, 0)
    return packed + len(packer.flush()) + int(digests) + int(snapshots)
