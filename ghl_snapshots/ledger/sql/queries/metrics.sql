-- Named queries that metrics are made of, over all tenants; run as ghl_snapshots_auditor. What claims to be later than
-- the server's clock is ignored: it would hide that nothing was captured or verified since.

-- duration_bounds -- upper bounds of the duration histogram's buckets in milliseconds
SELECT ghl.duration_bounds() AS bounds;

-- counters -- every tenant's counters
SELECT tenant_id, snapshot_type, metric, labels, value FROM ghl.counter;

-- newest_captures -- the newest capture of each chain, with its place among the durations
SELECT tenant_id, kind.snapshot_type, newest.*
FROM ghl.tenant
CROSS JOIN ghl.snapshot_type AS kind
CROSS JOIN LATERAL (
    SELECT status = 'success' AS success, width_bucket(duration_ms - 1, ghl.duration_bounds()) AS bucket,
        duration_ms, captured_at, correlation_id
    FROM ghl.snapshot
    WHERE snapshot.tenant_id = tenant.tenant_id AND snapshot.snapshot_type = kind.snapshot_type
    ORDER BY seq DESC LIMIT 1
) AS newest;

-- last_successes -- for every enabled tenant its newest complete capture of each type, NULL if there is none
SELECT tenant.tenant_id, kind.snapshot_type, last_success_at
FROM ghl.tenant
CROSS JOIN ghl.snapshot_type AS kind
LEFT JOIN (
    SELECT tenant_id, snapshot_type, to_timestamp(value / 1000000.0) AS last_success_at
    FROM ghl.counter WHERE metric = 'last_success'
) AS counted ON counted.tenant_id = tenant.tenant_id AND counted.snapshot_type = kind.snapshot_type
    AND last_success_at <= ghl.latest_moment()
WHERE enabled;

-- latest_captures -- for every enabled tenant and type how its newest capture went, and the newest that holds anything
SELECT tenant.tenant_id, kind.snapshot_type, latest.status, good.captured_at AS good_at,
    coalesce(good.record_count, 0) AS record_count
FROM ghl.tenant
CROSS JOIN ghl.snapshot_type AS kind
LEFT JOIN LATERAL (
    SELECT status FROM ghl.snapshot
    WHERE snapshot.tenant_id = tenant.tenant_id AND snapshot.snapshot_type = kind.snapshot_type
        AND captured_at <= ghl.latest_moment()
    ORDER BY captured_at DESC, seq DESC LIMIT 1
) AS latest ON true
LEFT JOIN LATERAL (
    SELECT captured_at, record_count FROM ghl.snapshot
    WHERE snapshot.tenant_id = tenant.tenant_id AND snapshot.snapshot_type = kind.snapshot_type
        AND captured_at <= ghl.latest_moment() AND status <> 'failed'
    ORDER BY captured_at DESC, seq DESC LIMIT 1
) AS good ON true
WHERE tenant.enabled;

-- daily_quotas -- requests that GHL still allows today, as far as it has said so
SELECT DISTINCT owned.tenant_id, resource_id AS resource, remaining
FROM ghl.daily_quota
JOIN (
    SELECT tenant_id, ghl_account_id AS resource_id FROM ghl.tenant
    UNION
    SELECT tenant_id, location_id FROM ghl.location_token
) AS owned USING (resource_id)
WHERE day = (clock_timestamp() AT TIME ZONE 'UTC')::date;

-- requests_by_status -- requests that are open, and those that ended within the last day
SELECT ghl.request_status(request) AS status, count(*) AS requests
FROM ghl.snapshot_request AS request
WHERE ended_at IS NULL OR ended_at > clock_timestamp() - interval '1 day'
GROUP BY 1;

-- last_full_runs -- how the newest run over all types of every enabled tenant went, its captures' time and API calls
SELECT tenant.tenant_id, newest.success, newest.duration_ms, coalesce((
        SELECT sum(api_calls) FROM ghl.snapshot
        WHERE snapshot.tenant_id = tenant.tenant_id AND snapshot.correlation_id = newest.correlation_id
    ), 0)::bigint AS api_calls
FROM ghl.tenant
CROSS JOIN LATERAL (
    SELECT success, correlation_id, coalesce((details ->> 'durationMs')::bigint, 0) AS duration_ms FROM ghl.audit_event
    WHERE audit_event.tenant_id = tenant.tenant_id AND event_type = 'ghl_snapshot_full_run'
        AND occurred_at <= ghl.latest_moment()
        AND details -> 'plannedSnapshotTypes' @> (SELECT jsonb_agg(snapshot_type) FROM ghl.snapshot_type)
    ORDER BY occurred_at DESC LIMIT 1
) AS newest
WHERE tenant.enabled;

-- last_verification -- when the whole ledger was last verified; whether each failure was refuted by one as deep since
WITH whole AS MATERIALIZED (
    SELECT occurred_at, success, coalesce((details ->> 'deep')::boolean, false) AS deep FROM ghl.audit_event
    WHERE event_type = 'ghl_snapshot_verification' AND tenant_id IS NULL AND occurred_at <= ghl.latest_moment()
        AND coalesce(details ->> 'snapshotType', details ->> 'since') IS NULL
)
SELECT greatest(0, extract(epoch FROM clock_timestamp() - max(occurred_at)))::float8 AS age_seconds, NOT EXISTS (
    SELECT FROM whole AS failed
    WHERE NOT failed.success AND NOT EXISTS (
        SELECT FROM whole AS later
        WHERE later.success AND later.occurred_at > failed.occurred_at AND later.deep >= failed.deep
    )
) AS success
FROM whole HAVING count(*) > 0;
