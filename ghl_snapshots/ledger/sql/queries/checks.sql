-- Questions whose every answer is a fault: one row for each tenant and snapshot type concerned, and what is
-- wrong in words. Set-based over all tenants; run as ghl_snapshots_auditor.

-- captured_recently -- enabled tenants without a snapshot within the window of its type
SELECT tenant.tenant_id, kind.snapshot_type,
    coalesce('last captured at ' || to_char(latest.captured_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'),
        'never captured') AS problem
FROM ghl.tenant
CROSS JOIN unnest(%(snapshot_types)s::text[], %(windows)s::interval[]) AS kind (snapshot_type, within)
LEFT JOIN LATERAL (
    SELECT captured_at FROM ghl.snapshot
    WHERE snapshot.tenant_id = tenant.tenant_id AND snapshot.snapshot_type = kind.snapshot_type
        AND status <> 'failed' AND captured_at <= ghl.latest_moment()
    ORDER BY captured_at DESC LIMIT 1
) AS latest ON true
WHERE tenant.enabled AND tenant.created_at < %(now)s - kind.within
    AND coalesce(latest.captured_at, '-infinity') < %(now)s - kind.within
ORDER BY 1, 2;

-- latest_complete -- enabled tenants whose latest capture is not a success
SELECT tenant.tenant_id, kind.snapshot_type,
    concat(
        latest.status, ' in snapshot ', latest.snapshot_id, ': ', cause ->> 'endpoint', ': ', cause ->> 'message',
        CASE WHEN provenance.errors > 1 THEN format(', and %%s more', provenance.errors - 1) END
    ) AS problem
FROM ghl.tenant
CROSS JOIN unnest(%(snapshot_types)s::text[]) AS kind (snapshot_type)
CROSS JOIN LATERAL (
    SELECT snapshot_id, status, provenance FROM ghl.snapshot
    WHERE snapshot.tenant_id = tenant.tenant_id AND snapshot.snapshot_type = kind.snapshot_type
    ORDER BY captured_at DESC, seq DESC LIMIT 1
) AS latest
JOIN ghl.provenance ON provenance.tenant_id = tenant.tenant_id AND provenance.digest = latest.provenance
CROSS JOIN LATERAL (SELECT ghl.closest_jsonb(provenance.body::text) -> 'errors' -> 0 AS cause) AS first
WHERE tenant.enabled AND latest.status <> 'success'
ORDER BY 1, 2;

-- none_from_the_future -- snapshots that claim to be captured later than it is
SELECT tenant_id, snapshot.snapshot_type,
    format('snapshot %%s claims to be captured at %%s and was stored at %%s', snapshot_id, ghl.iso(captured_at),
        ghl.iso(snapshot.created_at)) AS problem
FROM ghl.tenant
CROSS JOIN unnest(%(snapshot_types)s::text[]) AS kind (snapshot_type)
JOIN ghl.snapshot USING (tenant_id)
WHERE snapshot.snapshot_type = kind.snapshot_type AND captured_at > ghl.latest_moment()
ORDER BY 1, 2;

-- counts_match -- snapshots whose record count is not the number of entities in their payload
SELECT snapshot.tenant_id, snapshot_type,
    'snapshot ' || snapshot_id || ' says ' || record_count || ' records and holds '
        || coalesce(cardinality(entity_ids), 0) AS problem
FROM ghl.snapshot
LEFT JOIN ghl.manifest ON manifest.tenant_id = snapshot.tenant_id AND manifest.digest = snapshot.checksum
WHERE snapshot_type = ANY(%(snapshot_types)s) AND record_count IS DISTINCT FROM cardinality(entity_ids)
ORDER BY 1, 2;

-- locations_belong -- snapshots that hold entities of locations which their own capture did not list
WITH latest AS (
    SELECT DISTINCT ON (tenant_id, snapshot_type)
        tenant_id, snapshot_type, ghl_account_id, snapshot_id, version, checksum, provenance
    FROM ghl.snapshot WHERE status <> 'failed' AND snapshot_type = ANY(%(snapshot_types)s)
    ORDER BY tenant_id, snapshot_type, captured_at DESC, seq DESC
),
judged AS (
    SELECT latest.*, body.value AS metadata
    FROM latest
    JOIN ghl.provenance AS origin
        ON origin.tenant_id = latest.tenant_id AND origin.digest = latest.provenance
    CROSS JOIN LATERAL (SELECT ghl.closest_jsonb(origin.body::text)) AS body (value)
    -- Records of 1.0.0 do not have what their capture listed: nothing is known of an agency's.
    WHERE body.value ? 'locations' OR EXISTS (
        SELECT FROM ghl.tenant
        WHERE tenant.tenant_id = latest.tenant_id AND tenant.ghl_account_id = latest.ghl_account_id
            AND tenant.account_kind = 'location'
    )
),
found AS (
    SELECT judged.tenant_id, judged.snapshot_type, judged.snapshot_id, place.location_id
    FROM judged
    CROSS JOIN LATERAL (
        SELECT request ->> 'locationId' FROM jsonb_array_elements(judged.metadata -> 'requests') AS each (request)
        WHERE (request -> 'items' ->> 'count')::bigint > 0
        UNION
        SELECT ghl.entity_jsonb(entity.body) ->> 'locationId'
        FROM ghl.manifest
        CROSS JOIN unnest(manifest.entity_ids) AS listed (id)
        JOIN ghl.entity ON entity.id = listed.id
        WHERE manifest.tenant_id = judged.tenant_id AND manifest.digest = judged.checksum
    ) AS place (location_id)
    WHERE place.location_id IS NOT NULL AND place.location_id <> judged.ghl_account_id
        AND NOT coalesce(judged.metadata -> 'locations' @> to_jsonb(place.location_id), false)
)
SELECT tenant_id, snapshot_type,
    'snapshot ' || snapshot_id || ' holds entities of foreign locations: '
        || string_agg(DISTINCT location_id, ', ') AS problem
FROM found
GROUP BY tenant_id, snapshot_type, snapshot_id
UNION ALL
-- Until 1.1.0, what came without naming its location was stored although GHL refused the location's other calls.
SELECT snapshot.tenant_id, snapshot.snapshot_type,
    'snapshot ' || min(snapshot.snapshot_id) || ' and ' || count(*) - 1 || ' more hold entities of an unproven account:'
        || ' GHL refused the same token for location ' || min(unproven.location_id)
FROM ghl.snapshot
JOIN ghl.provenance AS origin
    ON origin.tenant_id = snapshot.tenant_id AND origin.digest = snapshot.provenance
CROSS JOIN LATERAL (SELECT ghl.closest_jsonb(origin.body::text)) AS body (value)
CROSS JOIN LATERAL (
    SELECT request ->> 'locationId'
    FROM jsonb_array_elements(body.value -> 'requests') AS each (request)
    JOIN jsonb_array_elements(body.value -> 'errors') AS failed (error)
        ON error ->> 'locationId' = request ->> 'locationId' AND error ->> 'kind' = 'forbidden_location'
    WHERE request ->> 'endpoint' LIKE '/conversation-ai/%%' AND (request -> 'items' ->> 'count')::bigint > 0
    LIMIT 1
) AS unproven (location_id)
WHERE snapshot.version = '1.0.0' AND snapshot.snapshot_type = ANY(%(snapshot_types)s) AND origin.errors > 0
GROUP BY snapshot.tenant_id, snapshot.snapshot_type
ORDER BY 1, 2;

-- nothing_left_out -- enabled tenants whose latest capture is complete without something, or has duplicates
SELECT tenant.tenant_id, latest.snapshot_type,
    string_agg(part.problem, '; ' ORDER BY part.problem) AS problem
FROM ghl.tenant
CROSS JOIN unnest(%(snapshot_types)s::text[]) AS kind (snapshot_type)
CROSS JOIN LATERAL (
    SELECT snapshot_type, provenance, checksum FROM ghl.snapshot
    WHERE snapshot.tenant_id = tenant.tenant_id AND snapshot.snapshot_type = kind.snapshot_type
    ORDER BY captured_at DESC, seq DESC LIMIT 1
) AS latest
JOIN ghl.provenance AS origin ON origin.tenant_id = tenant.tenant_id AND origin.digest = latest.provenance
CROSS JOIN LATERAL (SELECT ghl.closest_jsonb(origin.body::text)) AS body (value)
CROSS JOIN LATERAL (
    SELECT concat(
        item ->> 'reason', ': ', coalesce(item ->> 'endpoint', 'all calls'),
        CASE WHEN count(item ->> 'locationId') > 1 THEN format(' of %%s locations', count(*))
            ELSE ' of ' || min(item ->> 'locationId') END,
        ' (', min(item ->> 'message'), ')'
    )
    FROM jsonb_array_elements(body.value -> 'leftOut') AS each (item)
    -- That one entity has nothing of a kind, such as a schedule of its own, is ordinary.
    WHERE item ->> 'reason' <> 'absent' OR item ->> 'parentId' IS NULL
    GROUP BY item ->> 'reason', item ->> 'endpoint'
    UNION ALL
    -- That none of them has anything is not: so it looks where schedules have come off all calendars.
    SELECT concat('absent: ', absent.endpoint, ' of each of ', absent.calls, ' (', absent.message, ')')
    FROM (
        SELECT item ->> 'endpoint' AS endpoint, count(*) AS calls, min(item ->> 'message') AS message
        FROM jsonb_array_elements(body.value -> 'leftOut') AS each (item)
        WHERE item ->> 'reason' = 'absent' AND item ->> 'parentId' IS NOT NULL
        GROUP BY item ->> 'endpoint' HAVING count(*) > 1
    ) AS absent
    LEFT JOIN (
        SELECT DISTINCT request ->> 'endpoint' AS endpoint
        FROM jsonb_array_elements(body.value -> 'requests') AS each (request)
    ) AS answered USING (endpoint)
    WHERE answered.endpoint IS NULL
    UNION ALL
    SELECT concat(
        'listed more than once: ', count(*), ' of ', item ->> 'endpoint', ', such as ',
        coalesce(min(item ->> 'entityId'), 'one without an id')
    )
    FROM jsonb_array_elements(body.value -> 'duplicates') AS each (item)
    GROUP BY item ->> 'endpoint'
    UNION ALL
    -- The agency itself, where it may be read, stands first.
    SELECT concat('GHL lists ', listed.locations, ' locations, and the agency counts ', counted.locations)
    FROM ghl.manifest
    JOIN ghl.entity ON entity.id = manifest.entity_ids[1] AND entity.endpoint = '/companies/{companyId}'
    CROSS JOIN LATERAL (SELECT ghl.entity_jsonb(entity.body) ->> 'locationCount') AS counted (locations)
    CROSS JOIN LATERAL (
        SELECT count(*)::text FROM jsonb_path_query(body.value, '$.locations[*]')
    ) AS listed (locations)
    WHERE manifest.tenant_id = tenant.tenant_id AND manifest.digest = latest.checksum
        AND counted.locations <> listed.locations
) AS part (problem)
WHERE tenant.enabled
GROUP BY tenant.tenant_id, latest.snapshot_type
ORDER BY 1, 2;

-- no_location_lost -- locations of enabled tenants that were captured in the last week and are not any more
WITH listed AS (
    SELECT snapshot.tenant_id, snapshot.snapshot_type, snapshot.captured_at, snapshot.seq, body.value AS metadata,
        ARRAY(
            SELECT jsonb_array_elements_text(body.value -> 'locations')
            EXCEPT
            SELECT item ->> 'locationId' FROM jsonb_array_elements(body.value -> 'leftOut') AS each (item)
            WHERE item ->> 'endpoint' IS NULL
        ) AS captured
    FROM ghl.snapshot
    JOIN ghl.tenant ON tenant.tenant_id = snapshot.tenant_id AND tenant.enabled
    JOIN ghl.provenance AS origin
        ON origin.tenant_id = snapshot.tenant_id AND origin.digest = snapshot.provenance
    CROSS JOIN LATERAL (SELECT ghl.closest_jsonb(origin.body::text)) AS body (value)
    WHERE snapshot.snapshot_type = ANY(%(snapshot_types)s) AND snapshot.status <> 'failed'
        AND snapshot.captured_at > %(now)s - %(week)s::interval
        AND tenant.ghl_account_id = snapshot.ghl_account_id
        AND jsonb_typeof(body.value -> 'locations') = 'array'
        -- Of a list that was not read to its end nothing is known to be missing.
        AND NOT body.value -> 'errors' @> '[{"endpoint": "/locations/search"}]'
),
latest AS (
    SELECT DISTINCT ON (tenant_id, snapshot_type) * FROM listed
    ORDER BY tenant_id, snapshot_type, captured_at DESC, seq DESC
)
SELECT latest.tenant_id, latest.snapshot_type,
    concat(
        'location ', lost.location_id, ' was captured until ',
        to_char(max(lost.captured_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'), ', now: ',
        coalesce(min(item ->> 'reason') || ' (' || min(item ->> 'message') || ')', 'GHL does not list it any more')
    ) AS problem
FROM latest
CROSS JOIN LATERAL (
    SELECT location_id, listed.captured_at FROM listed
    CROSS JOIN unnest(listed.captured) AS each (location_id)
    WHERE listed.tenant_id = latest.tenant_id AND listed.snapshot_type = latest.snapshot_type
        AND location_id <> ALL (latest.captured)
) AS lost
LEFT JOIN LATERAL jsonb_array_elements(latest.metadata -> 'leftOut') AS each (item)
    ON item ->> 'locationId' = lost.location_id AND item ->> 'endpoint' IS NULL
GROUP BY latest.tenant_id, latest.snapshot_type, lost.location_id
ORDER BY 1, 2, 3;

-- no_silent_drift -- weekly captures that differ from the capture before, with no later one that agrees
SELECT weekly.tenant_id, weekly.snapshot_type,
    'snapshot ' || weekly.snapshot_id || ' of the weekly capture differs from ' || earlier.snapshot_id
        || ' before it, and no later one is like it' AS problem
FROM (
    SELECT DISTINCT ON (tenant_id, snapshot_type) * FROM ghl.snapshot
    WHERE correlation_id LIKE 'scheduled\_weekly\_%%' AND status = 'success'
        AND snapshot_type = ANY(%(snapshot_types)s)
    ORDER BY tenant_id, snapshot_type, captured_at DESC
) AS weekly
CROSS JOIN LATERAL (
    SELECT snapshot_id, checksum FROM ghl.snapshot
    WHERE snapshot.tenant_id = weekly.tenant_id AND snapshot.snapshot_type = weekly.snapshot_type
        AND status = 'success' AND captured_at < weekly.captured_at
    ORDER BY captured_at DESC LIMIT 1
) AS earlier
WHERE earlier.checksum <> weekly.checksum AND NOT EXISTS (
    SELECT FROM ghl.snapshot AS later
    WHERE later.tenant_id = weekly.tenant_id AND later.snapshot_type = weekly.snapshot_type
        AND later.captured_at > weekly.captured_at AND later.checksum = weekly.checksum
)
ORDER BY 1, 2;

-- no_collapse -- latest snapshots with less than a fifth of what was usual in the month before, in all or of a call
WITH latest AS (
    SELECT DISTINCT ON (tenant_id, snapshot_type)
        tenant_id, snapshot_type, snapshot_id, captured_at, record_count, provenance
    FROM ghl.snapshot
    WHERE status = 'success' AND snapshot_type = ANY(%(snapshot_types)s)
    ORDER BY tenant_id, snapshot_type, captured_at DESC, seq DESC
),
-- One of each day, so that a call's entities need not be counted in every hourly capture.
daily AS (
    SELECT DISTINCT ON (latest.tenant_id, latest.snapshot_type, date_trunc('day', earlier.captured_at, 'UTC'))
        latest.tenant_id, latest.snapshot_type, earlier.provenance
    FROM latest
    JOIN ghl.snapshot AS earlier USING (tenant_id, snapshot_type)
    WHERE earlier.status = 'success' AND earlier.captured_at < latest.captured_at
        AND earlier.captured_at > latest.captured_at - interval '30 days'
    ORDER BY 1, 2, date_trunc('day', earlier.captured_at, 'UTC'), earlier.captured_at DESC
),
counted AS MATERIALIZED (
    SELECT origin.tenant_id, origin.digest, request ->> 'endpoint' AS endpoint,
        sum((request -> 'items' ->> 'count')::bigint) AS records
    FROM (
        SELECT tenant_id, provenance FROM latest UNION SELECT tenant_id, provenance FROM daily
    ) AS wanted
    JOIN ghl.provenance AS origin
        ON origin.tenant_id = wanted.tenant_id AND origin.digest = wanted.provenance
    CROSS JOIN LATERAL json_array_elements(origin.body -> 'requests') AS each (request)
    GROUP BY 1, 2, 3
),
usual_of_call AS (
    SELECT daily.tenant_id, daily.snapshot_type, counted.endpoint,
        percentile_disc(0.5) WITHIN GROUP (ORDER BY counted.records) AS records
    FROM daily
    JOIN counted ON counted.tenant_id = daily.tenant_id AND counted.digest = daily.provenance
    GROUP BY 1, 2, 3
)
SELECT latest.tenant_id, latest.snapshot_type,
    latest.record_count || ' records in snapshot ' || latest.snapshot_id || ' where ' || usual.records
        || ' were usual' AS problem
FROM latest
CROSS JOIN LATERAL (
    SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY record_count) AS records FROM ghl.snapshot
    WHERE snapshot.tenant_id = latest.tenant_id AND snapshot.snapshot_type = latest.snapshot_type
        AND status = 'success' AND captured_at < latest.captured_at
        AND captured_at > latest.captured_at - interval '30 days'
) AS usual
WHERE usual.records >= 5 AND latest.record_count * 5 < usual.records
UNION ALL
SELECT latest.tenant_id, latest.snapshot_type,
    coalesce(present.records, 0) || ' records of ' || usual.endpoint || ' in snapshot ' || latest.snapshot_id
        || ' where ' || usual.records || ' were usual' AS problem
FROM latest
JOIN usual_of_call AS usual USING (tenant_id, snapshot_type)
LEFT JOIN counted AS present
    ON present.tenant_id = latest.tenant_id AND present.digest = latest.provenance
    AND present.endpoint = usual.endpoint
WHERE usual.records >= 5 AND coalesce(present.records, 0) * 5 < usual.records
ORDER BY 1, 2, 3;

-- not_always_changing -- entities whose content was new in each of the last five captures
WITH newest AS MATERIALIZED (
    SELECT tenant.tenant_id, kind.snapshot_type, recent.*
    FROM ghl.tenant
    CROSS JOIN unnest(%(snapshot_types)s::text[]) AS kind (snapshot_type)
    CROSS JOIN LATERAL (
        SELECT checksum, provenance, created_at, row_number() OVER (ORDER BY captured_at DESC, seq DESC) AS number
        FROM ghl.snapshot
        WHERE snapshot.tenant_id = tenant.tenant_id AND snapshot.snapshot_type = kind.snapshot_type
            AND status <> 'failed'
        ORDER BY captured_at DESC, seq DESC LIMIT 5
    ) AS recent
    WHERE tenant.enabled
),
changing AS MATERIALIZED (
    SELECT tenant_id, snapshot_type, min(created_at) AS since FROM newest
    GROUP BY 1, 2 HAVING count(DISTINCT checksum) = 5
),
fresh AS MATERIALIZED (
    SELECT newest.tenant_id, newest.snapshot_type, newest.number, newest.provenance,
        entity.id, entity.entity_id, listed.position - 1 AS position
    FROM changing
    JOIN newest USING (tenant_id, snapshot_type)
    JOIN ghl.manifest ON manifest.tenant_id = newest.tenant_id AND manifest.digest = newest.checksum
    CROSS JOIN unnest(manifest.entity_ids) WITH ORDINALITY AS listed (id, position)
    JOIN ghl.entity ON entity.id = listed.id
    WHERE entity.first_seen > changing.since
),
-- Where a request's entities stand in the payload, and where those of its whole list begin.
request AS MATERIALIZED (
    SELECT each.*, min(begins) OVER (PARTITION BY tenant_id, provenance, endpoint, location_id, parent_id) AS list_begins
    FROM (
        SELECT wanted.tenant_id, wanted.provenance, item ->> 'endpoint' AS endpoint,
            item ->> 'locationId' AS location_id, item ->> 'parentId' AS parent_id,
            (item -> 'items' ->> 'offset')::bigint AS begins, (item -> 'items' ->> 'count')::bigint AS entities
        FROM (SELECT DISTINCT tenant_id, provenance FROM fresh) AS wanted
        JOIN ghl.provenance AS origin
            ON origin.tenant_id = wanted.tenant_id AND origin.digest = wanted.provenance
        CROSS JOIN LATERAL json_array_elements(origin.body -> 'requests') AS requests (item)
    ) AS each
),
seen AS (
    SELECT fresh.tenant_id, snapshot_type, number, id, location_id, parent_id, concat(
        coalesce('entity ' || entity_id, 'the entity at place ' || position - list_begins + 1), ' of ', endpoint,
        CASE WHEN entity_id IS NULL THEN ' of location ' || location_id || ', which has no id,' END
    ) AS name
    FROM fresh
    JOIN request ON request.tenant_id = fresh.tenant_id AND request.provenance = fresh.provenance
        AND position >= begins AND position < begins + entities
)
SELECT tenant_id, snapshot_type, name || ' had a new content in each of the last 5 captures' AS problem
FROM seen
GROUP BY tenant_id, snapshot_type, location_id, parent_id, name
HAVING count(DISTINCT id) >= 4 AND min(number) = 1
ORDER BY 1, 2, 3;

-- schedules_kept -- enabled tenants with fewer scheduled captures in the week than the schedules called for
SELECT tenant.tenant_id, kind.snapshot_type,
    actual.captures || ' scheduled captures since ' || to_char(span.begins AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')
        || ', expected ' || due.expected AS problem
FROM ghl.tenant
CROSS JOIN unnest(%(snapshot_types)s::text[]) AS kind (snapshot_type)
CROSS JOIN LATERAL (SELECT greatest(tenant.created_at, %(now)s - %(week)s::interval) AS begins) AS span
CROSS JOIN LATERAL (
    SELECT count(*) AS expected
    FROM unnest(%(tick_types)s::text[], %(tick_times)s::timestamptz[]) AS tick (snapshot_type, due_at)
    WHERE tick.snapshot_type = kind.snapshot_type AND tick.due_at >= span.begins
) AS due
CROSS JOIN LATERAL (
    SELECT count(*) AS captures FROM ghl.snapshot
    WHERE snapshot.tenant_id = tenant.tenant_id AND snapshot.snapshot_type = kind.snapshot_type
        AND source = 'scheduled' AND captured_at >= span.begins
) AS actual
WHERE tenant.enabled AND actual.captures + 1 < due.expected * 0.9
ORDER BY 1, 2;
