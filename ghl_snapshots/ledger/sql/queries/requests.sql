-- Requests for captures that came in through the API.

-- lock_requests -- let one request of a tenant at a time be accepted, until its transaction ends
SELECT pg_advisory_xact_lock(hashtextextended(%(tenant_id)s, 4714));

-- request_of_idempotency_key -- the request that was accepted under this Idempotency-Key
SELECT *, ghl.request_status(request) AS status FROM ghl.snapshot_request AS request
WHERE tenant_id = %(tenant_id)s AND idempotency_key = %(idempotency_key)s;

-- full_window -- seconds until the tenant may ask again, if it has asked `limit` times in the window
SELECT ceil(extract(epoch FROM created_at + %(window)s::interval - clock_timestamp()))::integer AS wait_seconds
FROM ghl.snapshot_request
WHERE tenant_id = %(tenant_id)s AND created_at > clock_timestamp() - %(window)s::interval
ORDER BY created_at DESC OFFSET %(limit)s - 1 LIMIT 1;

-- usual_durations -- for each of the types what a capture of the tenant took lately; NULL if there was none
SELECT (
    SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY duration_ms) FROM (
        SELECT duration_ms FROM ghl.snapshot
        WHERE tenant_id = %(tenant_id)s AND snapshot_type = kind.name AND status <> 'failed'
        ORDER BY captured_at DESC LIMIT 5
    ) AS recent
) AS duration_ms
FROM unnest(%(snapshot_types)s::text[]) AS kind (name);

-- add_request -- accept a request
INSERT INTO ghl.snapshot_request AS request (
    request_id, tenant_id, ghl_account_id, snapshot_types, priority, reason, idempotency_key, key_id,
    estimated_seconds
) VALUES (
    %(request_id)s, %(tenant_id)s, %(ghl_account_id)s, %(snapshot_types)s, %(priority)s, %(reason)s,
    %(idempotency_key)s, %(key_id)s, %(estimated_seconds)s
)
RETURNING *, 'accepted' AS status;

-- request -- one request
SELECT *, ghl.request_status(request) AS status FROM ghl.snapshot_request AS request
WHERE request_id = %(request_id)s;

-- waiting_requests -- requests without a run, the most urgent first and then the oldest
SELECT *, 'accepted' AS status FROM ghl.snapshot_request
WHERE run_id IS NULL AND ended_at IS NULL
ORDER BY array_position(ARRAY['high', 'normal', 'low'], priority), created_at LIMIT %(limit)s;

-- request_queued -- a run was launched for a request that had none
UPDATE ghl.snapshot_request SET run_id = %(run_id)s, queued_at = clock_timestamp()
WHERE request_id = %(request_id)s AND run_id IS NULL;

-- request_running -- its run has begun, or one that takes up what another left
UPDATE ghl.snapshot_request
SET run_id = %(run_id)s, queued_at = coalesce(queued_at, clock_timestamp()),
    started_at = coalesce(started_at, clock_timestamp()), ended_at = NULL, error = NULL
WHERE request_id = %(request_id)s
    AND (run_id IS DISTINCT FROM %(run_id)s OR started_at IS NULL) AND (ended_at IS NULL OR run_id <> %(run_id)s);

-- request_ended -- nothing more is to come of a request
UPDATE ghl.snapshot_request SET ended_at = clock_timestamp(), error = %(error)s
WHERE request_id = %(request_id)s AND ended_at IS NULL;
