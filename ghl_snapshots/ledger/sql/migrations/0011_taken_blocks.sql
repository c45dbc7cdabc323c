-- Places of other processes' blocks count as taken, since GHL may count their requests already; schema.sql explains.

SET LOCAL search_path = ghl, pg_catalog;

CREATE OR REPLACE FUNCTION claim_slots(
    resource text, most integer, hold interval, patience interval, wanted integer, keep interval,
    OUT wait_seconds float8, OUT taken integer, OUT places integer
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
    taken := (SELECT count(*) FROM unnest(recent) AS granted WHERE granted <= moment + keep);
    places := least(wanted, (most - cardinality(recent)) / 4);
    IF places > 1 THEN
        wait_seconds := 0;
        UPDATE rate_window SET grants = recent || array_fill(moment + keep, ARRAY[places])
        WHERE resource_id = resource;
        RETURN;
    END IF;
    places := 1;
    place := greatest(moment, recent[cardinality(recent) - most + 1] + hold);
    wait_seconds := extract(epoch FROM place - moment);
    IF place - moment <= patience THEN
        UPDATE rate_window SET grants = recent || place WHERE resource_id = resource;
    END IF;
END $$;
