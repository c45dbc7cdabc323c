-- Named queries, each a line `-- name -- what it does` and the statement; ledger/queries.py reads them.

-- set_tenant -- bind this transaction to one tenant for row security
SELECT set_config('app.tenant_id', %(tenant_id)s, true);

-- applied_migrations -- the migrations that were applied, in order
SELECT version, digest FROM ghl.schema_version ORDER BY version;

-- add_applied_migration -- remember that a migration was applied
INSERT INTO ghl.schema_version (version, digest) VALUES (%(version)s, %(digest)s);

-- snapshot_of_trigger -- the snapshot that a trigger has already led to
SELECT * FROM ghl.snapshot_record
WHERE correlation_id = %(correlation_id)s AND tenant_id = %(tenant_id)s AND snapshot_type = %(snapshot_type)s;

-- chain_holders -- the sessions that keep others from the end of a chain; NULL is what the server hides of another login's
SELECT pid, usename, application_name, client_addr::text, state
FROM pg_locks
JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32) | objid::bigint
        = hashtextextended(%(tenant_id)s || ' ' || %(snapshot_type)s, 4711)
ORDER BY pid;

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
    checksum, provenance, sent_after_us, took_ms, trace_ids, duration_ms, api_calls, source, correlation_id
) VALUES (
    %(snapshot_id)s, %(tenant_id)s, %(ghl_account_id)s, %(snapshot_type)s, %(captured_at)s, %(version)s,
    %(status)s, %(record_count)s, %(checksum)s, %(provenance)s, %(sent_after_us)s, %(took_ms)s::integer[],
    %(trace_ids)s::uuid[], %(duration_ms)s, %(api_calls)s, %(source)s, %(correlation_id)s
)
ON CONFLICT (correlation_id, tenant_id, snapshot_type) DO NOTHING;

-- add_audit_event -- append to the audit trail
INSERT INTO ghl.audit_event (
    event_id, event_type, tenant_id, ghl_account_id, correlation_id, occurred_at, success, source, details
) VALUES (
    %(event_id)s::uuid, %(event_type)s, %(tenant_id)s, %(ghl_account_id)s, %(correlation_id)s,
    coalesce(%(occurred_at)s, clock_timestamp()), %(success)s, %(source)s, %(details)s
);

-- add_full_run_event -- append the event of a tenant's run, unless its trigger has one of that tenant already
-- No index is named: that would need the right to read the row, and an event of no tenant is not readable.
INSERT INTO ghl.audit_event (
    event_id, event_type, tenant_id, ghl_account_id, correlation_id, occurred_at, success, source, details
) VALUES (
    %(event_id)s::uuid, %(event_type)s, %(tenant_id)s, %(ghl_account_id)s, %(correlation_id)s,
    coalesce(%(occurred_at)s, clock_timestamp()), %(success)s, %(source)s, %(details)s
)
ON CONFLICT DO NOTHING;

-- audit_events -- the newest events that match everything that is given
SELECT event_type, tenant_id, ghl_account_id, correlation_id, occurred_at, success, source, details
FROM ghl.audit_event
WHERE (%(tenant_id)s::text IS NULL OR tenant_id = %(tenant_id)s)
    AND (%(correlation_id)s::text IS NULL OR correlation_id = %(correlation_id)s)
    AND (%(event_type)s::text IS NULL OR event_type = %(event_type)s)
    AND (%(since)s::timestamptz IS NULL OR occurred_at >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR occurred_at < %(until)s)
ORDER BY occurred_at DESC, event_id DESC LIMIT %(limit)s;

-- snapshot -- one snapshot by its id
SELECT * FROM ghl.snapshot_record WHERE snapshot_id = %(snapshot_id)s;

-- latest_snapshot -- the newest snapshot of a type captured at or before a moment; failed ones are passed over
SELECT * FROM ghl.snapshot_record
WHERE tenant_id = %(tenant_id)s AND snapshot_type = %(snapshot_type)s AND status <> 'failed'
    AND captured_at <= %(as_of)s::timestamptz
ORDER BY captured_at DESC, seq DESC LIMIT 1;

