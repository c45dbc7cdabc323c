-- Named queries that recompute what the ledger claims, in the form of queries.sql. Run as ghl_snapshots_auditor.

-- chains -- every chain in scope, and how many of its snapshots are
SELECT tenant_id, snapshot_type, count(*) AS snapshots FROM ghl.snapshot
WHERE (%(tenant_id)s::text IS NULL OR tenant_id = %(tenant_id)s) AND snapshot_type = ANY(%(snapshot_types)s)
    AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
GROUP BY tenant_id, snapshot_type
ORDER BY tenant_id, snapshot_type;

-- broken_links -- those rows of one chain, in order, that do not hold or do not follow from the one before
SELECT * FROM (
    SELECT snapshot_id, seq, created_at, contradiction, lag(seq) OVER chain_order AS previous_seq,
        chain = sha256(coalesce(lag(chain) OVER chain_order, ''::bytea) || row_digest) AS link_holds
    FROM (
        SELECT snapshot_id, seq, created_at, chain,
            sha256(convert_to(ghl.row_text(row_), 'UTF8')) AS row_digest,
            ghl.contradiction(row_, payload.entities, told.records, told.requests, told.errors) AS contradiction
        FROM ghl.snapshot AS row_
        LEFT JOIN (
            SELECT digest, cardinality(entity_ids) AS entities FROM ghl.manifest
            WHERE tenant_id = %(tenant_id)s AND digest IN (
                SELECT checksum FROM ghl.snapshot
                WHERE tenant_id = %(tenant_id)s AND snapshot_type = %(snapshot_type)s
            )
            OFFSET 0  -- or it would be counted anew for each of the snapshots that share the payload
        ) AS payload ON payload.digest = row_.checksum
        LEFT JOIN ghl.provenance AS told ON told.tenant_id = %(tenant_id)s AND told.digest = row_.provenance
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
SELECT told.digest, used.snapshot_id, used.seq
FROM (
    SELECT DISTINCT ON (provenance) provenance, snapshot_id, seq FROM ghl.snapshot
    WHERE tenant_id = %(tenant_id)s AND snapshot_type = %(snapshot_type)s
        AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
    ORDER BY provenance, seq
) AS used
JOIN ghl.provenance AS told ON told.tenant_id = %(tenant_id)s AND told.digest = used.provenance
WHERE told.digest <> sha256(convert_to(told.body::text, 'UTF8'))
ORDER BY used.seq;

-- extent_of_entities -- how many entities are in scope, and their least and greatest id
SELECT count(*) AS entities, min(id) AS least, max(id) AS greatest FROM ghl.entity
WHERE %(tenant_id)s::text IS NULL OR tenant_id = %(tenant_id)s;

-- rehashed_entities -- how many entities a span of ids has, their bytes, and which do not match their digest
SELECT count(*) AS entities, coalesce(sum(octet_length(body)), 0)::bigint AS bytes,
    coalesce(array_agg(id) FILTER (WHERE digest <> sha256(body)), '{}') AS altered
FROM ghl.entity
WHERE id BETWEEN %(least)s AND %(greatest)s AND (%(tenant_id)s::text IS NULL OR tenant_id = %(tenant_id)s);

-- uses_of_entities -- the first snapshot of each chain in scope that holds one of these entities, for each of them
WITH wanted AS MATERIALIZED (
    SELECT tenant_id, id, digest FROM ghl.entity WHERE id = ANY(%(ids)s::bigint[])
),
holding AS MATERIALIZED (
    SELECT DISTINCT manifest.tenant_id, manifest.digest, listed.id
    FROM ghl.manifest
    CROSS JOIN unnest(manifest.entity_ids) AS listed (id)
    WHERE manifest.tenant_id IN (SELECT tenant_id FROM wanted) AND listed.id IN (SELECT id FROM wanted)
)
SELECT DISTINCT ON (wanted.id, snapshot_type)
    wanted.tenant_id, wanted.id, wanted.digest, snapshot_type, snapshot_id, seq
FROM wanted
JOIN holding USING (tenant_id, id)
JOIN ghl.snapshot ON snapshot.tenant_id = wanted.tenant_id AND snapshot.checksum = holding.digest
WHERE snapshot_type = ANY(%(snapshot_types)s)
    AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
ORDER BY wanted.id, snapshot_type, seq;

-- missing_guards -- what of the ledger's protection is not in place, in words
WITH guarded (relation, append_only) AS (
    VALUES ('entity', true), ('manifest', true), ('provenance', true), ('snapshot', true),
        ('audit_event', true), ('tenant', false), ('oauth_token', false), ('snapshot_request', false)
),
expected_trigger (relation, name, function, timing) AS (
    -- tgtype: 58 is BEFORE UPDATE OR DELETE OR TRUNCATE, 42 the same without UPDATE, 7 BEFORE INSERT FOR EACH ROW
    SELECT relation, 'append_only', 'refuse_change', 58 FROM guarded WHERE append_only
    UNION ALL
    VALUES ('tenant', 'keep_tenant', 'refuse_change', 42),
        ('snapshot_request', 'keep_request', 'refuse_change', 42), ('snapshot', 'link_snapshot', 'link_snapshot', 7),
        ('manifest', 'check_manifest', 'check_manifest', 7)
)
SELECT format('trigger %s on %s is missing, disabled or another', name, relation) AS problem
FROM expected_trigger
WHERE NOT EXISTS (
    SELECT FROM pg_trigger
    WHERE tgrelid = to_regclass('ghl.' || relation) AND tgname = name AND tgenabled = 'A' AND tgtype = timing
        AND tgfoid = to_regproc('ghl.' || function) AND tgqual IS NULL
)
UNION ALL
SELECT format('row security of %s is not enabled and forced', relation) FROM guarded
WHERE NOT EXISTS (
    SELECT FROM pg_class
    WHERE oid = to_regclass('ghl.' || relation) AND relrowsecurity AND relforcerowsecurity
)
UNION ALL
SELECT format('policy %s on %s lets more through than one tenant''s rows', polname, relation)
FROM guarded
JOIN pg_policy ON polrelid = to_regclass('ghl.' || relation)
WHERE polname <> 'all_rows_read' AND polname <> 'system_rows_added'
    AND coalesce(pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
        NOT LIKE '(tenant_id = ( SELECT current_setting(%'
    OR polname = 'all_rows_read' AND polroles <> ARRAY[to_regrole('ghl_snapshots_auditor')::oid]
    OR polname = 'system_rows_added' AND pg_get_expr(polwithcheck, polrelid) <> '(tenant_id IS NULL)'
UNION ALL
SELECT format('role %s may %s on %s', role, right_, relation)
FROM guarded
CROSS JOIN unnest(ARRAY['ghl_snapshots_writer', 'ghl_snapshots_reader', 'ghl_snapshots_auditor']) AS role
CROSS JOIN unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) AS right_
WHERE has_table_privilege(role, 'ghl.' || relation, right_)
    AND NOT (right_ = 'UPDATE' AND NOT append_only AND role = 'ghl_snapshots_writer')
UNION ALL
SELECT format('the owner of %s is %s', relname, relowner::regrole) FROM pg_class
WHERE relnamespace = to_regnamespace('ghl') AND relowner <> to_regrole('ghl_snapshots_owner')
UNION ALL
SELECT format('view %s is not bound by row security', relname) FROM pg_class
WHERE relnamespace = to_regnamespace('ghl') AND relkind = 'v'
    AND NOT coalesce(reloptions @> ARRAY['security_invoker=true'], false)
UNION ALL
SELECT format('the check that %s rows match their digest is missing', relation)
FROM unnest(ARRAY['entity', 'provenance']) AS relation
WHERE NOT EXISTS (
    SELECT FROM pg_constraint
    WHERE conrelid = to_regclass('ghl.' || relation) AND contype = 'c' AND convalidated
        AND pg_get_constraintdef(oid) LIKE 'CHECK ((digest = sha256(%'
);

-- functions -- the source of every function of the ledger
SELECT proname AS name, prosrc AS source FROM pg_proc WHERE pronamespace = to_regnamespace('ghl') ORDER BY proname;

-- heads -- the newest snapshot of every chain
SELECT tenant_id, snapshot_type, head.seq, encode(head.chain, 'hex') AS chain
FROM ghl.tenant
CROSS JOIN unnest(%(snapshot_types)s::text[]) AS snapshot_type
CROSS JOIN LATERAL (
    SELECT seq, chain FROM ghl.snapshot
    WHERE snapshot.tenant_id = tenant.tenant_id AND snapshot.snapshot_type = snapshot_type.snapshot_type
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
