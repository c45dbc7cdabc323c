-- The enabled tenants of whom there is no snapshot yet, not even a failed one. Run as ghl_snapshots_auditor.
SELECT tenant_id FROM ghl.tenant
WHERE enabled AND NOT EXISTS (SELECT FROM ghl.snapshot WHERE snapshot.tenant_id = tenant.tenant_id)
ORDER BY tenant_id
