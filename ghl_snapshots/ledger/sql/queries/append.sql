-- What appending a capture asks and adds.

-- snapshot_of_trigger -- the snapshot that a trigger has already led to
SELECT * FROM ghl.snapshot_record
WHERE correlation_id = %(correlation_id)s AND tenant_id = %(tenant_id)s AND snapshot_type = %(snapshot_type)s;

-- existing_entities -- ids of the entities of these digests that the tenant already has
SELECT digest, id FROM ghl.entity WHERE tenant_id = %(tenant_id)s AND digest = ANY(%(digests)b::bytea[]);

-- add_entities -- add entities in bulk (as binary arrays, whose texts need no escaping); one that another writer adds at the same moment is left out
INSERT INTO ghl.entity (tenant_id, digest, endpoint, location_id, entity_id, body)
SELECT %(tenant_id)s, digest, endpoint, location_id, entity_id, body
FROM unnest(
    %(digests)b::bytea[], %(endpoints)b::text[], %(location_ids)b::text[], %(entity_ids)b::text[],
    %(bodies)b::bytea[]
) AS new (digest, endpoint, location_id, entity_id, body)
ON CONFLICT (tenant_id, digest) DO NOTHING
RETURNING digest, id, octet_length(body) AS size;

-- manifest_exists -- a row if the tenant has had this very payload before
SELECT FROM ghl.manifest WHERE tenant_id = %(tenant_id)s AND digest = %(digest)s;

-- add_manifest -- add the ordered entities of a payload
INSERT INTO ghl.manifest (tenant_id, digest, entity_ids)
VALUES (%(tenant_id)s, %(digest)s, %(entity_ids)s::bigint[])
ON CONFLICT (tenant_id, digest) DO NOTHING;

-- add_provenance -- add the part of a payload's metadata that captures share, unless it is there
INSERT INTO ghl.provenance (tenant_id, digest, body)
SELECT %(tenant_id)s, %(digest)s, %(body)s
WHERE NOT EXISTS (SELECT FROM ghl.provenance WHERE tenant_id = %(tenant_id)s AND digest = %(digest)s)
ON CONFLICT (tenant_id, digest) DO NOTHING;

-- add_snapshot -- append a snapshot, unless its trigger has led to one meanwhile
INSERT INTO ghl.snapshot (
    snapshot_id, tenant_id, ghl_account_id, snapshot_type, captured_at, version, status, record_count,
    checksum, provenance, sent_after_us, took_ms, trace_ids, duration_ms, api_calls, new_bytes, source, correlation_id
) VALUES (
    %(snapshot_id)s, %(tenant_id)s, %(ghl_account_id)s, %(snapshot_type)s, %(captured_at)s, %(version)s,
    %(status)s, %(record_count)s, %(checksum)s, %(provenance)s, %(sent_after_us)s, %(took_ms)s::integer[],
    %(trace_ids)s::uuid[], %(duration_ms)s, %(api_calls)s, %(new_bytes)s, %(source)s, %(correlation_id)s
)
ON CONFLICT (correlation_id, tenant_id, snapshot_type) DO NOTHING;

-- chain_holders -- the sessions that keep others from the end of a chain; NULL is what the server hides of another login's
SELECT pid, usename, application_name, client_addr::text, state
FROM pg_locks
JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32) | objid::bigint
        = hashtextextended(%(tenant_id)s || ' ' || %(snapshot_type)s, 4711)
ORDER BY pid;
