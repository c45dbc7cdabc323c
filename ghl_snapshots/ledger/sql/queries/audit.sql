-- The audit trail.

-- add_audit_event -- append to the audit trail
INSERT INTO ghl.audit_event (
    event_id, event_type, tenant_id, ghl_account_id, correlation_id, success, source, details
) VALUES (
    %(event_id)s::uuid, %(event_type)s, %(tenant_id)s, %(ghl_account_id)s, %(correlation_id)s,
    %(success)s, %(source)s, %(details)s
);

-- add_full_run_event -- append the event of a tenant's run, unless its trigger has one of that tenant already
-- No index is named: that would need the right to read the row, and an event of no tenant is not readable.
INSERT INTO ghl.audit_event (
    event_id, event_type, tenant_id, ghl_account_id, correlation_id, success, source, details
) VALUES (
    %(event_id)s::uuid, %(event_type)s, %(tenant_id)s, %(ghl_account_id)s, %(correlation_id)s,
    %(success)s, %(source)s, %(details)s
)
ON CONFLICT DO NOTHING;

-- audit_events -- the newest events that match everything that is given
SELECT event_type, tenant_id, ghl_account_id, correlation_id, occurred_at, success, source, details
FROM ghl.audit_event
WHERE (%(tenant_id)s::text IS NULL OR tenant_id = %(tenant_id)s)
    AND (%(correlation_id)s::text IS NULL OR correlation_id = %(correlation_id)s)
    AND (%(event_type)s::text IS NULL OR event_type = %(event_type)s)
    AND (%(since)s::timestamptz IS NULL OR occurred_at >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR occurred_at < %(until)s)
ORDER BY occurred_at DESC, event_id DESC LIMIT %(limit)s;

-- totals_of_trigger -- what a trigger led to, for those of the tenants without an event of this type
SELECT asked.tenant_id, tenant.ghl_account_id, stored.*
FROM unnest(%(tenant_ids)s::text[]) AS asked (tenant_id)
LEFT JOIN ghl.tenant ON tenant.tenant_id = asked.tenant_id
CROSS JOIN LATERAL (
    SELECT count(*) AS snapshots, count(*) FILTER (WHERE status = 'success') AS successful,
        coalesce(sum(record_count), 0) AS records, coalesce(sum(duration_ms), 0) AS duration_ms
    FROM ghl.snapshot
    WHERE snapshot.correlation_id = %(correlation_id)s AND snapshot.tenant_id = asked.tenant_id
) AS stored
WHERE NOT EXISTS (
    SELECT FROM ghl.audit_event AS event
    WHERE event.correlation_id = %(correlation_id)s AND event.tenant_id = asked.tenant_id
        AND event.event_type = %(event_type)s
)
ORDER BY 1;
