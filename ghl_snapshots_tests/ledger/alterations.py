"""Alterations of the schema, each with what `drift` says of it, and such that are nobody's concern."""

from collections.abc import Mapping, Sequence

ALTERED: Mapping[str, tuple[str, Sequence[str]]] = {
    "a dropped trigger": (
        "DROP TRIGGER append_only ON snapshot",
        ["trigger append_only on table snapshot is missing"],
    ),
    "a disabled trigger": (
        "ALTER TABLE entity DISABLE TRIGGER append_only",
        ["trigger append_only on table entity is altered: disabled: "],
    ),
    "a trigger that replication walks past": (
        "ALTER TABLE snapshot ENABLE TRIGGER link_snapshot",
        ["trigger link_snapshot on table snapshot is altered: on: "],
    ),
    "a trigger for some rows only": (
        (
            "CREATE OR REPLACE TRIGGER link_snapshot BEFORE INSERT ON snapshot FOR EACH ROW WHEN "
            "(NEW.source = 'api') EXECUTE FUNCTION link_snapshot()"
        ),
        ["trigger link_snapshot on table snapshot is altered: "],
    ),
    "another trigger": (
        "CREATE TRIGGER more BEFORE INSERT ON entity EXECUTE FUNCTION refuse_change()",
        ["trigger more on table entity is not of this release: on: CREATE TRIGGER more BEFORE INSERT"],
    ),
    "unchecked foreign keys": (
        (
            "ALTER TABLE manifest DISABLE TRIGGER ALL; ALTER TABLE manifest ENABLE ALWAYS TRIGGER "
            "append_only, ENABLE ALWAYS TRIGGER check_manifest"
        ),
        ["constraint snapshot_tenant_id_checksum_fkey on table snapshot is altered: FOREIGN KEY"],
    ),
    "foreign keys that no session checks": (
        (
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET session_replication_role = replica', "
            "current_database()); END $$"
        ),
        ["setting session_replication_role of the database is not of this release: replica"],
    ),
    "a function that no longer refuses": (
        (
            "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN "
            "NULL; END'"
        ),
        ["body of function refuse_change() is altered: SHA-256 "],
    ),
    "a function with a text that others have in them": (
        (
            "CREATE OR REPLACE FUNCTION note_quota(resource text, on_day date, left_over integer, of_all "
            "integer) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = ghl, pg_catalog, pg_temp "
            "AS ''"
        ),
        ["body of function note_quota(text,date,integer,integer) is altered: SHA-256 "],
    ),
    "a function with an SQL body": (
        (
            "CREATE OR REPLACE FUNCTION iso(moment timestamptz) RETURNS text LANGUAGE sql IMMUTABLE "
            "PARALLEL SAFE RETURN '2026-03-03'"
        ),
        [
            (
                "body of function iso(timestamp with time zone) is altered: RETURN '2026-03-03'::text "
                "instead of RETURN to_char"
            )
        ],
    ),
    "a function that finds another schema's": (
        "ALTER FUNCTION metadata SET search_path = public, ghl, pg_catalog",
        ["function metadata(ghl.snapshot,jsonb) is altered: "],
    ),
    "a function with its owner's rights": (
        "ALTER FUNCTION request_status SECURITY DEFINER",
        ["function request_status(ghl.snapshot_request) is altered: "],
    ),
    "a function of another volatility": (
        "ALTER FUNCTION metadata VOLATILE",
        ["function metadata(ghl.snapshot,jsonb) is altered: "],
    ),
    "a function's other owner": (
        "ALTER FUNCTION note_quota OWNER TO postgres",
        [
            (
                "owner of function note_quota(text,date,integer,integer) is altered: "
                "postgres instead of ghl_snapshots_owner"
            )
        ],
    ),
    "a missing function": (
        "DROP FUNCTION duration_bounds",
        ["function duration_bounds() is missing"],
    ),
    "another function": (
        (
            "CREATE FUNCTION metadata(row_ snapshot, provenance_body json) RETURNS jsonb LANGUAGE sql "
            "RETURN '{}'::jsonb"
        ),
        [
            (
                "function metadata(ghl.snapshot,json) is not of this release: (row_ ghl.snapshot, "
                "provenance_body json)"
            )
        ],
    ),
    "a view that lies": (
        (
            "CREATE OR REPLACE VIEW ghl_snapshot_audit_event WITH (security_invoker = true) AS SELECT "
            "event_id, event_type, tenant_id, ghl_account_id, correlation_id, occurred_at AS timestamp, "
            "true AS success, source, details FROM audit_event"
        ),
        ["body of view ghl_snapshot_audit_event is altered: "],
    ),
    "a view with its owner's rights": (
        "ALTER VIEW ghl_snapshot RESET (security_invoker)",
        ["view ghl_snapshot is altered: permanent instead of permanent, security_invoker=true"],
    ),
    "another view": (
        "CREATE VIEW all_snapshots AS SELECT * FROM snapshot",
        ["view all_snapshots is not of this release: permanent"],
    ),
    "a rule that throws events away": (
        "CREATE RULE silent AS ON INSERT TO audit_event DO INSTEAD NOTHING",
        [
            (
                "rule silent on table audit_event is not of this release: on: CREATE RULE silent AS ON "
                "INSERT TO ghl.audit_event DO INSTEAD NOTHING;"
            )
        ],
    ),
    "a dropped check": (
        "ALTER TABLE entity DROP CONSTRAINT entity_check",
        ["constraint entity_check on table entity is missing"],
    ),
    "a check of new rows only": (
        (
            "ALTER TABLE snapshot DROP CONSTRAINT snapshot_status_check, ADD CONSTRAINT "
            "snapshot_status_check CHECK (status IN ('success', 'partial_failure', 'failed')) NOT VALID"
        ),
        ["constraint snapshot_status_check on table snapshot is altered: "],
    ),
    "a dropped foreign key": (
        "ALTER TABLE snapshot DROP CONSTRAINT snapshot_tenant_id_checksum_fkey",
        ["constraint snapshot_tenant_id_checksum_fkey on table snapshot is missing"],
    ),
    "a trigger's name that may come twice": (
        "ALTER TABLE snapshot DROP CONSTRAINT snapshot_correlation_id_tenant_id_snapshot_type_key",
        [
            "constraint snapshot_correlation_id_tenant_id_snapshot_type_key on table snapshot is missing",
            "index snapshot_correlation_id_tenant_id_snapshot_type_key is missing",
        ],
    ),
    "a column that may be empty": (
        "ALTER TABLE audit_event ALTER details DROP NOT NULL",
        ["column details of table audit_event is altered: jsonb instead of jsonb NOT NULL"],
    ),
    "a column's other default": (
        "ALTER TABLE snapshot ALTER version SET DEFAULT '9.0.0'",
        [
            (
                "column version of table snapshot is altered: text NOT NULL DEFAULT '9.0.0'::text instead "
                "of text NOT NULL DEFAULT '1.0.0'::text"
            )
        ],
    ),
    "another column": (
        "ALTER TABLE snapshot ADD COLUMN note text",
        ["column note of table snapshot is not of this release: text"],
    ),
    "another table": (
        "CREATE TABLE more () INHERITS (snapshot)",
        [
            "inheritance of ghl.more from ghl.snapshot is not of this release: there",
            "table more is not of this release: permanent",
        ],
    ),
    "rows from a table elsewhere": (
        "CREATE TABLE public.more () INHERITS (ghl.entity)",
        ["inheritance of public.more from ghl.entity is not of this release: there"],
    ),
    "an operator that is taken for the server's": (
        (
            "CREATE FUNCTION public.same(bytea, bytea) RETURNS boolean LANGUAGE sql RETURN true; CREATE "
            "OPERATOR ghl.= (FUNCTION = public.same, LEFTARG = bytea, RIGHTARG = bytea)"
        ),
        ["operator ghl.=(pg_catalog.bytea,pg_catalog.bytea) is not of this release: there"],
    ),
    "row security switched off": (
        "ALTER TABLE manifest DISABLE ROW LEVEL SECURITY",
        ["row security of table manifest is altered: off instead of enabled and forced"],
    ),
    "row security of what the API keeps switched off": (
        (
            "ALTER TABLE location_token DISABLE ROW LEVEL SECURITY; ALTER TABLE api_key_tenant DISABLE ROW "
            "LEVEL SECURITY"
        ),
        [
            "row security of table api_key_tenant is altered: off instead of enabled and forced",
            "row security of table location_token is altered: off instead of enabled and forced",
        ],
    ),
    "an owner who may pass row security": (
        "ALTER TABLE snapshot NO FORCE ROW LEVEL SECURITY",
        ["row security of table snapshot is altered: enabled, not forced instead of enabled and forced"],
    ),
    "a policy that lets everything through": (
        "CREATE POLICY generous ON snapshot TO ghl_snapshots_reader USING (true)",
        [
            (
                "policy generous on table snapshot is not of this release: permissive for ALL to "
                "ghl_snapshots_reader using true"
            )
        ],
    ),
    "all rows for the reader": (
        "ALTER POLICY all_rows_read ON entity TO ghl_snapshots_reader",
        [
            (
                "policy all_rows_read on table entity is altered: permissive for SELECT to "
                "ghl_snapshots_reader using true instead of permissive for SELECT to ghl_snapshots_auditor "
                "using true"
            )
        ],
    ),
    "a policy that ends in an or": (
        (
            "ALTER POLICY own_rows_read ON entity USING (tenant_id = (SELECT "
            "current_setting('app.tenant_id', true)) OR endpoint = '/workflows/')"
        ),
        ["policy own_rows_read on table entity is altered: "],
    ),
    "a dropped policy": (
        "DROP POLICY own_rows_added ON manifest",
        ["policy own_rows_added on table manifest is missing"],
    ),
    "a right to update": (
        "GRANT UPDATE ON snapshot TO ghl_snapshots_writer",
        ["right of ghl_snapshots_writer on table snapshot is altered: SELECT, UPDATE instead of SELECT"],
    ),
    "a right to update a column": (
        "GRANT UPDATE (status) ON snapshot TO ghl_snapshots_writer",
        [
            (
                "right of ghl_snapshots_writer on column status of table snapshot is altered: INSERT, UPDATE "
                "instead of INSERT"
            )
        ],
    ),
    "a right of everybody's": (
        "GRANT DELETE ON audit_event TO PUBLIC",
        ["right of PUBLIC on table audit_event is not of this release: DELETE"],
    ),
    "a right of somebody else's": (
        "GRANT SELECT ON oauth_token TO pg_monitor",
        ["right of pg_monitor on table oauth_token is not of this release: SELECT"],
    ),
    "a right to pass on": (
        "GRANT SELECT ON snapshot TO ghl_snapshots_reader WITH GRANT OPTION",
        [
            (
                "right of ghl_snapshots_reader on table snapshot is altered: SELECT and pass on instead of "
                "SELECT"
            )
        ],
    ),
    "a right on a function": (
        "GRANT EXECUTE ON FUNCTION api_key_of TO PUBLIC",
        ["right of PUBLIC on function api_key_of(bytea) is not of this release: EXECUTE"],
    ),
    "a right to make objects": (
        "GRANT CREATE ON SCHEMA ghl TO ghl_snapshots_writer",
        ["right of ghl_snapshots_writer on schema ghl is altered: CREATE, USAGE instead of USAGE"],
    ),
    "a right that is taken": (
        "REVOKE SELECT ON entity FROM ghl_snapshots_reader",
        ["right of ghl_snapshots_reader on table entity is missing"],
    ),
    "rights of what will be made": (
        (
            "ALTER DEFAULT PRIVILEGES FOR ROLE ghl_snapshots_owner IN SCHEMA ghl GRANT UPDATE ON TABLES TO "
            "PUBLIC"
        ),
        ["default acl for role ghl_snapshots_owner in schema ghl on tables is not of this release: there"],
    ),
    "a role that takes on another": (
        "GRANT ghl_snapshots_auditor TO ghl_snapshots_reader",
        ["membership of ghl_snapshots_reader in ghl_snapshots_auditor is not of this release: there"],
    ),
    "a role that reads everything": (
        "GRANT pg_read_all_data TO ghl_snapshots_reader",
        ["membership of ghl_snapshots_reader in pg_read_all_data is not of this release: there"],
    ),
    "a role that row security does not bind": (
        "ALTER ROLE ghl_snapshots_reader LOGIN BYPASSRLS",
        ["role ghl_snapshots_reader is altered: LOGIN, BYPASSRLS instead of without attributes"],
    ),
    "another owner": (
        "ALTER TABLE schema_version OWNER TO pg_monitor",
        ["owner of table schema_version is altered: pg_monitor instead of ghl_snapshots_owner"],
    ),
    "an event trigger": (
        (
            "CREATE FUNCTION public.undo() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE "
            "EVENT TRIGGER meddler ON ddl_command_end EXECUTE FUNCTION public.undo()"
        ),
        ["event trigger meddler is not of this release: on: on ddl_command_end, public.undo()"],
    ),
    "a schema that is searched first": (
        (
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, ghl', "
            "current_database()); END $$"
        ),
        ["setting search_path of the database is not of this release: public, ghl"],
    ),
}
"""By what was done: the statements, and how each of the sentences begins."""

