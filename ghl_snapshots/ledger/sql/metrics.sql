-- Named queries that metrics are made of, over all tenants; run as ghl_snapshots_auditor. In the form of queries.sql.

-- fold -- count what is new since the last time, tenant by tenant
SELECT ghl.fold_captures(tenant_id)
FROM ghl.tenant
WHERE EXISTS (
    SELECT FROM unnest(ARRAY['locations', 'pipelines', 'workflows', 'calendars', 'ai_workers']) AS kind (name)
    CROSS JOIN LATERAL (
        SELECT seq FROM ghl.snapshot
        WHERE snapshot.tenant_id = tenant.tenant_id AND snapshot.snapshot_type = kind.name
        ORDER BY seq DESC LIMIT 1
    ) AS head
    LEFT JOIN ghl.metric_chain AS counted
        ON counted.tenant_id = tenant.tenant_id AND counted.snapshot_type = kind.name
    WHERE head.seq > coalesce(counted.seq, 0)
);

-- duration_bounds -- upper bounds of the duration histogram's buckets in milliseconds
SELECT ghl.duration_bounds() AS bounds;

-- capture_durations -- captures by duration, and what they took together
SELECT tenant_id, snapshot_type, success, bucket, captures, duration_ms FROM ghl.metric_duration;

-- newest_captures -- of each chain the newest capture that was counted, with its place among the durations
SELECT tenant_id, snapshot_type, status = 'success' AS success,
    width_bucket(duration_ms - 1, ghl.duration_bounds()) AS bucket, duration_ms, captured_at, correlation_id
FROM ghl.metric_chain
JOIN ghl.snapshot USING (tenant_id, snapshot_type, seq);

-- captured_records -- records ever captured, and the newest complete capture (NULL if there is none)
SELECT tenant_id, snapshot_type, records FROM ghl.metric_chain;

-- last_successes -- for every enabled tenant its newest complete capture of each type, NULL if there is none
SELECT tenant.tenant_id, kind.name AS snapshot_type, last_success_at
FROM ghl.tenant
CROSS JOIN unnest(ARRAY['locations', 'pipelines', 'workflows', 'calendars', 'ai_workers']) AS kind (name)
LEFT JOIN ghl.metric_chain AS counted
    ON counted.tenant_id = tenant.tenant_id AND counted.snapshot_type = kind.name
WHERE enabled;

-- capture_errors -- parts that were missing from captures, by kind of error
SELECT tenant_id, snapshot_type, error_type, errors FROM ghl.metric_error;

-- api_calls -- HTTP requests sent to GHL
SELECT endpoint, status_code, sum(calls)::bigint AS calls FROM ghl.metric_api_call GROUP BY endpoint, status_code;

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

-- last_full_runs -- how the newest run over all types of every enabled tenant went, and its captures' time together
SELECT tenant.tenant_id, newest.success, newest.duration_ms
FROM ghl.tenant
CROSS JOIN LATERAL (
    SELECT success, (details ->> 'durationMs')::bigint AS duration_ms FROM ghl.audit_event
    WHERE audit_event.tenant_id = tenant.tenant_id AND event_type = 'ghl_snapshot_full_run'
        AND details -> 'plannedSnapshotTypes' @> to_jsonb(%(snapshot_types)s::text[])
    ORDER BY occurred_at DESC LIMIT 1
) AS newest
WHERE tenant.enabled;

-- last_verification -- when the whole ledger was last verified; whether each failure was refuted by one as deep since
WITH whole AS MATERIALIZED (
    SELECT occurred_at, success, coalesce((details ->> 'deep')::boolean, false) AS deep FROM ghl.audit_event
    WHERE event_type = 'ghl_snapshot_verification' AND tenant_id IS NULL
        AND coalesce(details ->> 'snapshotType', details ->> 'since') IS NULL
)
SELECT extract(epoch FROM clock_timestamp() - max(occurred_at))::float8 AS age_seconds, NOT EXISTS (
    SELECT FROM whole AS failed
    WHERE NOT failed.success AND NOT EXISTS (
        SELECT FROM whole AS later
        WHERE later.success AND later.occurred_at > failed.occurred_at AND later.deep >= failed.deep
    )
) AS success
FROM whole HAVING count(*) > 0;
