-- The HTTP API: its keys, the requests it accepts, and the totals that its metrics are made of; schema.sql explains.

SET LOCAL search_path = ghl, pg_catalog;

-- API -----------------------------------------------------------------------------------------------------

-- Keys of the HTTP API. A key is shown once, when it is made, and kept as the SHA-256 of its 256 random bits.
CREATE TABLE api_key (
    key_id text PRIMARY KEY CHECK (key_id ~ '^[0-9a-z]{8}$'),
    secret_hash bytea NOT NULL UNIQUE CHECK (octet_length(secret_hash) = 32),
    role text NOT NULL CHECK (role IN ('trigger', 'read', 'admin')),
    note text NOT NULL DEFAULT '' CHECK (char_length(note) <= 200),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at timestamptz
);

CREATE TABLE api_key_tenant (
    key_id text NOT NULL REFERENCES api_key,
    tenant_id text NOT NULL REFERENCES tenant,
    PRIMARY KEY (key_id, tenant_id)
);

-- A wish for captures that came in through the API; its id is the correlation id of all that it leads to.
-- What was asked for never changes; the columns after created_at tell how far the run that serves it has come.
CREATE TABLE snapshot_request (
    request_id text PRIMARY KEY CHECK (request_id ~ '^manual_snapshot_[0-9]{13}_[0-9a-z]{6,32}$'),
    tenant_id text NOT NULL REFERENCES tenant,
    ghl_account_id text NOT NULL CHECK (ghl_account_id <> ''),
    snapshot_types text[] NOT NULL CHECK (
        cardinality(snapshot_types) BETWEEN 1 AND 5
        AND snapshot_types <@ ARRAY['locations', 'pipelines', 'workflows', 'calendars', 'ai_workers']
    ),
    priority text NOT NULL CHECK (priority IN ('low', 'normal', 'high')),
    reason text CHECK (char_length(reason) <= 500),
    idempotency_key text CHECK (char_length(idempotency_key) BETWEEN 1 AND 200),
    -- The API key that asked, NULL where none was configured.
    key_id text REFERENCES api_key,
    estimated_seconds integer NOT NULL CHECK (estimated_seconds > 0),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    run_id text,
    queued_at timestamptz,
    started_at timestamptz,
    ended_at timestamptz,
    error text,
    CHECK ((run_id IS NULL) = (queued_at IS NULL)),
    UNIQUE (tenant_id, idempotency_key)
);
CREATE INDEX snapshot_request_of_tenant ON snapshot_request (tenant_id, created_at DESC);
CREATE INDEX snapshot_request_open ON snapshot_request (created_at) WHERE ended_at IS NULL;
CREATE INDEX snapshot_request_by_end ON snapshot_request (ended_at) WHERE ended_at IS NOT NULL;

-- Metrics -------------------------------------------------------------------------------------------------

-- Totals over the ledger, which fold_captures brings up to date. They follow from the ledger and could be
-- recomputed from it; they are kept so that a scrape costs the snapshots since the one before.

-- How far a chain has been counted. Its numbers have no gap and are given out in the order of commits, under a
-- lock that lasts until the commit; so whatever lies beyond `seq` is new, and nothing can turn up below it.
CREATE TABLE metric_chain (
    tenant_id text NOT NULL,
    snapshot_type text NOT NULL,
    seq bigint NOT NULL,
    records bigint NOT NULL,
    last_success_at timestamptz,
    PRIMARY KEY (tenant_id, snapshot_type)
);

CREATE TABLE metric_duration (
    tenant_id text NOT NULL,
    snapshot_type text NOT NULL,
    success boolean NOT NULL,
    -- The number of duration_bounds that the duration is above.
    bucket integer NOT NULL,
    captures bigint NOT NULL,
    duration_ms bigint NOT NULL,
    PRIMARY KEY (tenant_id, snapshot_type, success, bucket)
);

CREATE TABLE metric_error (
    tenant_id text NOT NULL,
    snapshot_type text NOT NULL,
    error_type text NOT NULL,
    errors bigint NOT NULL,
    PRIMARY KEY (tenant_id, snapshot_type, error_type)
);

CREATE TABLE metric_api_call (
    tenant_id text NOT NULL,
    endpoint text NOT NULL,
    -- The HTTP status, or `none` where no answer came.
    status_code text NOT NULL,
    calls bigint NOT NULL,
    PRIMARY KEY (tenant_id, endpoint, status_code)
);

CREATE INDEX audit_event_full_run ON audit_event (tenant_id, occurred_at DESC)
    WHERE event_type = 'ghl_snapshot_full_run';
CREATE INDEX audit_event_verification ON audit_event (occurred_at DESC)
    WHERE event_type = 'ghl_snapshot_verification' AND tenant_id IS NULL;

