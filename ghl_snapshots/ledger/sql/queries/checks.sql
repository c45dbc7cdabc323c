-- Questions whose every answer is a fault: one row for each tenant and snapshot type concerned, and what is
-- wrong in words. Set-based over all tenants; run as ghl_snapshots_auditor.

-- captured_recently -- enabled tenants without a snapshot within the window of its type
SELECT tenant.tenant_id, kind.snapshot_type,
    coalesce('last captured at ' || to_char(latest.captured_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'),
        'never captured') AS problem
FROM ghl.tenant
CROSS JOIN unnest(%(snapshot_types)s::text[], %(windows)s::interval[]) AS kind (snapshot_type, within)
LEFT JOIN LATERAL (
    SELECT captured_at FROM ghl.snapshot
    WHERE snapshot.tenant_id = tenant.tenant_id AND snapshot.snapshot_type = kind.snapshot_type
        AND status <> 'failed'
    ORDER BY captured_at DESC LIMIT 1
) AS latest ON true
WHERE tenant.enabled AND tenant.created_at < %(now)s - kind.within
    AND coalesce(latest.captured_at, '-infinity') < %(now)s - kind.within
ORDER BY 1, 2;

-- latest_complete -- enabled tenants whose latest capture is not a success
SELECT tenant.tenant_id, kind.snapshot_type,
    concat(
        latest.status, ' in snapshot ', latest.snapshot_id, ': ', cause ->> 'endpoint', ': ', cause ->> 'message',
        CASE WHEN provenance.errors > 1 THEN format(', and %%s more', provenance.errors - 1) END
    ) AS problem
FROM ghl.tenant
CROSS JOIN unnest(%(snapshot_types)s::text[]) AS kind (snapshot_type)
CROSS JOIN LATERAL (
    SELECT snapshot_id, status, provenance FROM ghl.snapshot
    WHERE snapshot.tenant_id = tenant.tenant_id AND snapshot.snapshot_type = kind.snapshot_type
    ORDER BY captured_at DESC, seq DESC LIMIT 1
) AS latest
JOIN ghl.provenance ON provenance.tenant_id = tenant.tenant_id AND provenance.digest = latest.provenance
CROSS JOIN LATERAL (SELECT ghl.closest_jsonb(provenance.body::text) -> 'errors' -> 0 AS cause) AS first
WHERE tenant.enabled AND latest.status <> 'success'
ORDER BY 1, 2;

-- counts_match -- snapshots whose record count is not the number of entities in their payload
SELECT snapshot.tenant_id, snapshot_type,
    'snapshot ' || snapshot_id || ' says ' || record_count || ' records and holds '
        || coalesce(cardinality(entity_ids), 0) AS problem
FROM ghl.snapshot
LEFT JOIN ghl.manifest ON manifest.tenant_id = snapshot.tenant_id AND manifest.digest = snapshot.checksum
WHERE snapshot_type = ANY(%(snapshot_types)s) AND record_count IS DISTINCT FROM cardinality(entity_ids)
ORDER BY 1, 2;

-- locations_belong -- entities of the latest snapshots that lie in a location which is not the tenant's
WITH latest AS (
    SELECT DISTINCT ON (tenant_id, snapshot_type) tenant_id, snapshot_type, checksum, snapshot_id
    FROM ghl.snapshot WHERE status <> 'failed'
    ORDER BY tenant_id, snapshot_type, captured_at DESC, seq DESC
),
own AS (
    SELECT tenant_id, ghl_account_id AS location_id FROM ghl.tenant WHERE account_kind = 'location'
    UNION
    SELECT latest.tenant_id, entity.entity_id
    FROM latest
    JOIN ghl.tenant ON tenant.tenant_id = latest.tenant_id AND account_kind = 'company'
    JOIN ghl.manifest ON manifest.tenant_id = latest.tenant_id AND manifest.digest = latest.checksum
    CROSS JOIN unnest(manifest.entity_ids) AS listed (id)
    JOIN ghl.entity ON entity.id = listed.id
    WHERE latest.snapshot_type = 'locations' AND entity.endpoint = '/locations/{locationId}'
        AND ghl.entity_jsonb(entity.body) ->> 'companyId' = tenant.ghl_account_id
),
held AS (
    SELECT latest.tenant_id, latest.snapshot_type, latest.snapshot_id, place.location_id
    FROM latest
    JOIN ghl.manifest ON manifest.tenant_id = latest.tenant_id AND manifest.digest = latest.checksum
    CROSS JOIN unnest(manifest.entity_ids) AS listed (id)
    JOIN ghl.entity ON entity.id = listed.id
    CROSS JOIN LATERAL (
        VALUES (entity.location_id), (ghl.entity_jsonb(entity.body) ->> 'locationId')
    ) AS place (location_id)
    WHERE latest.snapshot_type = ANY(%(snapshot_types)s) AND place.location_id IS NOT NULL
)
SELECT held.tenant_id, held.snapshot_type,
    'snapshot ' || held.snapshot_id || ' holds entities of foreign locations: '
        || string_agg(DISTINCT held.location_id, ', ') AS problem
FROM held
WHERE NOT EXISTS (
    SELECT FROM own WHERE own.tenant_id = held.tenant_id AND own.location_id = held.location_id
)
GROUP BY held.tenant_id, held.snapshot_type, held.snapshot_id
ORDER BY 1, 2;

-- no_silent_drift -- weekly captures that differ from the capture before, with no later one that agrees
SELECT weekly.tenant_id, weekly.snapshot_type,
    'snapshot ' || weekly.snapshot_id || ' of the weekly capture differs from ' || earlier.snapshot_id
        || ' before it, and no later one is like it' AS problem
FROM (
    SELECT DISTINCT ON (tenant_id, snapshot_type) * FROM ghl.snapshot
    WHERE correlation_id LIKE 'scheduled\_weekly\_%%' AND status = 'success'
        AND snapshot_type = ANY(%(snapshot_types)s)
    ORDER BY tenant_id, snapshot_type, captured_at DESC
) AS weekly
CROSS JOIN LATERAL (
    SELECT snapshot_id, checksum FROM ghl.snapshot
    WHERE snapshot.tenant_id = weekly.tenant_id AND snapshot.snapshot_type = weekly.snapshot_type
        AND status = 'success' AND captured_at < weekly.captured_at
    ORDER BY captured_at DESC LIMIT 1
) AS earlier
WHERE earlier.checksum <> weekly.checksum AND NOT EXISTS (
    SELECT FROM ghl.snapshot AS later
    WHERE later.tenant_id = weekly.tenant_id AND later.snapshot_type = weekly.snapshot_type
        AND later.captured_at > weekly.captured_at AND later.checksum = weekly.checksum
)
ORDER BY 1, 2;

-- no_collapse -- latest snapshots with less than a fifth of the records that were usual in the month before
SELECT latest.tenant_id, latest.snapshot_type,
    latest.record_count || ' records in snapshot ' || latest.snapshot_id || ' where ' || usual.records
        || ' were usual' AS problem
FROM (
    SELECT DISTINCT ON (tenant_id, snapshot_type) * FROM ghl.snapshot
    WHERE status = 'success' AND snapshot_type = ANY(%(snapshot_types)s)
    ORDER BY tenant_id, snapshot_type, captured_at DESC, seq DESC
) AS latest
CROSS JOIN LATERAL (
    SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY record_count) AS records FROM ghl.snapshot
    WHERE snapshot.tenant_id = latest.tenant_id AND snapshot.snapshot_type = latest.snapshot_type
        AND status = 'success' AND captured_at < latest.captured_at
        AND captured_at > latest.captured_at - interval '30 days'
) AS usual
WHERE usual.records >= 5 AND latest.record_count * 5 < usual.records
ORDER BY 1, 2;

-- schedules_kept -- enabled tenants with fewer scheduled captures in the week than the schedules called for
SELECT tenant.tenant_id, kind.snapshot_type,
    actual.captures || ' scheduled captures since ' || to_char(span.begins AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')
        || ', expected ' || due.expected AS problem
FROM ghl.tenant
CROSS JOIN unnest(%(snapshot_types)s::text[]) AS kind (snapshot_type)
CROSS JOIN LATERAL (SELECT greatest(tenant.created_at, %(now)s - %(week)s::interval) AS begins) AS span
CROSS JOIN LATERAL (
    SELECT count(*) AS expected
    FROM unnest(%(tick_types)s::text[], %(tick_times)s::timestamptz[]) AS tick (snapshot_type, due_at)
    WHERE tick.snapshot_type = kind.snapshot_type AND tick.due_at >= span.begins
) AS due
CROSS JOIN LATERAL (
    SELECT count(*) AS captures FROM ghl.snapshot
    WHERE snapshot.tenant_id = tenant.tenant_id AND snapshot.snapshot_type = kind.snapshot_type
        AND source = 'scheduled' AND captured_at >= span.begins
) AS actual
WHERE tenant.enabled AND actual.captures + 1 < due.expected * 0.9
ORDER BY 1, 2;
