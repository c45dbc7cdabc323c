"""Databases as earlier versions of the schema left them, with data in every table of theirs.

The rows are written in SQL, since the code that wrote them then is not here any more. A migration that makes
a table, or changes what is written to one, gets an entry in `ADDED`.
"""

from collections.abc import Mapping
from importlib.resources import files

import psycopg

from ghl_snapshots.ledger.migrate import create_database
from ghl_snapshots.ledger.queries import sql_text

MIGRATIONS = sorted(
    file.name.removesuffix(".sql")
    for file in files("ghl_snapshots.ledger").joinpath("sql", "migrations").iterdir()
)
BODIES = (b'{"id":"a","v":1}', b'{"id":"b","v":1.10}')

_SNAPSHOTS = """
INSERT INTO tenant (tenant_id, ghl_account_id, account_kind, credential)
VALUES (:tenant, 'account-' || :tenant, 'location', 'env:TOKEN');
INSERT INTO oauth_token (tenant_id, refresh_token) VALUES (:tenant, 'encrypted');
INSERT INTO entity (tenant_id, digest, endpoint, location_id, entity_id, body)
SELECT :tenant, sha256(convert_to(body, 'UTF8')), '/workflows/', 'location-1',
    body::json ->> 'id', convert_to(body, 'UTF8')
FROM unnest(ARRAY['{"id":"a","v":1}', '{"id":"b","v":1.10}']) AS given (body);
INSERT INTO manifest (tenant_id, digest, entity_ids)
SELECT :tenant, sha256(string_agg(digest, ''::bytea ORDER BY id)), array_agg(id ORDER BY id)
FROM entity WHERE tenant_id = :tenant;
INSERT INTO manifest (tenant_id, digest, entity_ids) VALUES (:tenant, sha256(''), '{}');
INSERT INTO provenance (tenant_id, digest, body)
SELECT :tenant, sha256(convert_to(body, 'UTF8')), body::json FROM (VALUES
    ('{"apiCalls":[{"count":1,"endpoint":"/workflows/","status":200}],"errors":[],"ghlApiVersion":"2021-07-28",'
     '"hasMore":false,"nextCursor":null,"requests":[{"apiVersion":"2021-07-28","attempts":1,"endpoint":'
     '"/workflows/","items":{"count":2,"offset":0},"locationId":"location-1","parentId":null,"status":200}],'
     '"totalCount":2}'),
    ('{"apiCalls":[],"errors":[{"attempts":1,"cursor":null,"endpoint":"/workflows/","kind":"not_found",'
     '"locationId":null,"message":"gone","parentId":null,"status":404}],"ghlApiVersion":"2021-07-28",'
     '"hasMore":true,"nextCursor":null,"requests":[],"totalCount":0}')
) AS given (body);
INSERT INTO snapshot (
    captured_at, record_count, duration_ms, api_calls, snapshot_id, tenant_id, ghl_account_id, snapshot_type,
    status, checksum, provenance, sent_after_us, took_ms, trace_ids, source, correlation_id
)
SELECT '2026-03-03 12:00Z', record_count, 250, 1, gen_random_uuid(), :tenant, 'account-' || :tenant,
    'workflows', status, sha256(payload), provenance.digest, sent, took, traces, 'scheduled', correlation_id
FROM (VALUES
    ('old-1', 'success', 2, '{3000}'::bigint[], '{40}'::integer[], ARRAY[gen_random_uuid()]),
    ('old-2', 'success', 2, '{7}', '{NULL}', ARRAY[NULL::uuid]),
    ('old-3', 'failed', 0, '{}', '{}', '{}')
) AS given (correlation_id, status, record_count, sent, took, traces)
JOIN provenance ON provenance.tenant_id = :tenant AND records = record_count
CROSS JOIN LATERAL (
    SELECT coalesce(string_agg(digest, ''::bytea ORDER BY id), '') AS payload
    FROM entity WHERE tenant_id = :tenant AND record_count > 0
) AS content
ORDER BY correlation_id;
INSERT INTO audit_event (
    event_id, event_type, tenant_id, ghl_account_id, correlation_id, occurred_at, success, source, details
)
SELECT gen_random_uuid(), 'ghl_snapshot_capture', tenant_id, ghl_account_id, correlation_id, created_at,
    status = 'success', source, jsonb_build_object('snapshotId', snapshot_id)
FROM snapshot WHERE tenant_id = :tenant;
"""
_API = """
INSERT INTO api_key (key_id, secret_hash, role)
VALUES ('key0' || left(:tenant, 4), sha256(:tenant::bytea), 'read');
INSERT INTO api_key_tenant (key_id, tenant_id) VALUES ('key0' || left(:tenant, 4), :tenant);
INSERT INTO snapshot_request (
    request_id, tenant_id, ghl_account_id, snapshot_types, priority, estimated_seconds
)
VALUES (
    'manual_snapshot_1772539200000_' || :tenant || '00', :tenant,
    'account-' || :tenant, '{workflows}', 'high', 60
);
SET LOCAL ROLE ghl_snapshots_auditor;
SELECT fold_captures(:tenant);
SET LOCAL ROLE ghl_snapshots_writer;
"""
_SHARED_LIMITS = """
INSERT INTO location_token (tenant_id, location_id, token, expires_at)
VALUES (:tenant, 'location-1', 'encrypted', '2026-03-03 12:00Z');
SELECT claim_slot('location-1', 10, '1 s', '1 s');
"""
_DAILY_QUOTA = """
SELECT note_quota('location-1', '2026-03-03', 1000);
"""
ADDED: Mapping[str, str] = {
    "0001_ledger": _SNAPSHOTS,
    "0002_api": _API,
    "0003_shared_limits": _SHARED_LIMITS,
    "0004_daily_quota": _DAILY_QUOTA,
}
"""What is written for each tenant once the database is at a version; `:tenant` is the tenant's id."""


def earlier_database(url: str, version: int, tenant_ids: tuple[str, ...]) -> None:
    """Make the database as it was when its newest migration was this one, having come up from the first."""
    create_database(url)
    with psycopg.connect(url) as connection:
        connection.execute(sql_text("roles.sql"))
        for number, name in enumerate(MIGRATIONS[:version], start=1):
            connection.execute("SET LOCAL ROLE ghl_snapshots_owner")
            connection.execute(sql_text(f"migrations/{name}.sql"))
            connection.execute("INSERT INTO ghl.schema_version (version) VALUES (%s)", [number])
            connection.execute("SET LOCAL ROLE ghl_snapshots_writer")
            for tenant_id in tenant_ids:
                connection.execute("SELECT set_config('app.tenant_id', %s, true)", [tenant_id])
                connection.execute(ADDED.get(name, "").replace(":tenant", f"'{tenant_id}'"))
