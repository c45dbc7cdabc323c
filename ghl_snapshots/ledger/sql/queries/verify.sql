-- Named queries that recompute what the ledger claims. Run as ghl_snapshots_auditor.

-- chains -- every chain in scope, and how many of its snapshots are; those too of which only counters are left
SELECT tenant_id, snapshot_type, sum(snapshots)::bigint AS snapshots,
    EXISTS (SELECT FROM ghl.tenant WHERE tenant.tenant_id = every.tenant_id) AS registered
FROM (
    SELECT tenant_id, snapshot_type, count(*) AS snapshots FROM ghl.snapshot
    WHERE %(since)s::timestamptz IS NULL OR created_at >= %(since)s
    GROUP BY tenant_id, snapshot_type
    UNION ALL
    SELECT DISTINCT tenant_id, snapshot_type, 0 FROM ghl.counter WHERE %(since)s::timestamptz IS NULL
) AS every
WHERE (%(tenant_id)s::text IS NULL OR tenant_id = %(tenant_id)s) AND snapshot_type = ANY(%(snapshot_types)s)
GROUP BY tenant_id, snapshot_type
ORDER BY tenant_id, snapshot_type;

-- existing_tenant -- a row if there is such a tenant, or what is left of one
SELECT FROM ghl.tenant WHERE tenant_id = %(tenant_id)s
UNION ALL
(SELECT FROM ghl.snapshot WHERE tenant_id = %(tenant_id)s LIMIT 1);

