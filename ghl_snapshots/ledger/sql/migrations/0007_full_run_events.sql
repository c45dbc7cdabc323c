-- What makes a full-run event the only one is its tenant and trigger, no longer its id; schema.sql explains.

SET LOCAL search_path = ghl, pg_catalog;

CREATE UNIQUE INDEX full_run_event ON audit_event (correlation_id, tenant_id) NULLS NOT DISTINCT
    WHERE event_type = 'ghl_snapshot_full_run';
