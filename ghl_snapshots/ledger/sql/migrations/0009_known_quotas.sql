-- Processes tell each other what is left of a day's quota, and how much it is, before they ask GHL.

SET LOCAL search_path = ghl, pg_catalog;

ALTER TABLE daily_quota ADD COLUMN daily integer;
DROP FUNCTION note_quota(text, date, integer);

-- Answers overtake each other, and within a day the quota only shrinks.
CREATE FUNCTION note_quota(resource text, on_day date, left_over integer, of_all integer) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = ghl, pg_catalog, pg_temp
AS $$
    INSERT INTO daily_quota AS known (resource_id, day, remaining, daily)
    VALUES (resource, on_day, left_over, of_all)
    ON CONFLICT (resource_id) DO UPDATE
    SET day = EXCLUDED.day,
        remaining = CASE WHEN known.day = EXCLUDED.day THEN least(known.remaining, EXCLUDED.remaining)
            ELSE EXCLUDED.remaining END,
        daily = coalesce(EXCLUDED.daily, known.daily)
    WHERE known.day <= EXCLUDED.day
$$;
REVOKE EXECUTE ON FUNCTION note_quota(text, date, integer, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION note_quota(text, date, integer, integer) TO ghl_snapshots_writer;

-- What a process asks before its first request of a day, so that it sends none that GHL is known to refuse.
CREATE FUNCTION known_quota(resource text, on_day date, OUT remaining integer, OUT daily integer)
RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ghl, pg_catalog, pg_temp
AS $$
    SELECT known.remaining, known.daily FROM daily_quota AS known
    WHERE known.resource_id = resource AND known.day = on_day
$$;
REVOKE EXECUTE ON FUNCTION known_quota(text, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION known_quota(text, date) TO ghl_snapshots_writer;
