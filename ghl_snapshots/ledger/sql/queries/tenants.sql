-- The registry of tenants.

-- tenants -- every tenant of the registry
SELECT tenant_id, ghl_account_id, account_kind, credential, enabled, overrides FROM ghl.tenant ORDER BY tenant_id;

-- tenants_by_ids -- those of the tenants that the registry holds
SELECT tenant_id, ghl_account_id, account_kind, credential, enabled, overrides FROM ghl.tenant
WHERE tenant_id = ANY (%(tenant_ids)s) ORDER BY tenant_id;

-- enabled_tenants -- ids of all enabled tenants
SELECT tenant_id FROM ghl.tenant WHERE enabled;

-- tenant -- one tenant
SELECT tenant_id, ghl_account_id, account_kind, credential, enabled, overrides FROM ghl.tenant
WHERE tenant_id = %(tenant_id)s;

-- tenant_to_change -- one tenant, which no other transaction may change before this one is over
SELECT tenant_id, ghl_account_id, account_kind, credential, enabled, overrides FROM ghl.tenant
WHERE tenant_id = %(tenant_id)s FOR NO KEY UPDATE;

-- never_captured -- the enabled tenants of whom there is no snapshot yet, not even a failed one
SELECT tenant_id FROM ghl.tenant
WHERE enabled AND NOT EXISTS (SELECT FROM ghl.snapshot WHERE snapshot.tenant_id = tenant.tenant_id);

-- add_tenant -- add a tenant; nothing comes back if its id is taken
INSERT INTO ghl.tenant (tenant_id, ghl_account_id, account_kind, credential, enabled, overrides)
VALUES (%(tenant_id)s, %(ghl_account_id)s, %(account_kind)s, %(credential)s, %(enabled)s, %(overrides)s)
ON CONFLICT (tenant_id) DO NOTHING
RETURNING tenant_id;

-- change_tenant -- change a tenant; nothing comes back if there is none or nothing to change
UPDATE ghl.tenant
SET ghl_account_id = %(ghl_account_id)s, account_kind = %(account_kind)s, credential = %(credential)s,
    enabled = %(enabled)s, overrides = %(overrides)s, updated_at = clock_timestamp()
WHERE tenant_id = %(tenant_id)s AND (ghl_account_id, account_kind, credential, enabled, overrides)
    IS DISTINCT FROM (%(ghl_account_id)s, %(account_kind)s, %(credential)s, %(enabled)s, %(overrides)s::jsonb)
RETURNING tenant_id;
