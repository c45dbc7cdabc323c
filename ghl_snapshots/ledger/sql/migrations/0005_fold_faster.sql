-- Counting for the metrics reads the new snapshots only; schema.sql explains.

SET LOCAL search_path = ghl, pg_catalog;

CREATE OR REPLACE FUNCTION fold_captures(tenant text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ghl, pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(4713), set_config('app.tenant_id', tenant, true);
    WITH fresh AS MATERIALIZED (
        SELECT row_.snapshot_type, row_.seq, row_.captured_at, row_.status = 'success' AS success,
            row_.record_count, row_.duration_ms, row_.provenance
        -- The OFFSETs keep the planner from joining first, which reads all snapshots of the tenant.
        FROM (
            SELECT name, coalesce((
                SELECT counted.seq FROM metric_chain AS counted
                WHERE counted.tenant_id = tenant AND counted.snapshot_type = name
            ), 0) AS seq
            FROM unnest(ARRAY['locations', 'pipelines', 'workflows', 'calendars', 'ai_workers']) AS each (name)
            OFFSET 0
        ) AS chain
        CROSS JOIN LATERAL (
            SELECT * FROM snapshot
            WHERE snapshot.tenant_id = tenant AND snapshot.snapshot_type = chain.name AND snapshot.seq > chain.seq
            OFFSET 0
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
