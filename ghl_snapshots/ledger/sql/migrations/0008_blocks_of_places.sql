-- Places in GHL's rate limits are taken several together; schema.sql explains.

SET LOCAL search_path = ghl, pg_catalog;

DROP FUNCTION claim_slot(text, integer, interval, interval);

-- The seconds after which the caller may send a request, with its place in the window taken: of any `most` + 1
-- requests the last is `hold` or more later than the first. A place further off than `patience` is not taken.
-- Where up to `wanted` places are no more than a quarter of what is free, they are taken together, each for a request
-- within `keep` from now; `grants` has the last moment of each. Whichever of `most` + 1 requests had its place taken
-- last, so few of the others could have been sent less than `hold` before it that the window still had room.
-- `taken` tells how many places of the window are used at this moment, those that may still be used left out.
CREATE FUNCTION claim_slots(
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
    taken := (SELECT count(*) FROM unnest(recent) AS granted WHERE granted <= moment);
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

REVOKE EXECUTE ON FUNCTION claim_slots(text, integer, interval, interval, integer, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION claim_slots(text, integer, interval, interval, integer, interval) TO ghl_snapshots_writer;
