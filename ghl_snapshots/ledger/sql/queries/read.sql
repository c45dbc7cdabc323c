-- Reading snapshots and their entities.

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

-- snapshots_page -- a tenant's snapshots of some types without their metadata, the newest first, after a position
SELECT recent.*
FROM unnest(%(snapshot_types)s::text[]) AS kind (name)
CROSS JOIN LATERAL (
    SELECT snapshot_id, tenant_id, ghl_account_id, snapshot_type, captured_at, version, status, record_count,
        encode(checksum, 'hex') AS checksum, '{}'::jsonb AS metadata, duration_ms, api_calls, created_at,
        created_by, source, correlation_id, seq, encode(chain, 'hex') AS chain
    FROM ghl.snapshot
    WHERE tenant_id = %(tenant_id)s AND snapshot_type = kind.name
        AND captured_at >= %(since)s::timestamptz AND captured_at < %(until)s::timestamptz
        AND captured_at <= %(before_moment)s::timestamptz
        AND (captured_at, snapshot_id) < (%(before_moment)s::timestamptz, %(before_id)s)
    ORDER BY captured_at DESC, snapshot_id DESC LIMIT %(limit)s
) AS recent
ORDER BY captured_at DESC, snapshot_id DESC LIMIT %(limit)s;

-- newest_snapshots -- the newest snapshots of one or all tenants, by type, status and time, without their metadata
SELECT recent.*
FROM ghl.tenant
CROSS JOIN unnest(%(snapshot_types)s::text[]) AS kind (name)
CROSS JOIN LATERAL (
    SELECT snapshot_id, tenant_id, ghl_account_id, snapshot_type, captured_at, version, status, record_count,
        encode(checksum, 'hex') AS checksum, '{}'::jsonb AS metadata, duration_ms, api_calls, created_at,
        created_by, source, correlation_id, seq, encode(chain, 'hex') AS chain
    FROM ghl.snapshot
    WHERE snapshot.tenant_id = tenant.tenant_id AND snapshot_type = kind.name AND status = ANY(%(statuses)s)
        AND captured_at >= %(since)s::timestamptz AND captured_at < %(until)s::timestamptz
    ORDER BY captured_at DESC LIMIT %(limit)s
) AS recent
WHERE %(tenant_id)s::text IS NULL OR tenant.tenant_id = %(tenant_id)s
ORDER BY captured_at DESC, snapshot_id DESC LIMIT %(limit)s;

-- snapshots_of_account -- the newest snapshots of a GHL account, whichever tenant it belongs or belonged to
WITH holder AS MATERIALIZED (
    SELECT tenant_id FROM ghl.tenant
    WHERE EXISTS (
        SELECT FROM ghl.snapshot
        WHERE snapshot.tenant_id = tenant.tenant_id AND snapshot.ghl_account_id = %(ghl_account_id)s
    )
),
newest AS MATERIALIZED (
    SELECT recent.*
    FROM holder
    CROSS JOIN ghl.snapshot_type AS type
    CROSS JOIN LATERAL (
        SELECT snapshot_id, captured_at, seq FROM ghl.snapshot
        WHERE snapshot.tenant_id = holder.tenant_id AND snapshot.snapshot_type = type.snapshot_type
            AND snapshot.ghl_account_id = %(ghl_account_id)s
        ORDER BY captured_at DESC LIMIT %(limit)s
    ) AS recent
    ORDER BY captured_at DESC, seq DESC LIMIT %(limit)s
)
SELECT snapshot_record.* FROM newest JOIN ghl.snapshot_record USING (snapshot_id)
ORDER BY newest.captured_at DESC, newest.seq DESC;