-- broken_links -- those rows of one chain, in order, that do not hold or do not follow from the one before
SELECT * FROM (
    SELECT snapshot_id, seq, created_at, contradiction, lag(seq) OVER chain_order AS previous_seq,
        chain = sha256(coalesce(lag(chain) OVER chain_order, ''::bytea) || row_digest) AS link_holds
    FROM (
        SELECT snapshot_id, seq, created_at, chain,
            sha256(convert_to(ghl.row_text(row_), 'UTF8')) AS row_digest,
            ghl.contradiction(row_, payload.entities, provenance.records, provenance.requests, provenance.errors) AS contradiction
        FROM ghl.snapshot AS row_
        LEFT JOIN (
            SELECT digest, cardinality(entity_ids) AS entities FROM ghl.manifest
            WHERE tenant_id = %(tenant_id)s AND digest IN (
                SELECT checksum FROM ghl.snapshot
                WHERE tenant_id = %(tenant_id)s AND snapshot_type = %(snapshot_type)s
            )
            OFFSET 0  -- or it would be counted anew for each of the snapshots that share the payload
        ) AS payload ON payload.digest = row_.checksum
        LEFT JOIN ghl.provenance ON provenance.tenant_id = %(tenant_id)s AND provenance.digest = row_.provenance
        WHERE row_.tenant_id = %(tenant_id)s AND row_.snapshot_type = %(snapshot_type)s
        OFFSET 0  -- so that what is put in order are digests, not rows
    ) AS read
    WINDOW chain_order AS (ORDER BY seq)
) AS linked
WHERE (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
    AND (NOT link_holds OR contradiction IS NOT NULL OR seq <> coalesce(previous_seq, 0) + 1)
ORDER BY seq;

-- payloads -- the payloads of one chain, each with the first snapshot that has it, in the order of these
SELECT used.*, (
    SELECT array_send(entity_ids) FROM ghl.manifest
    WHERE manifest.tenant_id = %(tenant_id)s AND manifest.digest = used.digest
) AS entity_ids
FROM (
    SELECT * FROM (
        SELECT DISTINCT ON (checksum) checksum AS digest, snapshot_id, seq FROM ghl.snapshot
        WHERE tenant_id = %(tenant_id)s AND snapshot_type = %(snapshot_type)s
            AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
        ORDER BY checksum, seq
    ) AS first
    ORDER BY seq
    OFFSET 0  -- so that what is put in order are digests, not lists of entities
) AS used;

-- entity_digests -- the stored digests of some of a tenant's entities
SELECT id, digest FROM ghl.entity WHERE tenant_id = %(tenant_id)s AND id = ANY(%(ids)s::bigint[]);

-- altered_provenances -- provenances of one chain that no longer match their digest, each with its first snapshot
SELECT provenance.digest, used.snapshot_id, used.seq
FROM (
    SELECT DISTINCT ON (provenance) provenance, snapshot_id, seq FROM ghl.snapshot
    WHERE tenant_id = %(tenant_id)s AND snapshot_type = %(snapshot_type)s
        AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
    ORDER BY provenance, seq
) AS used
JOIN ghl.provenance ON provenance.tenant_id = %(tenant_id)s AND provenance.digest = used.provenance
WHERE provenance.digest <> sha256(convert_to(provenance.body::text, 'UTF8'))
ORDER BY used.seq;

-- spans_of_entities -- the entities in scope in spans of at most so many, each from one id to another
SELECT min(id) AS least, max(id) AS greatest, count(*) AS entities
FROM (
    SELECT id, (row_number() OVER (ORDER BY id) - 1) / %(at_a_time)s AS span FROM ghl.entity
    WHERE %(tenant_id)s::text IS NULL OR tenant_id = %(tenant_id)s
) AS numbered
GROUP BY span ORDER BY span;

-- rehashed_entities -- how many entities a span of ids has, their bytes, which do not match their digest, and of
-- which a glance does not show the id in the body
SELECT count(*) AS entities, coalesce(sum(octet_length(body)), 0)::bigint AS bytes,
    coalesce(array_agg(id) FILTER (WHERE digest <> sha256(body)), '{}') AS altered,
    coalesce(array_agg(id) FILTER (WHERE coalesce(
        position(convert_to('id":"' || entity_id || '"', 'UTF8') IN body) = 0
        AND position(convert_to('agentId":"' || entity_id || '"', 'UTF8') IN body) = 0
        AND position(convert_to('calendarId":"' || entity_id || '"', 'UTF8') IN body) = 0, true
    )), '{}') AS doubtful
FROM ghl.entity
WHERE id BETWEEN %(least)s AND %(greatest)s AND (%(tenant_id)s::text IS NULL OR tenant_id = %(tenant_id)s);

-- of_another_id -- those of these entities that are filed under another id than their body names, or under none
SELECT coalesce(array_agg(entity.id), '{}') AS ids
FROM ghl.entity
CROSS JOIN LATERAL (
    SELECT array_agg(value #>> place::text[]) AS names
    FROM (SELECT ghl.entity_jsonb(body) AS value OFFSET 0) AS read
    -- The places of ids in the catalogue of GHL calls.
    CROSS JOIN unnest(ARRAY['{id}', '{_id}', '{agentId}', '{calendarId}', '{conversationProvider,_id}']) AS place
    -- Of what else stands there, none is taken for an id.
    WHERE jsonb_typeof(value #> place::text[]) = 'string'
        AND char_length(value #>> place::text[]) BETWEEN 1 AND 256
) AS named
WHERE entity.id = ANY(%(ids)s::bigint[]) AND NOT coalesce(entity_id = ANY(names), names IS NULL);

-- of_another_origin -- entities of an endpoint and a location that no provenance of their tenant names together
WITH origin AS MATERIALIZED (
    SELECT DISTINCT tenant_id, request ->> 'endpoint' AS endpoint, coalesce(request ->> 'locationId', '') AS location_id
    FROM ghl.provenance
    CROSS JOIN json_array_elements(body -> 'requests') AS each (request)
    WHERE %(tenant_id)s::text IS NULL OR tenant_id = %(tenant_id)s
)
SELECT coalesce(array_agg(id), '{}') AS ids
FROM ghl.entity
WHERE (%(tenant_id)s::text IS NULL OR tenant_id = %(tenant_id)s)
    AND NOT EXISTS (
        SELECT FROM origin
        WHERE origin.tenant_id = entity.tenant_id AND origin.endpoint = entity.endpoint
            AND origin.location_id = coalesce(entity.location_id, '')
    );

-- uses_of_entities -- the first snapshot of each chain in scope that holds one of these entities, for each of them
WITH wanted AS MATERIALIZED (
    SELECT tenant_id, id, digest, entity_id, endpoint, location_id FROM ghl.entity
    WHERE id = ANY(%(ids)s::bigint[])
),
holding AS MATERIALIZED (
    SELECT DISTINCT manifest.tenant_id, manifest.digest, listed.id
    FROM ghl.manifest
    CROSS JOIN unnest(manifest.entity_ids) AS listed (id)
    WHERE manifest.tenant_id IN (SELECT tenant_id FROM wanted) AND listed.id IN (SELECT id FROM wanted)
)
SELECT DISTINCT ON (wanted.id, snapshot_type)
    wanted.*, snapshot_type, snapshot_id, seq
FROM wanted
JOIN holding USING (tenant_id, id)
JOIN ghl.snapshot ON snapshot.tenant_id = wanted.tenant_id AND snapshot.checksum = holding.digest
WHERE snapshot_type = ANY(%(snapshot_types)s)
    AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
ORDER BY wanted.id, snapshot_type, seq;

-- heads -- the newest snapshot of every chain, also of a tenant that the registry lost
WITH RECURSIVE chain_ (tenant_id, snapshot_type) AS (
    (SELECT tenant_id, snapshot_type FROM ghl.snapshot ORDER BY 1, 2 LIMIT 1)
    UNION ALL
    -- From each to the next one in the index, since there are far more snapshots than chains.
    SELECT following.* FROM chain_
    CROSS JOIN LATERAL (
        SELECT tenant_id, snapshot_type FROM ghl.snapshot
        WHERE (snapshot.tenant_id, snapshot.snapshot_type) > (chain_.tenant_id, chain_.snapshot_type)
        ORDER BY 1, 2 LIMIT 1
    ) AS following
)
SELECT tenant_id, snapshot_type, head.seq, encode(head.chain, 'hex') AS chain
FROM chain_
CROSS JOIN LATERAL (
    SELECT seq, chain FROM ghl.snapshot
    WHERE snapshot.tenant_id = chain_.tenant_id AND snapshot.snapshot_type = chain_.snapshot_type
    ORDER BY seq DESC LIMIT 1
) AS head
ORDER BY tenant_id, snapshot_type;

-- rows_at_heads -- what stands where a checkpoint saw its heads, in their order; NULL where there is nothing
SELECT snapshot_id, encode(chain, 'hex') AS chain, (
    SELECT count(*) FROM ghl.snapshot
    WHERE snapshot.tenant_id = head.tenant_id AND snapshot.snapshot_type = head.snapshot_type
        AND snapshot.seq < head.seq
) AS present
FROM unnest(%(tenant_ids)s::text[], %(snapshot_types)s::text[], %(seqs)s::bigint[])
    WITH ORDINALITY AS head (tenant_id, snapshot_type, seq, place)
LEFT JOIN ghl.snapshot USING (tenant_id, snapshot_type, seq)
ORDER BY place;

-- wrong_counters -- the counters of one chain that are not what its snapshots add up to
WITH counted AS (
    SELECT metric, labels, CASE metric WHEN 'last_success' THEN max(value) ELSE sum(value) END AS value
    FROM (
        SELECT each.* FROM ghl.snapshot CROSS JOIN LATERAL ghl.row_counts(snapshot) AS each
        WHERE tenant_id = %(tenant_id)s AND snapshot_type = %(snapshot_type)s
        UNION ALL
        SELECT metric, labels, value * captures
        FROM (
            SELECT provenance, count(*) AS captures FROM ghl.snapshot
            WHERE tenant_id = %(tenant_id)s AND snapshot_type = %(snapshot_type)s GROUP BY provenance
        ) AS alike
        JOIN ghl.provenance ON provenance.tenant_id = %(tenant_id)s AND provenance.digest = alike.provenance
        CROSS JOIN LATERAL ghl.count_rows(ghl.provenance_counts(provenance.body)) AS each
    ) AS every
    WHERE value IS NOT NULL
    GROUP BY metric, labels
)
SELECT metric, labels, existing.value AS existing, counted.value AS counted
FROM counted
FULL JOIN (
    SELECT * FROM ghl.counter WHERE tenant_id = %(tenant_id)s AND snapshot_type = %(snapshot_type)s
) AS existing USING (metric, labels)
WHERE existing.value IS DISTINCT FROM counted.value
ORDER BY metric, labels;