-- Upper bounds in milliseconds of the duration histogram's buckets, but for the last, which has none.
CREATE FUNCTION duration_bounds() RETURNS integer[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY[50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 120000, 300000];

-- Adds the snapshots of a tenant that are not counted yet to the totals. Whoever counts, counts alone.
CREATE FUNCTION fold_captures(tenant text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ghl, pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(4713), set_config('app.tenant_id', tenant, true);
    WITH fresh AS MATERIALIZED (
        SELECT row_.snapshot_type, row_.seq, row_.captured_at, row_.status = 'success' AS success,
            row_.record_count, row_.duration_ms, row_.provenance
        FROM unnest(ARRAY['locations', 'pipelines', 'workflows', 'calendars', 'ai_workers']) AS kind (name)
        LEFT JOIN metric_chain AS counted ON counted.tenant_id = tenant AND counted.snapshot_type = kind.name
        CROSS JOIN LATERAL (
            SELECT * FROM snapshot
            WHERE snapshot.tenant_id = tenant AND snapshot.snapshot_type = kind.name
                AND snapshot.seq > coalesce(counted.seq, 0)
        ) AS row_
    ),
    told AS MATERIALIZED (
        SELECT alike.snapshot_type, alike.captures, provenance.body
        FROM (
            SELECT fresh.snapshot_type, fresh.provenance, count(*) AS captures
            FROM fresh GROUP BY fresh.snapshot_type, fresh.provenance
        ) AS alike
        JOIN provenance ON provenance.tenant_id = tenant AND provenance.digest = alike.provenance
    ),
    chains AS (
        INSERT INTO metric_chain AS kept (tenant_id, snapshot_type, seq, records, last_success_at)
        SELECT tenant, snapshot_type, max(seq), sum(record_count), max(captured_at) FILTER (WHERE success)
        FROM fresh GROUP BY snapshot_type
        ON CONFLICT (tenant_id, snapshot_type) DO UPDATE
        SET seq = EXCLUDED.seq, records = kept.records + EXCLUDED.records,
            last_success_at = greatest(kept.last_success_at, EXCLUDED.last_success_at)
    ),
    durations AS (
        INSERT INTO metric_duration AS kept (tenant_id, snapshot_type, success, bucket, captures, duration_ms)
        SELECT tenant, snapshot_type, success, width_bucket(duration_ms - 1, duration_bounds()) AS bucket,
            count(*), sum(duration_ms)
        FROM fresh GROUP BY snapshot_type, success, bucket
        ON CONFLICT (tenant_id, snapshot_type, success, bucket) DO UPDATE
        SET captures = kept.captures + EXCLUDED.captures, duration_ms = kept.duration_ms + EXCLUDED.duration_ms
    ),
    errors AS (
        INSERT INTO metric_error AS kept (tenant_id, snapshot_type, error_type, errors)
        SELECT tenant, snapshot_type, error ->> 'kind' AS error_type, sum(captures)
        FROM told CROSS JOIN json_array_elements(body -> 'errors') AS each (error)
        GROUP BY snapshot_type, error_type
        ON CONFLICT (tenant_id, snapshot_type, error_type) DO UPDATE SET errors = kept.errors + EXCLUDED.errors
    )
    INSERT INTO metric_api_call AS kept (tenant_id, endpoint, status_code, calls)
    SELECT tenant, call ->> 'endpoint' AS endpoint, coalesce(call ->> 'status', 'none') AS status_code,
        sum(captures * (call ->> 'count')::bigint)
    FROM told CROSS JOIN json_array_elements(body -> 'apiCalls') AS each (call)
    GROUP BY endpoint, status_code
    ON CONFLICT (tenant_id, endpoint, status_code) DO UPDATE SET calls = kept.calls + EXCLUDED.calls;
END $$;

-- The key whose secret has this SHA-256, unless it was revoked. With the owner's rights, because a caller has
-- no tenant before its key is known; nobody can list keys through it.
CREATE FUNCTION api_key_of(hash bytea) RETURNS TABLE (key_id text, role text, tenant_ids text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ghl, pg_catalog, pg_temp
AS $$
    SELECT known.key_id, known.role, ARRAY(
        SELECT held.tenant_id FROM api_key_tenant AS held WHERE held.key_id = known.key_id ORDER BY 1
    )
    FROM api_key AS known WHERE known.secret_hash = hash AND known.revoked_at IS NULL
$$;

-- How far a request has come. What is stored decides; only what is missing is told by the run.
CREATE FUNCTION request_status(request snapshot_request) RETURNS text
LANGUAGE sql STABLE SET search_path = ghl, pg_catalog
AS $$
    SELECT CASE
        WHEN count(*) FILTER (WHERE status = 'success') = cardinality(request.snapshot_types) THEN 'succeeded'
        WHEN count(*) = cardinality(request.snapshot_types) OR request.ended_at IS NOT NULL THEN
            CASE WHEN bool_or(status <> 'failed') THEN 'partial_failure' ELSE 'failed' END
        WHEN count(*) > 0 OR request.started_at IS NOT NULL THEN 'running'
        WHEN request.run_id IS NOT NULL THEN 'queued'
        ELSE 'accepted'
    END
    FROM snapshot
    WHERE correlation_id = request.request_id AND tenant_id = request.tenant_id
        AND snapshot_type = ANY(request.snapshot_types)
$$;

-- Rights on what the API keeps ----------------------------------------------------------------------------

CREATE TRIGGER keep_request BEFORE DELETE OR TRUNCATE ON snapshot_request EXECUTE FUNCTION refuse_change();
ALTER TABLE snapshot_request ENABLE ALWAYS TRIGGER keep_request;

GRANT SELECT ON snapshot_request TO ghl_snapshots_writer, ghl_snapshots_reader, ghl_snapshots_auditor;
GRANT INSERT, UPDATE (run_id, queued_at, started_at, ended_at, error) ON snapshot_request TO ghl_snapshots_writer;
GRANT INSERT, UPDATE (revoked_at) ON api_key TO ghl_snapshots_writer;
GRANT SELECT (key_id, role, note, created_at, revoked_at) ON api_key
    TO ghl_snapshots_writer, ghl_snapshots_auditor;
GRANT SELECT, INSERT ON api_key_tenant TO ghl_snapshots_writer;
GRANT SELECT ON api_key_tenant TO ghl_snapshots_auditor;
GRANT SELECT ON metric_chain, metric_duration, metric_error, metric_api_call TO ghl_snapshots_auditor;
REVOKE EXECUTE ON FUNCTION api_key_of(bytea), fold_captures(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION api_key_of(bytea) TO ghl_snapshots_reader;
GRANT EXECUTE ON FUNCTION fold_captures(text) TO ghl_snapshots_auditor;

DO $$
DECLARE
    name text;
    own_rows CONSTANT text := 'tenant_id = (SELECT current_setting(''app.tenant_id'', true))';
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'snapshot_request', 'api_key', 'api_key_tenant', 'metric_chain', 'metric_duration', 'metric_error',
        'metric_api_call'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY all_rows_read ON %I FOR SELECT TO ghl_snapshots_auditor '
            'USING (true)', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['snapshot_request', 'api_key_tenant'] LOOP
        EXECUTE format('CREATE POLICY own_rows_read ON %I FOR SELECT TO ghl_snapshots_writer, '
            'ghl_snapshots_reader USING (%s)', name, own_rows);
        EXECUTE format('CREATE POLICY own_rows_added ON %I FOR INSERT TO ghl_snapshots_writer '
            'WITH CHECK (%s)', name, own_rows);
    END LOOP;
    EXECUTE format('CREATE POLICY own_rows_changed ON snapshot_request FOR UPDATE TO ghl_snapshots_writer '
        'USING (%s) WITH CHECK (%s)', own_rows, own_rows);
    -- Only fold_captures writes these, as their owner.
    FOREACH name IN ARRAY ARRAY['metric_chain', 'metric_duration', 'metric_error', 'metric_api_call'] LOOP
        EXECUTE format('CREATE POLICY own_rows_counted ON %I TO ghl_snapshots_owner '
            'USING (%s) WITH CHECK (%s)', name, own_rows, own_rows);
    END LOOP;
END $$;

-- A key by itself opens nothing: what it sees are its tenants, each added by a session of that tenant. It can
-- be revoked by a session of any of them, and never given back.
CREATE POLICY keys_added ON api_key FOR INSERT TO ghl_snapshots_writer WITH CHECK (revoked_at IS NULL);
CREATE POLICY own_keys_read ON api_key FOR SELECT TO ghl_snapshots_writer
    USING (EXISTS (SELECT FROM api_key_tenant AS held WHERE held.key_id = api_key.key_id));
CREATE POLICY own_keys_revoked ON api_key FOR UPDATE TO ghl_snapshots_writer
    USING (revoked_at IS NULL AND EXISTS (SELECT FROM api_key_tenant AS held WHERE held.key_id = api_key.key_id))
    WITH CHECK (revoked_at IS NOT NULL);
-- For api_key_of, which runs with the owner's rights.
CREATE POLICY found_by_secret ON api_key FOR SELECT TO ghl_snapshots_owner USING (true);
CREATE POLICY found_by_secret ON api_key_tenant FOR SELECT TO ghl_snapshots_owner USING (true);