ALLOWED: Mapping[str, str] = {
    "logins that are members of ours": (
        "CREATE ROLE ghl_capture LOGIN IN ROLE ghl_snapshots_writer, ghl_snapshots_reader; CREATE ROLE "
        "ghl_audit LOGIN IN ROLE ghl_snapshots_auditor; CREATE ROLE ghl_migrate LOGIN CREATEDB "
        "CREATEROLE; GRANT ghl_snapshots_owner TO ghl_migrate WITH ADMIN TRUE, INHERIT FALSE"
    ),
    "a view of the administrator's": "CREATE VIEW public.report WITH (security_invoker = true) "
    "AS SELECT tenant_id FROM ghl.ghl_snapshot",
    "a search path that goes on": (
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = ghl, reports, public', "
        "current_database()); END $$"
    ),
    "a database whose copy has no settings": (
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET ALL', current_database()); END $$"
    ),
    "how a table is stored": (
        "ALTER TABLE snapshot SET (autovacuum_vacuum_scale_factor = 0.01); ALTER TABLE entity ALTER "
        "body SET STORAGE EXTERNAL"
    ),
    "the owner's rights written out": "GRANT ALL ON snapshot TO ghl_snapshots_owner; "
    "REVOKE TRUNCATE ON snapshot FROM ghl_snapshots_owner",
}
