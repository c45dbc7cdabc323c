"""Recompute a chain of snapshots from nothing but the database's rows; no code of ghl_snapshots is used.

GHL_SNAPSHOTS_DATABASE_URL=postgresql://... python docs/recompute_chain.py acme workflows
The login must be a superuser or act as ghl_snapshots_auditor.
"""

# ruff: noqa: T201 - Printing is what this script is for.

import hashlib
import json
import os
import sys
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

IN_ORDER = """
SELECT snapshot.*, provenance.body::text AS provenance_text, ARRAY(
    SELECT entity.body FROM unnest(manifest.entity_ids) WITH ORDINALITY AS listed (id, position)
    JOIN ghl.entity ON entity.id = listed.id ORDER BY listed.position
) AS bodies
FROM ghl.snapshot
JOIN ghl.manifest ON manifest.tenant_id = snapshot.tenant_id AND manifest.digest = snapshot.checksum
JOIN ghl.provenance ON provenance.tenant_id = snapshot.tenant_id AND provenance.digest = snapshot.provenance
WHERE snapshot.tenant_id = %s AND snapshot.snapshot_type = %s ORDER BY seq
"""


def row_text(row: dict[str, Any]) -> str:
    """The row as the JSON array that its chain value covers."""
    return json.dumps(
        [
            row["snapshot_id"],
            row["tenant_id"],
            row["ghl_account_id"],
            row["snapshot_type"],
            moment(row["captured_at"]),
            row["version"],
            row["status"],
            row["record_count"],
            row["checksum"].hex(),
            row["provenance"].hex(),
            ",".join(str(microseconds) for microseconds in row["sent_after_us"]),
            ",".join(str(milliseconds) for milliseconds in row["took_ms"]),
            ",".join("" if trace_id is None else str(trace_id) for trace_id in row["trace_ids"]),
            row["duration_ms"],
            row["api_calls"],
            row["new_bytes"],
            moment(row["created_at"]),
            row["created_by"],
            row["source"],
            row["correlation_id"],
            row["seq"],
        ],
        ensure_ascii=False,
    )


def moment(value: datetime) -> str:
    """2026-03-03T02:00:00.000000Z."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def main(tenant_id: str, snapshot_type: str) -> int:
    """Print each row's verdict; 1 if one does not hold."""
    chain, seq, broken = b"", 0, 0
    with psycopg.connect(os.environ["GHL_SNAPSHOTS_DATABASE_URL"], row_factory=dict_row) as connection:
        for row in connection.execute(IN_ORDER, [tenant_id, snapshot_type]):
            digests = [hashlib.sha256(body).digest() for body in row["bodies"]]
            chain = hashlib.sha256(chain + hashlib.sha256(row_text(row).encode()).digest()).digest()
            seq += 1
            holds = {
                "number": row["seq"] == seq,
                "checksum": hashlib.sha256(b"".join(digests)).digest() == row["checksum"],
                "provenance": hashlib.sha256(row["provenance_text"].encode()).digest() == row["provenance"],
                "chain": chain == row["chain"],
            }
            wrong = [name for name, true in holds.items() if not true]
            broken += bool(wrong)
            print(f"{row['seq']:>6}  {row['snapshot_id']}  {chain.hex()[:16]}  {' '.join(wrong) or 'holds'}")
            chain, seq = row["chain"], row["seq"]
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:3]))
