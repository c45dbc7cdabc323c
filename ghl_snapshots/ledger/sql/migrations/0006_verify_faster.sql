-- Chain values and contradictions become part of the queries that verify many rows; schema.sql explains.

SET LOCAL search_path = ghl, pg_catalog;

CREATE OR REPLACE FUNCTION row_text(row_ snapshot) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT json_build_array(
        row_.snapshot_id, row_.tenant_id, row_.ghl_account_id, row_.snapshot_type,
        to_char(row_.captured_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), row_.version, row_.status,
        row_.record_count, encode(row_.checksum, 'hex'), encode(row_.provenance, 'hex'),
        array_to_string(row_.sent_after_us, ',', ''), array_to_string(row_.took_ms, ',', ''),
        array_to_string(row_.trace_ids, ',', ''), row_.duration_ms, row_.api_calls,
        to_char(row_.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), row_.created_by, row_.source,
        row_.correlation_id, row_.seq
    )::text
$$;

CREATE OR REPLACE FUNCTION chain_value(previous bytea, row_ snapshot) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT sha256(coalesce(previous, ''::bytea) || sha256(convert_to(ghl.row_text(row_), 'UTF8')))
$$;

DROP FUNCTION contradiction(snapshot);
CREATE FUNCTION contradiction(
    row_ snapshot, entities integer, records integer, requests integer, errors integer
) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN entities IS NULL OR records IS NULL THEN 'its payload or provenance is not there'
        WHEN entities <> row_.record_count OR records <> row_.record_count THEN
            format('record_count is %s, the payload holds %s entities and its provenance says %s',
                row_.record_count, entities, records)
        WHEN (row_.status = 'success') <> (errors = 0) THEN
            format('the status is %s with %s errors', row_.status, errors)
        WHEN cardinality(row_.sent_after_us) <> requests OR cardinality(row_.took_ms) <> requests
            OR cardinality(row_.trace_ids) <> requests THEN
            format('the provenance tells of %s requests and the row of another number', requests)
    END
$$;

CREATE OR REPLACE FUNCTION link_snapshot() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ghl, pg_catalog, pg_temp
AS $$
DECLARE
    head record;
    problem text;
BEGIN
    SELECT contradiction(NEW, (
        SELECT cardinality(entity_ids) FROM manifest
        WHERE manifest.tenant_id = NEW.tenant_id AND manifest.digest = NEW.checksum
    ), told.records, told.requests, told.errors) INTO problem
    FROM (SELECT) AS always
    LEFT JOIN provenance AS told ON told.tenant_id = NEW.tenant_id AND told.digest = NEW.provenance;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%', problem USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(NEW.tenant_id || ' ' || NEW.snapshot_type, 4711));
    SELECT seq, chain INTO head FROM snapshot
    WHERE tenant_id = NEW.tenant_id AND snapshot_type = NEW.snapshot_type
    ORDER BY seq DESC LIMIT 1;
    NEW.seq := coalesce(head.seq, 0) + 1;
    NEW.created_at := clock_timestamp();
    NEW.chain := chain_value(head.chain, NEW);
    RETURN NEW;
END $$;