-- snapshots_of_trigger -- everything that one trigger led to
SELECT * FROM ghl.snapshot_record WHERE correlation_id = %(correlation_id)s ORDER BY tenant_id, snapshot_type;

-- stored_for_trigger -- the snapshots of one type that a trigger has led to for some tenants
SELECT * FROM ghl.snapshot_record
WHERE correlation_id = %(correlation_id)s AND snapshot_type = %(snapshot_type)s
    AND tenant_id = ANY(%(tenant_ids)s);

-- snapshots_of_tenant -- a tenant's snapshots of some types in a span of time, the newest first
SELECT * FROM ghl.snapshot_record
WHERE tenant_id = %(tenant_id)s AND snapshot_type = ANY(%(snapshot_types)s)
    AND captured_at >= %(since)s::timestamptz AND captured_at < %(until)s::timestamptz
ORDER BY captured_at DESC, seq DESC, snapshot_type LIMIT %(limit)s;

-- snapshots_of_account -- the newest snapshots of a GHL account, whichever tenant it belongs or belonged to
WITH holder AS MATERIALIZED (
    SELECT tenant_id FROM ghl.tenant
    WHERE EXISTS (
        SELECT FROM ghl.snapshot
        WHERE snapshot.tenant_id = tenant.tenant_id AND snapshot.ghl_account_id = %(ghl_account_id)s
    )
),
newest AS MATERIALIZED (
    SELECT found.*
    FROM holder
    CROSS JOIN ghl.snapshot_type AS type
    CROSS JOIN LATERAL (
        SELECT snapshot_id, captured_at, seq FROM ghl.snapshot
        WHERE snapshot.tenant_id = holder.tenant_id AND snapshot.snapshot_type = type.snapshot_type
            AND snapshot.ghl_account_id = %(ghl_account_id)s
        ORDER BY captured_at DESC LIMIT %(limit)s
    ) AS found
    ORDER BY captured_at DESC, seq DESC LIMIT %(limit)s
)
SELECT snapshot_record.* FROM newest JOIN ghl.snapshot_record USING (snapshot_id)
ORDER BY newest.captured_at DESC, newest.seq DESC;

-- entity_history -- every version of an entity, with the first and the last snapshot that saw it
WITH version AS MATERIALIZED (
    SELECT id FROM ghl.entity WHERE tenant_id = %(tenant_id)s AND entity_id = %(entity_id)s
),
holding AS MATERIALIZED (
    SELECT DISTINCT manifest.digest, listed.id
    FROM ghl.manifest
    CROSS JOIN unnest(manifest.entity_ids) AS listed (id)
    WHERE manifest.tenant_id = %(tenant_id)s
        AND manifest.entity_ids && (SELECT coalesce(array_agg(id), '{}') FROM version)
        AND listed.id IN (SELECT id FROM version)
),
sighted AS MATERIALIZED (
    SELECT holding.id, count(*) AS snapshots, min(captured_at) AS first_captured_at,
        max(captured_at) AS last_captured_at
    FROM ghl.snapshot
    JOIN holding ON holding.digest = snapshot.checksum
    WHERE snapshot.tenant_id = %(tenant_id)s AND snapshot_type = ANY(%(snapshot_types)s)
    GROUP BY holding.id
)
SELECT encode(entity.digest, 'hex') AS digest, entity.body, entity.endpoint, entity.location_id,
    sighted.snapshots, first_captured_at, last_captured_at, (
        SELECT snapshot_id FROM ghl.snapshot
        WHERE tenant_id = %(tenant_id)s AND snapshot_type = ANY(%(snapshot_types)s)
            AND captured_at = first_captured_at
            AND checksum IN (SELECT holding.digest FROM holding WHERE holding.id = sighted.id)
        ORDER BY seq LIMIT 1
    ) AS first_snapshot_id, (
        SELECT snapshot_id FROM ghl.snapshot
        WHERE tenant_id = %(tenant_id)s AND snapshot_type = ANY(%(snapshot_types)s)
            AND captured_at = last_captured_at
            AND checksum IN (SELECT holding.digest FROM holding WHERE holding.id = sighted.id)
        ORDER BY seq DESC LIMIT 1
    ) AS last_snapshot_id
