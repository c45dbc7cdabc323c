-- A writer names no entity's id, nor when it was first seen; schema.sql explains.

SET LOCAL search_path = ghl, pg_catalog;

REVOKE INSERT ON entity FROM ghl_snapshots_writer;
GRANT INSERT (tenant_id, digest, endpoint, location_id, entity_id, body) ON entity TO ghl_snapshots_writer;
