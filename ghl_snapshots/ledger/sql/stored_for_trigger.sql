-- The snapshots of one type that a trigger has led to for some tenants. Run as ghl_snapshots_auditor.
SELECT tenant_id, snapshot_id FROM ghl.snapshot
WHERE correlation_id = %(correlation_id)s AND snapshot_type = %(snapshot_type)s
    AND tenant_id = ANY(%(tenant_ids)s)