FROM sighted
JOIN ghl.entity USING (id)
ORDER BY first_captured_at, entity.id;

-- bodies -- the exact bytes of a payload's entities in order
SELECT entity.body
FROM ghl.manifest
CROSS JOIN unnest(manifest.entity_ids) WITH ORDINALITY AS listed (id, position)
JOIN ghl.entity ON entity.id = listed.id
WHERE manifest.tenant_id = %(tenant_id)s AND manifest.digest = %(digest)s
ORDER BY listed.position;

-- actual_checksum -- a payload's checksum recomputed from its entities' bytes
SELECT count(*) AS entities,
    sha256(coalesce(string_agg(sha256(entity.body), ''::bytea ORDER BY listed.position), ''::bytea)) AS digest
FROM ghl.manifest
CROSS JOIN unnest(manifest.entity_ids) WITH ORDINALITY AS listed (id, position)
JOIN ghl.entity ON entity.id = listed.id
WHERE manifest.tenant_id = %(tenant_id)s AND manifest.digest = %(digest)s;

-- tenants -- every tenant of the registry
SELECT tenant_id, ghl_account_id, account_kind, credential, enabled, overrides FROM ghl.tenant ORDER BY tenant_id;

-- tenant -- one tenant
SELECT tenant_id, ghl_account_id, account_kind, credential, enabled, overrides FROM ghl.tenant
WHERE tenant_id = %(tenant_id)s;

-- tenant_to_change -- one tenant, which no other transaction may change before this one is over
SELECT tenant_id, ghl_account_id, account_kind, credential, enabled, overrides FROM ghl.tenant
WHERE tenant_id = %(tenant_id)s FOR NO KEY UPDATE;

-- never_captured -- the enabled tenants of whom there is no snapshot yet, not even a failed one
SELECT tenant_id FROM ghl.tenant
WHERE enabled AND NOT EXISTS (SELECT FROM ghl.snapshot WHERE snapshot.tenant_id = tenant.tenant_id);

-- add_tenant -- add a tenant; nothing comes back if its id is taken
INSERT INTO ghl.tenant (tenant_id, ghl_account_id, account_kind, credential, enabled, overrides)
VALUES (%(tenant_id)s, %(ghl_account_id)s, %(account_kind)s, %(credential)s, %(enabled)s, %(overrides)s)
ON CONFLICT (tenant_id) DO NOTHING
RETURNING tenant_id;

-- change_tenant -- change a tenant; nothing comes back if there is none or nothing to change
UPDATE ghl.tenant
SET ghl_account_id = %(ghl_account_id)s, account_kind = %(account_kind)s, credential = %(credential)s,
    enabled = %(enabled)s, overrides = %(overrides)s, updated_at = clock_timestamp()
WHERE tenant_id = %(tenant_id)s AND (ghl_account_id, account_kind, credential, enabled, overrides)
    IS DISTINCT FROM (%(ghl_account_id)s, %(account_kind)s, %(credential)s, %(enabled)s, %(overrides)s::jsonb)
RETURNING tenant_id;

-- lock_tokens -- let one process at a time refresh a tenant's tokens, until its transaction ends
SELECT pg_advisory_xact_lock(hashtextextended(%(tenant_id)s, 4712));

-- tokens -- a tenant's encrypted OAuth tokens
SELECT refresh_token, access_token, access_expires_at FROM ghl.oauth_token WHERE tenant_id = %(tenant_id)s;

-- store_tokens -- replace a tenant's encrypted OAuth tokens
INSERT INTO ghl.oauth_token (tenant_id, refresh_token, access_token, access_expires_at)
VALUES (%(tenant_id)s, %(refresh_token)s, %(access_token)s, %(access_expires_at)s)
ON CONFLICT (tenant_id) DO UPDATE
SET refresh_token = EXCLUDED.refresh_token, access_token = EXCLUDED.access_token,
    access_expires_at = EXCLUDED.access_expires_at, updated_at = clock_timestamp();

