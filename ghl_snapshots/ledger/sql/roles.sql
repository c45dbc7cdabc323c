-- The four group roles; they belong to the whole server, so several databases on it share them.
-- owner owns every object; writer appends for one tenant at a time; reader reads one tenant; auditor reads all.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'ghl_snapshots_owner', 'ghl_snapshots_writer', 'ghl_snapshots_reader', 'ghl_snapshots_auditor'
    ] LOOP
        -- A login that may not create roles can go on with those that an administrator made for it.
        IF to_regrole(quote_ident(name)) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- made by another migration at this moment
            END;
        END IF;
        -- A login that may create roles can hand them out, and needs to be a member to act as them.
        IF NOT pg_has_role(current_user, name, 'SET') THEN
            EXECUTE format('GRANT %I TO %I WITH INHERIT TRUE, SET TRUE', name, current_user);
        END IF;
    END LOOP;
END $$;

CREATE SCHEMA IF NOT EXISTS ghl AUTHORIZATION ghl_snapshots_owner;

DO $$
BEGIN
    EXECUTE format('ALTER DATABASE %I SET search_path = ghl, public', current_database());
END $$;
