-- What processes that capture share: places in GHL's rate limits and the tokens of locations; schema.sql explains.

SET LOCAL search_path = ghl, pg_catalog;

-- The tokens of a company's locations for their life, encrypted like those of the company itself.
CREATE TABLE location_token (
    tenant_id text NOT NULL REFERENCES tenant,
    location_id text NOT NULL CHECK (location_id <> ''),
    token bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, location_id)
);

-- Limits that processes share ----------------------------------------------------------------------------

-- When each location's and company's latest requests to GHL were allowed, by whichever process. After a crash of
-- the server it may begin empty, since by then the requests before have left GHL's window.
CREATE UNLOGGED TABLE rate_window (
    resource_id text PRIMARY KEY,
    grants timestamptz[] NOT NULL
) WITH (fillfactor = 50);
ALTER TABLE rate_window ENABLE ROW LEVEL SECURITY;
ALTER TABLE rate_window FORCE ROW LEVEL SECURITY;
-- For claim_slot, which runs with the owner's rights; nobody else reads or writes it.
CREATE POLICY claimed ON rate_window TO ghl_snapshots_owner USING (true) WITH CHECK (true);

-- The seconds after which the caller may send a request, with its place in the window taken: of any `most` + 1
-- requests the last is `hold` or more later than the first. A place further off than `patience` is not taken.
-- `taken` tells how many places of the window are used at this moment.
CREATE FUNCTION claim_slot(
    resource text, most integer, hold interval, patience interval, OUT wait_seconds float8, OUT taken integer
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ghl, pg_catalog, pg_temp
AS $$
DECLARE
    recent timestamptz[];
    moment timestamptz;
    place timestamptz;
BEGIN
    SELECT grants INTO recent FROM rate_window WHERE resource_id = resource FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO rate_window VALUES (resource, '{}') ON CONFLICT DO NOTHING;
        SELECT grants INTO recent FROM rate_window WHERE resource_id = resource FOR UPDATE;
    END IF;
    moment := clock_timestamp();
    recent := ARRAY(SELECT granted FROM unnest(recent) AS granted WHERE granted > moment - hold ORDER BY granted);
    place := greatest(
        moment, recent[cardinality(recent)], recent[cardinality(recent) - most + 1] + hold
    );
    wait_seconds := extract(epoch FROM place - moment);
    taken := (SELECT count(*) FROM unnest(recent) AS granted WHERE granted <= moment);
    IF place - moment <= patience THEN
        UPDATE rate_window SET grants = recent || place WHERE resource_id = resource;
    END IF;
END $$;

GRANT SELECT, INSERT, UPDATE ON location_token TO ghl_snapshots_writer;
REVOKE EXECUTE ON FUNCTION claim_slot(text, integer, interval, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION claim_slot(text, integer, interval, interval) TO ghl_snapshots_writer;

ALTER TABLE location_token ENABLE ROW LEVEL SECURITY;
ALTER TABLE location_token FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows_read ON location_token FOR SELECT
    TO ghl_snapshots_writer, ghl_snapshots_reader, ghl_snapshots_owner
    USING (tenant_id = (SELECT current_setting('app.tenant_id', true)));
CREATE POLICY own_rows_added ON location_token FOR INSERT TO ghl_snapshots_writer
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant_id', true)));
CREATE POLICY own_rows_changed ON location_token FOR UPDATE TO ghl_snapshots_writer
    USING (tenant_id = (SELECT current_setting('app.tenant_id', true)))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant_id', true)));