-- expiring_tokens -- enabled tenants whose access token expires soon and whose refresh did not fail lately
SELECT tenant_id FROM ghl.tenant JOIN ghl.oauth_token USING (tenant_id)
WHERE enabled AND credential = 'oauth'
    AND (access_expires_at IS NULL OR access_expires_at < clock_timestamp() + %(within)s)
    AND NOT EXISTS (
        SELECT FROM ghl.audit_event AS failed
        WHERE failed.tenant_id = tenant.tenant_id AND failed.occurred_at > clock_timestamp() - interval '1 hour'
            AND failed.event_type = 'ghl_snapshot_credential_refreshed' AND NOT failed.success
    )
ORDER BY access_expires_at NULLS FIRST, tenant_id
LIMIT %(limit)s;

-- location_tokens -- the encrypted tokens of a tenant's locations, those that are known left out
SELECT location_id, token, expires_at FROM ghl.location_token
WHERE tenant_id = %(tenant_id)s AND expires_at > clock_timestamp() AND location_id <> ALL (%(known)s::text[]);

-- store_location_tokens -- store locations' encrypted tokens in the place of older ones
INSERT INTO ghl.location_token (tenant_id, location_id, token, expires_at)
SELECT %(tenant_id)s, location_id, token, expires_at
FROM unnest(%(location_ids)s::text[], %(tokens)s::bytea[], %(expiries)s::timestamptz[])
    AS each (location_id, token, expires_at)
ON CONFLICT (tenant_id, location_id) DO UPDATE SET token = EXCLUDED.token, expires_at = EXCLUDED.expires_at;

-- expire_location_tokens -- let a tenant's location tokens be asked for anew
UPDATE ghl.location_token SET expires_at = 'epoch' WHERE tenant_id = %(tenant_id)s;

-- note_quotas -- remember what GHL says is left of days' quotas
SELECT ghl.note_quota(resource_id, day, remaining, daily)
FROM unnest(%(resource_ids)s::text[], %(days)s::date[], %(remaining)s::integer[], %(daily)s::integer[])
    AS each (resource_id, day, remaining, daily);

-- known_quotas -- what was noted today of the quotas of locations and companies, and the server's time
SELECT clock_timestamp() AS now, resource_id, today AS day, remaining, daily
FROM (SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date AS today) AS server
CROSS JOIN unnest(%(resource_ids)s::text[]) AS asked (resource_id)
LEFT JOIN LATERAL ghl.known_quota(resource_id, today) ON true;

-- try_session_lock -- take a lock for as long as the session lasts, if nobody holds it
SELECT pg_try_advisory_lock(hashtextextended(%(name)s, 4713)) AS done;

-- set_lock_timeout -- wait no longer than this for a lock in this transaction
SELECT set_config('lock_timeout', %(milliseconds)s, true);

-- session_lock -- take a lock for as long as the session lasts, when its holder has freed it
SELECT pg_advisory_lock(hashtextextended(%(name)s, 4713));

-- session_unlock -- free a lock of this session
SELECT pg_advisory_unlock(hashtextextended(%(name)s, 4713)) AS done;

-- unheld_locks -- those of the locks that no session holds
SELECT name FROM unnest(%(names)s::text[]) AS asked (name)
WHERE NOT EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
        AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (classid::bigint << 32) | objid::bigint = hashtextextended(name, 4713)
);

-- totals_of_trigger -- what a trigger led to, for those of the tenants of whom no event of this type tells it yet
SELECT asked.tenant_id, tenant.ghl_account_id, stored.*
FROM unnest(%(tenant_ids)s::text[]) AS asked (tenant_id)
LEFT JOIN ghl.tenant ON tenant.tenant_id = asked.tenant_id
CROSS JOIN LATERAL (
    SELECT count(*) AS snapshots, count(*) FILTER (WHERE status = 'success') AS successful,
        coalesce(sum(record_count), 0) AS records, coalesce(sum(duration_ms), 0) AS duration_ms
    FROM ghl.snapshot
    WHERE snapshot.correlation_id = %(correlation_id)s AND snapshot.tenant_id = asked.tenant_id
) AS stored
WHERE NOT EXISTS (
    SELECT FROM ghl.audit_event AS told
    WHERE told.correlation_id = %(correlation_id)s AND told.tenant_id = asked.tenant_id
        AND told.event_type = %(event_type)s
)
ORDER BY 1;
