-- Named queries of what the HTTP API keeps: requests and keys. In the form of queries.sql.

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

-- add_key -- add an API key, which opens nothing before it is given tenants
INSERT INTO ghl.api_key (key_id, secret_hash, role, note)
VALUES (%(key_id)s, %(secret_hash)s, %(role)s, %(note)s);

-- add_key_tenant -- let a key see a tenant
INSERT INTO ghl.api_key_tenant (key_id, tenant_id) VALUES (%(key_id)s, %(tenant_id)s);

-- keys -- every key, the revoked ones included, or the one of this id
SELECT key_id, role, note, created_at, revoked_at, ARRAY(
    SELECT tenant_id FROM ghl.api_key_tenant AS held WHERE held.key_id = api_key.key_id ORDER BY 1
) AS tenant_ids
FROM ghl.api_key WHERE %(key_id)s::text IS NULL OR key_id = %(key_id)s
ORDER BY created_at, key_id;

-- any_key -- whether a key was ever made, revoked since or not
SELECT EXISTS (SELECT FROM ghl.api_key) AS made;

-- key_of_secret -- the key whose secret has this SHA-256
SELECT * FROM ghl.api_key_of(%(secret_hash)s);

-- revoke_key -- revoke a key; nothing comes back if it was revoked before
UPDATE ghl.api_key SET revoked_at = clock_timestamp()
WHERE key_id = %(key_id)s AND revoked_at IS NULL
RETURNING key_id;

-- snapshots_page -- a tenant's snapshots of some types without their metadata, the newest first, after a position
SELECT found.*
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
) AS found
ORDER BY captured_at DESC, snapshot_id DESC LIMIT %(limit)s;
