-- Keys of the HTTP API.

-- add_key -- add an API key, which opens nothing before it is given tenants
INSERT INTO ghl.api_key (key_id, secret_hash, role, note)
VALUES (%(key_id)s, %(secret_hash)s, %(role)s, %(note)s);

-- add_key_tenant -- let a key see a tenant
INSERT INTO ghl.api_key_tenant (key_id, tenant_id) VALUES (%(key_id)s, %(tenant_id)s);

-- keys -- every key, the revoked ones included, or the one of this id
SELECT key_id, role, note, created_at, revoked_at, ARRAY(
    SELECT tenant_id FROM ghl.api_key_tenant AS held WHERE held.key_id = api_key.key_id ORDER BY 1
) AS tenant_ids
FROM ghl.api_key WHERE %(key_id)s::text IS NULL OR key_id = %(key_id)s
ORDER BY created_at, key_id;

-- any_key -- whether a key was ever made, revoked since or not
SELECT EXISTS (SELECT FROM ghl.api_key) AS made;

-- key_of_secret -- the key whose secret has this SHA-256
SELECT * FROM ghl.api_key_of(%(secret_hash)s);

-- revoke_key -- revoke a key; nothing comes back if it was revoked before
UPDATE ghl.api_key SET revoked_at = clock_timestamp()
WHERE key_id = %(key_id)s AND revoked_at IS NULL
RETURNING key_id;
