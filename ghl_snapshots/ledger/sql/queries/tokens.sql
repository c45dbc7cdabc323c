-- OAuth tokens.

-- lock_tokens -- let one process at a time refresh a tenant's tokens, until its transaction ends
SELECT pg_advisory_xact_lock(hashtextextended(%(tenant_id)s, 4712));

-- tokens -- a tenant's encrypted OAuth tokens
SELECT refresh_token, access_token, access_expires_at FROM ghl.oauth_token WHERE tenant_id = %(tenant_id)s;

-- store_tokens -- replace a tenant's encrypted OAuth tokens
INSERT INTO ghl.oauth_token (tenant_id, refresh_token, access_token, access_expires_at)
VALUES (%(tenant_id)s, %(refresh_token)s, %(access_token)s, %(access_expires_at)s)
ON CONFLICT (tenant_id) DO UPDATE
SET refresh_token = EXCLUDED.refresh_token, access_token = EXCLUDED.access_token,
    access_expires_at = EXCLUDED.access_expires_at, updated_at = clock_timestamp();

-- expiring_tokens -- enabled tenants whose access token expires soon and whose refresh did not fail lately
SELECT tenant_id FROM ghl.tenant JOIN ghl.oauth_token USING (tenant_id)
WHERE enabled AND credential = 'oauth'
    -- GHL's live for a day, so one that seems to live longer was stored by a machine whose clock was wrong.
    AND (access_expires_at IS NULL OR access_expires_at NOT BETWEEN clock_timestamp() + %(within)s
        AND clock_timestamp() + interval '2 days')
    AND NOT EXISTS (
        SELECT FROM ghl.audit_event AS failed
        WHERE failed.tenant_id = tenant.tenant_id AND failed.occurred_at > clock_timestamp() - interval '1 hour'
            AND failed.occurred_at <= ghl.latest_moment() AND failed.event_type = 'ghl_snapshot_credential_refreshed' AND NOT failed.success
    )
ORDER BY access_expires_at NULLS FIRST, tenant_id
LIMIT %(limit)s;

-- location_tokens -- the encrypted tokens and the refusals of a tenant's locations, the known ones left out
SELECT location_id, token, refusal, expires_at FROM ghl.location_token
WHERE tenant_id = %(tenant_id)s AND expires_at > clock_timestamp() AND location_id <> ALL (%(known)s::text[]);

-- store_location_tokens -- store locations' encrypted tokens and refusals in the place of older ones
INSERT INTO ghl.location_token (tenant_id, location_id, token, refusal, expires_at)
SELECT %(tenant_id)s, location_id, token, refusal, expires_at
FROM unnest(%(location_ids)s::text[], %(tokens)s::bytea[], %(refusals)s::jsonb[], %(expiries)s::timestamptz[])
    AS each (location_id, token, refusal, expires_at)
ON CONFLICT (tenant_id, location_id) DO UPDATE
SET token = EXCLUDED.token, refusal = EXCLUDED.refusal, expires_at = EXCLUDED.expires_at;

-- set_tokens_aside -- keep a refresh token of another account where nothing uses it
UPDATE ghl.oauth_token SET set_aside = %(refresh_token)s, set_aside_account = %(account_id)s
WHERE tenant_id = %(tenant_id)s;

-- expire_location_tokens -- let a tenant's location tokens be asked for anew
UPDATE ghl.location_token SET expires_at = 'epoch' WHERE tenant_id = %(tenant_id)s;