-- entity_history -- every version of an entity by the calls that brought it, with the first and the last snapshot
WITH version AS MATERIALIZED (
    SELECT id FROM ghl.entity WHERE tenant_id = %(tenant_id)s AND entity_id = %(entity_id)s
),
holding AS MATERIALIZED (
    SELECT manifest.digest AS checksum, listed.id, listed.position - 1 AS position
    FROM ghl.manifest
    CROSS JOIN unnest(manifest.entity_ids) WITH ORDINALITY AS listed (id, position)
    WHERE manifest.tenant_id = %(tenant_id)s
        AND manifest.entity_ids && (SELECT coalesce(array_agg(id), '{}') FROM version)
        AND listed.id IN (SELECT id FROM version)
),
sighting AS MATERIALIZED (
    SELECT checksum, provenance, count(*) AS snapshots,
        min(captured_at) AS first_captured_at, max(captured_at) AS last_captured_at,
        (array_agg(snapshot_id ORDER BY captured_at, seq))[1] AS first_snapshot_id,
        (array_agg(snapshot_id ORDER BY captured_at DESC, seq DESC))[1] AS last_snapshot_id
    FROM ghl.snapshot
    WHERE tenant_id = %(tenant_id)s AND snapshot_type = ANY(%(snapshot_types)s)
        AND checksum IN (SELECT checksum FROM holding)
    GROUP BY checksum, provenance
),
-- Most snapshots went like others, and have the entity at the same place: each place is looked up once.
origin AS MATERIALIZED (
    SELECT place.provenance, place.position, request ->> 'endpoint' AS endpoint,
        request ->> 'locationId' AS location_id, request ->> 'parentId' AS parent_id
    FROM (SELECT DISTINCT provenance, position FROM sighting JOIN holding USING (checksum)) AS place
    JOIN ghl.provenance ON provenance.tenant_id = %(tenant_id)s AND provenance.digest = place.provenance
    CROSS JOIN LATERAL json_array_elements(provenance.body -> 'requests') AS each (request)
    WHERE place.position >= (request -> 'items' ->> 'offset')::bigint AND place.position
        < (request -> 'items' ->> 'offset')::bigint + (request -> 'items' ->> 'count')::bigint
),
-- What a call brought twice in one snapshot was sighted once.
sighted AS (
    SELECT DISTINCT holding.id, endpoint, location_id, parent_id, sighting.*
    FROM sighting
    JOIN holding USING (checksum)
    JOIN origin USING (provenance, position)
    WHERE %(endpoint)s::text IS NULL OR endpoint = %(endpoint)s
)
SELECT encode(entity.digest, 'hex') AS digest, entity.body, sighted.endpoint, sighted.location_id, sighted.parent_id,
    sum(snapshots)::bigint AS snapshots,
    min(first_captured_at) AS first_captured_at, max(last_captured_at) AS last_captured_at,
    (array_agg(first_snapshot_id ORDER BY first_captured_at, first_snapshot_id))[1] AS first_snapshot_id,
    (array_agg(last_snapshot_id ORDER BY last_captured_at DESC, last_snapshot_id DESC))[1] AS last_snapshot_id
FROM sighted
JOIN ghl.entity USING (id)
GROUP BY entity.id, sighted.endpoint, sighted.location_id, sighted.parent_id
ORDER BY endpoint, location_id, parent_id, first_captured_at, entity.id;

-- entity_sizes -- a payload's entities in order, each with its size and whether the payload's JSON shows it
SELECT id, size, size <= ghl.shown_bytes(count(*) OVER (), sum(size) OVER ()) AS shown
FROM (
    SELECT entity.id, listed.position, octet_length(entity.body) AS size
    FROM ghl.manifest
    CROSS JOIN unnest(manifest.entity_ids) WITH ORDINALITY AS listed (id, position)
    JOIN ghl.entity ON entity.id = listed.id
    WHERE manifest.tenant_id = %(tenant_id)s AND manifest.digest = %(digest)s
) AS sized
ORDER BY position;

-- entity_sizes_of_endpoint -- a snapshot's entities of one endpoint in order, each with its size
SELECT manifest.entity_ids[(raw.position + 1)::integer] AS id, octet_length(raw.body) AS size, TRUE AS shown
FROM ghl.ghl_snapshot_raw AS raw
JOIN ghl.manifest ON manifest.tenant_id = raw.tenant_id AND manifest.digest = %(digest)s
WHERE raw.tenant_id = %(tenant_id)s AND raw.snapshot_id = %(snapshot_id)s AND raw.endpoint = %(endpoint)s
ORDER BY raw.position;

-- bodies -- the exact bytes of some entities in order, but of those to be left out what stands in their place
SELECT CASE WHEN listed.shown THEN entity.body ELSE convert_to(
    ghl.too_large(entity.entity_id, octet_length(entity.body), entity.digest, listed.position)::text, 'UTF8'
) END AS body
FROM unnest(%(ids)s::bigint[], %(positions)s::bigint[], %(shown)s::boolean[]) AS listed (id, position, shown)
JOIN ghl.entity ON entity.id = listed.id
ORDER BY listed.position;

-- entities -- a snapshot's entities in order, with the endpoint, location and id of this very payload
SELECT body, endpoint, location_id, entity_id FROM ghl.ghl_snapshot_raw
WHERE snapshot_id = %(snapshot_id)s ORDER BY position;

-- actual_checksum -- a payload's checksum recomputed from its entities' bytes
SELECT count(*) AS entities,
    sha256(coalesce(string_agg(sha256(entity.body), ''::bytea ORDER BY listed.position), ''::bytea)) AS digest
FROM ghl.manifest
CROSS JOIN unnest(manifest.entity_ids) WITH ORDINALITY AS listed (id, position)
JOIN ghl.entity ON entity.id = listed.id
WHERE manifest.tenant_id = %(tenant_id)s AND manifest.digest = %(digest)s;
