-- What is left of GHL's daily quotas, for the metrics; schema.sql explains.

SET LOCAL search_path = ghl, pg_catalog;

-- What GHL last said of the requests that a location or company may still make on a UTC day.
CREATE TABLE daily_quota (
    resource_id text PRIMARY KEY,
    day date NOT NULL,
    remaining integer NOT NULL
);
ALTER TABLE daily_quota ENABLE ROW LEVEL SECURITY;
ALTER TABLE daily_quota FORCE ROW LEVEL SECURITY;
-- For note_quota, which runs with the owner's rights; nobody else writes it.
CREATE POLICY noted ON daily_quota TO ghl_snapshots_owner USING (true) WITH CHECK (true);
CREATE POLICY all_rows_read ON daily_quota FOR SELECT TO ghl_snapshots_auditor USING (true);
GRANT SELECT ON daily_quota TO ghl_snapshots_auditor;
-- Whose location it is, never its token.
GRANT SELECT (tenant_id, location_id) ON location_token TO ghl_snapshots_auditor;
CREATE POLICY all_rows_read ON location_token FOR SELECT TO ghl_snapshots_auditor USING (true);

-- Answers overtake each other, and within a day the quota only shrinks.
CREATE FUNCTION note_quota(resource text, on_day date, left_over integer) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = ghl, pg_catalog, pg_temp
AS $$
    INSERT INTO daily_quota AS known (resource_id, day, remaining) VALUES (resource, on_day, left_over)
    ON CONFLICT (resource_id) DO UPDATE
    SET day = EXCLUDED.day,
        remaining = CASE WHEN known.day = EXCLUDED.day THEN least(known.remaining, EXCLUDED.remaining)
            ELSE EXCLUDED.remaining END
    WHERE known.day <= EXCLUDED.day
$$;
REVOKE EXECUTE ON FUNCTION note_quota(text, date, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION note_quota(text, date, integer) TO ghl_snapshots_writer;
