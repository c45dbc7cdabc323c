-- How every enabled tenant stands; run as ghl_snapshots_auditor.

-- statuses -- for each enabled tenant and type its latest snapshot, the latest that holds anything, and its requests
SELECT tenant.tenant_id, kind.snapshot_type, latest.snapshot_id, latest.status, latest.captured_at,
    good.captured_at AS good_at, good.record_count, coalesce(left_out.not_granted, 0) AS not_granted,
    (SELECT count(*) FROM ghl.snapshot_request
        WHERE snapshot_request.tenant_id = tenant.tenant_id AND ended_at IS NULL) AS open_requests,
    tenant.created_at < %(now)s - kind.within
        AND coalesce(good.captured_at, '-infinity') < %(now)s - kind.within AS stale
FROM ghl.tenant
CROSS JOIN unnest(%(snapshot_types)s::text[], %(windows)s::interval[])
    WITH ORDINALITY AS kind (snapshot_type, within, place)
LEFT JOIN LATERAL (
    SELECT snapshot_id, status, captured_at, provenance FROM ghl.snapshot
    WHERE snapshot.tenant_id = tenant.tenant_id AND snapshot.snapshot_type = kind.snapshot_type
    ORDER BY captured_at DESC, seq DESC LIMIT 1
) AS latest ON true
LEFT JOIN LATERAL (
    SELECT captured_at, record_count FROM ghl.snapshot
    WHERE snapshot.tenant_id = tenant.tenant_id AND snapshot.snapshot_type = kind.snapshot_type
        AND status <> 'failed'
    ORDER BY captured_at DESC, seq DESC LIMIT 1
) AS good ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS not_granted
    FROM ghl.provenance
    CROSS JOIN json_array_elements(provenance.body -> 'leftOut') AS each (item)
    WHERE provenance.tenant_id = tenant.tenant_id AND provenance.digest = latest.provenance
        AND item ->> 'reason' = 'notGranted'
) AS left_out ON true
WHERE tenant.enabled AND (%(tenant_id)s::text IS NULL OR tenant.tenant_id = %(tenant_id)s)
ORDER BY tenant.tenant_id, kind.place;
