-- Days' quotas of requests.

-- note_quotas -- remember what GHL says is left of days' quotas
SELECT ghl.note_quota(resource_id, day, remaining, daily)
FROM unnest(%(resource_ids)s::text[], %(days)s::date[], %(remaining)s::integer[], %(daily)s::integer[])
    AS each (resource_id, day, remaining, daily);

-- todays_quotas -- what was noted today of the quotas of locations and companies, and the server's time
SELECT clock_timestamp() AS now, resource_id, today AS day, remaining, daily
FROM (SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date AS today) AS server
CROSS JOIN unnest(%(resource_ids)s::text[]) AS asked (resource_id)
LEFT JOIN LATERAL ghl.quota_of_day(resource_id, today) ON true;
