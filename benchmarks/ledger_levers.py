"""What would make the ledger smaller, and by how much: each change tried on copies of the week's rows.

python -m benchmarks.ledger_levers [--tenants 10] [--days 7] [--all-hourly] [--markdown]
"""

import argparse
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg import Connection

from benchmarks import literal_design
from benchmarks.ledger_week import fill, least_bytes
from benchmarks.measuring import Comparison, size
from benchmarks.synthetic_week import Account, moments
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.local.postgres import EmbeddedPostgres

TABLES = ("entity", "manifest", "provenance", "snapshot", "audit_event")
PACK = 64
# The share of positions at which a payload may differ from the one that its manifest refers to.
MOST_CHANGED = 1 / 5
COPIES = {
    "entities without endpoint, location and first sighting": (
        "entity",
        """
        CREATE TABLE public.copy AS SELECT id, tenant_id, digest, entity_id, body FROM ghl.entity ORDER BY id;
        ALTER TABLE public.copy ADD PRIMARY KEY (id), ADD UNIQUE (tenant_id, digest);
        CREATE INDEX ON public.copy (tenant_id, entity_id) WHERE entity_id IS NOT NULL;
        """,
    ),
    "manifests of 4 instead of 8 bytes an entity": (
        "manifest",
        """
        CREATE TABLE public.copy AS SELECT tenant_id, digest, entity_ids::integer[] FROM ghl.manifest;
        ALTER TABLE public.copy ADD PRIMARY KEY (tenant_id, digest);
        """,
    ),
    "bodies in packs of 64 a row, compressed by PostgreSQL": (
        "entity",
        """
        CREATE TABLE public.copy AS
        SELECT tenant_id, min(id) AS id, string_agg(body, ''::bytea ORDER BY id) AS bodies
        FROM (
            SELECT *, row_number() OVER (PARTITION BY tenant_id ORDER BY id) / 64 AS pack FROM ghl.entity
        ) AS packed
        GROUP BY tenant_id, pack;
        CREATE TABLE public.place AS
        SELECT id, tenant_id, digest, endpoint, location_id, entity_id, first_seen, 0 AS start, 0 AS length
        FROM ghl.entity ORDER BY id;
        ALTER TABLE public.place ADD PRIMARY KEY (id), ADD UNIQUE (tenant_id, digest);
        CREATE INDEX ON public.place (tenant_id, entity_id) WHERE entity_id IS NOT NULL;
        """,
    ),
}
DELTAS = """
CREATE TABLE public.copy (
    tenant_id text, digest bytea, base bytea, places integer[], entity_ids bigint[],
    PRIMARY KEY (tenant_id, digest)
)
"""
PAYLOADS = """
SELECT used.tenant_id, snapshot_type, used.checksum, entity_ids
FROM (
    SELECT DISTINCT ON (tenant_id, checksum) tenant_id, snapshot_type, checksum, seq FROM ghl.snapshot
    ORDER BY tenant_id, checksum, seq
) AS used
JOIN ghl.manifest ON manifest.tenant_id = used.tenant_id AND digest = checksum
ORDER BY used.tenant_id, snapshot_type, seq
"""


def deltas(connection: Connection) -> None:
    """Manifests that list the changed positions of an earlier one, if these are few and it is as long."""
    connection.execute(DELTAS)
    bases: dict[tuple[str, str], tuple[bytes, list[int]]] = {}
    for tenant_id, kind, digest, ids in connection.execute(PAYLOADS).fetchall():
        base, old = bases.get((tenant_id, kind), (b"", []))
        row: tuple[bytes | None, list[int] | None, list[int]]
        changed = [place for place, id_ in enumerate(ids) if len(old) == len(ids) and id_ != old[place]]
        if len(old) == len(ids) and len(changed) <= MOST_CHANGED * len(ids):
            row = (base, changed, [ids[place] for place in changed])
        else:
            bases[tenant_id, kind] = digest, ids
            row = (None, None, ids)
        connection.execute("INSERT INTO public.copy VALUES (%s, %s, %s, %s, %s)", (tenant_id, digest, *row))


def savings(connection: Connection) -> Iterator[tuple[str, int]]:
    """Each change with the bytes that it would save."""
    for what, (table, statements) in COPIES.items():
        connection.execute(statements)
        yield what, size(connection, table) - size(connection, "public.copy", "public.place")
        connection.execute("DROP TABLE IF EXISTS public.copy, public.place")
    deltas(connection)
    yield (
        "manifests as changes of earlier ones",
        size(connection, "manifest") - size(connection, "public.copy"),
    )
    connection.execute("DROP TABLE public.copy")
    bodies = [
        bytes(row[0]) for row in connection.execute("SELECT body FROM ghl.entity ORDER BY tenant_id, id")
    ]
    packs = (b"".join(bodies[first : first + PACK]) for first in range(0, len(bodies), PACK))
    packed = sum(len(zlib.compress(pack)) for pack in packs)
    yield f"bodies in packs of {PACK}, compressed by zlib", sum(map(len, bodies)) - packed


def levers(table: Comparison, connection: Connection, snapshots: int) -> None:
    """A row for each change."""
    now, literal = size(connection, *TABLES), size(connection, "literal")

    def row(what: str, used: int) -> None:
        saved = f"{(now - used) / now:.0%}" if used != now else ""
        table.row(what, f"{used / snapshots:,.0f}", saved, f"{literal / used:.1f}" if literal else "")

    row("now", now)
    for what, saved in savings(connection):
        row(what, now - saved)
    row("the least: all bodies in one zlib stream, digests, trace ids", least_bytes(connection))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenants", type=int, default=10)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--all-hourly", action="store_true")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    given = parser.parse_args()
    headings = ("bytes a snapshot", "saved", "times smaller than literal")
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder)) as server:
        url = server.url("benchmark")
        migrate(url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(literal_design.SCHEMA)
            accounts = [Account(number) for number in range(given.tenants)]
            week = fill(url, accounts, list(moments(given.days, everything=given.all_hourly)))
            connection.execute("VACUUM ANALYZE")
            title = f"{week.snapshots:,} snapshots of {given.tenants} tenants"
            table = Comparison(title, *headings, markdown=given.markdown)
            levers(table, connection, week.snapshots)
            table.print()


if __name__ == "__main__":
    main()
