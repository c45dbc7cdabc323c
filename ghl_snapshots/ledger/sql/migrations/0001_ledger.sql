-- The ledger as it was first released; schema.sql explains it.
--
-- entity      one distinct JSON object of a tenant, as the exact bytes received
-- manifest    the ordered entities of a payload; equal payloads share one
-- provenance  where a payload's items came from and what is missing; captures that went alike share one
-- snapshot    the immutable record of one capture, linked into the chain of its tenant and type
--
-- Nothing is shared between tenants, nothing is ever updated or deleted, and row security keeps each session
-- to the tenant named by the setting app.tenant_id.

SET LOCAL search_path = ghl, pg_catalog;

CREATE TABLE schema_version (
    version integer PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Registry ------------------------------------------------------------------------------------------------

CREATE TABLE tenant (
    tenant_id text PRIMARY KEY CHECK (tenant_id ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$' AND tenant_id !~ '\.\.'),
    ghl_account_id text NOT NULL CHECK (ghl_account_id ~ '^[A-Za-z0-9_-]{1,64}$'),
    account_kind text NOT NULL CHECK (account_kind IN ('location', 'company')),
    -- A reference to where the token is, never the token.
    credential text NOT NULL CHECK (credential ~ '^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+|oauth)$'),
    enabled boolean NOT NULL DEFAULT true,
    overrides jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(overrides) = 'object'),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- OAuth tokens, encrypted by the application; the key is never in the database.
CREATE TABLE oauth_token (
    tenant_id text PRIMARY KEY REFERENCES tenant,
    refresh_token bytea NOT NULL,
    access_token bytea,
    access_expires_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Ledger --------------------------------------------------------------------------------------------------

CREATE TABLE entity (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    digest bytea NOT NULL CHECK (digest = sha256(body)),
    -- Where these bytes were first seen; a snapshot's metadata says where they were seen in that capture.
    endpoint text NOT NULL,
    location_id text,
    entity_id text,
    first_seen timestamptz NOT NULL DEFAULT clock_timestamp(),
    body bytea NOT NULL,
    UNIQUE (tenant_id, digest)
);
CREATE INDEX entity_history ON entity (tenant_id, entity_id) WHERE entity_id IS NOT NULL;

CREATE TABLE manifest (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    -- SHA-256 over the entities' digests in order: the checksum of the snapshots that point here.
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    entity_ids bigint[] NOT NULL,
    PRIMARY KEY (tenant_id, digest)
);

-- A payload's metadata without what differs between two captures that went alike, which is when each request
-- was sent, how long it took and its trace id: a snapshot holds these in arrays, since at an object a request
-- they would be most of what an unchanged snapshot costs.
CREATE TABLE provenance (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    digest bytea NOT NULL CHECK (digest = sha256(convert_to(body::text, 'UTF8'))),
    body json NOT NULL,
    records integer NOT NULL GENERATED ALWAYS AS ((body ->> 'totalCount')::integer) STORED,
    requests integer NOT NULL GENERATED ALWAYS AS (json_array_length(body -> 'requests')) STORED,
    errors integer NOT NULL GENERATED ALWAYS AS (json_array_length(body -> 'errors')) STORED,
    PRIMARY KEY (tenant_id, digest)
);

-- The columns of fixed width come first, since in another order each row has more bytes of padding.
CREATE TABLE snapshot (
    captured_at timestamptz NOT NULL CHECK (isfinite(captured_at)),
    created_at timestamptz NOT NULL,
    -- Place in the chain; the trigger sets it and the chain value, whatever a writer sends.
    seq bigint NOT NULL,
    record_count integer NOT NULL CHECK (record_count >= 0),
    duration_ms integer NOT NULL CHECK (duration_ms >= 0),
    api_calls integer NOT NULL CHECK (api_calls >= 0),
    snapshot_id text PRIMARY KEY CHECK (snapshot_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'),
    tenant_id text NOT NULL REFERENCES tenant,
    ghl_account_id text NOT NULL CHECK (ghl_account_id <> ''),
    snapshot_type text NOT NULL
        CHECK (snapshot_type IN ('locations', 'pipelines', 'workflows', 'calendars', 'ai_workers')),
    version text NOT NULL DEFAULT '1.0.0' CHECK (version ~ '^[0-9]+\.[0-9]+\.[0-9]+$'),
    status text NOT NULL CHECK (status IN ('success', 'partial_failure', 'failed')),
    checksum bytea NOT NULL,
    provenance bytea NOT NULL,
    -- One element for each of the provenance's requests: microseconds from captured_at to its sending, its
    -- duration, and its trace id where that is a UUID (any other trace id is in the provenance).
    sent_after_us bigint[] NOT NULL,
    took_ms integer[] NOT NULL,
    trace_ids uuid[] NOT NULL,
    created_by text NOT NULL DEFAULT 'system' CHECK (created_by <> ''),
    source text NOT NULL CHECK (source IN ('scheduled', 'manual', 'api')),
    correlation_id text NOT NULL CHECK (char_length(correlation_id) BETWEEN 1 AND 200),
    chain bytea NOT NULL,
    CHECK (status <> 'failed' OR record_count = 0),
    UNIQUE (tenant_id, snapshot_type, seq),
    UNIQUE (correlation_id, tenant_id, snapshot_type),
    FOREIGN KEY (tenant_id, checksum) REFERENCES manifest (tenant_id, digest),
    FOREIGN KEY (tenant_id, provenance) REFERENCES provenance (tenant_id, digest)
);
CREATE INDEX snapshot_latest ON snapshot (tenant_id, snapshot_type, captured_at DESC);
CREATE INDEX snapshot_account ON snapshot (tenant_id, ghl_account_id);

CREATE TABLE audit_event (
    event_id uuid PRIMARY KEY,
    event_type text NOT NULL CHECK (event_type <> ''),
    tenant_id text,
    ghl_account_id text,
    correlation_id text NOT NULL CHECK (char_length(correlation_id) BETWEEN 1 AND 200),
    occurred_at timestamptz NOT NULL CHECK (isfinite(occurred_at)),
    success boolean NOT NULL,
    source text NOT NULL CHECK (source IN ('scheduled', 'manual', 'api')),
    details jsonb NOT NULL CHECK (jsonb_typeof(details) = 'object')
);
CREATE INDEX audit_event_of_tenant ON audit_event (tenant_id, occurred_at DESC);
CREATE INDEX audit_event_of_trigger ON audit_event (correlation_id);
-- Events arrive in the order of their time, so a block range index finds a time span, whatever the type.
CREATE INDEX audit_event_by_time ON audit_event USING brin (occurred_at) WITH (pages_per_range = 16);

-- Integrity -----------------------------------------------------------------------------------------------

-- A snapshot row as a JSON array of all its columns in order, but for its chain, which is made from it.
CREATE FUNCTION row_text(row_ snapshot) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog
SET timezone = 'UTC'
AS $$
    SELECT json_build_array(
        row_.snapshot_id, row_.tenant_id, row_.ghl_account_id, row_.snapshot_type,
        to_char(row_.captured_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), row_.version, row_.status,
        row_.record_count, encode(row_.checksum, 'hex'), encode(row_.provenance, 'hex'),
        array_to_string(row_.sent_after_us, ',', ''), array_to_string(row_.took_ms, ',', ''),
        array_to_string(row_.trace_ids, ',', ''), row_.duration_ms, row_.api_calls,
        to_char(row_.created_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), row_.created_by, row_.source,
        row_.correlation_id, row_.seq
    )::text
$$;

-- The chain value of a row: SHA-256 over the chain value before it (nothing for the first) and the SHA-256 of
-- the row's text. Anyone can recompute it in any language (docs/ledger.md).
CREATE FUNCTION chain_value(previous bytea, row_ snapshot) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = ghl, pg_catalog
AS $$
    SELECT sha256(coalesce(previous, ''::bytea) || sha256(convert_to(row_text(row_), 'UTF8')))
$$;

-- What of a snapshot row contradicts its payload or provenance, or NULL.
CREATE FUNCTION contradiction(row_ snapshot) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = ghl, pg_catalog
AS $$
DECLARE
    entities integer;
    told provenance;
BEGIN
    SELECT cardinality(entity_ids) INTO entities
    FROM manifest WHERE tenant_id = row_.tenant_id AND digest = row_.checksum;
    SELECT * INTO told FROM provenance WHERE tenant_id = row_.tenant_id AND digest = row_.provenance;
    RETURN CASE
        WHEN entities IS NULL OR told IS NULL THEN 'its payload or provenance is not there'
        WHEN entities <> row_.record_count OR told.records <> row_.record_count THEN
            format('record_count is %s, the payload holds %s entities and its provenance says %s',
                row_.record_count, entities, told.records)
        WHEN (row_.status = 'success') <> (told.errors = 0) THEN
            format('the status is %s with %s errors', row_.status, told.errors)
        WHEN cardinality(row_.sent_after_us) <> told.requests OR cardinality(row_.took_ms) <> told.requests
            OR cardinality(row_.trace_ids) <> told.requests THEN
            format('the provenance tells of %s requests and the row of another number', told.requests)
    END;
END $$;

-- Puts a new snapshot at the end of the chain of its tenant and type. The lock lasts until the transaction
-- ends, so the chain cannot fork; the owner's rights are needed only to read the row before.
CREATE FUNCTION link_snapshot() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ghl, pg_catalog, pg_temp
AS $$
DECLARE
    head record;
    problem text := contradiction(NEW);
BEGIN
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%', problem USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(NEW.tenant_id || ' ' || NEW.snapshot_type, 4711));
    SELECT seq, chain INTO head FROM snapshot
    WHERE tenant_id = NEW.tenant_id AND snapshot_type = NEW.snapshot_type
    ORDER BY seq DESC LIMIT 1;
    NEW.seq := coalesce(head.seq, 0) + 1;
    NEW.created_at := clock_timestamp();
    NEW.chain := chain_value(head.chain, NEW);
    RETURN NEW;
END $$;

CREATE FUNCTION check_manifest() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ghl, pg_catalog, pg_temp
AS $$
DECLARE
    actual bytea;
    found_entities integer;
BEGIN
    SELECT sha256(coalesce(string_agg(entity.digest, ''::bytea ORDER BY listed.position), ''::bytea)), count(*)
    INTO actual, found_entities
    FROM unnest(NEW.entity_ids) WITH ORDINALITY AS listed (id, position)
    JOIN entity ON entity.id = listed.id AND entity.tenant_id = NEW.tenant_id;
    IF found_entities <> cardinality(NEW.entity_ids) OR actual <> NEW.digest THEN
        RAISE EXCEPTION 'the manifest does not match its entities'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION '% on %.% is refused: the ledger is append-only', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'A correction is a new snapshot; what was captured stays as it was captured.';
END $$;

CREATE TRIGGER link_snapshot BEFORE INSERT ON snapshot FOR EACH ROW EXECUTE FUNCTION link_snapshot();
CREATE TRIGGER check_manifest BEFORE INSERT ON manifest FOR EACH ROW EXECUTE FUNCTION check_manifest();
ALTER TABLE snapshot ENABLE ALWAYS TRIGGER link_snapshot;
ALTER TABLE manifest ENABLE ALWAYS TRIGGER check_manifest;

-- ALWAYS, since session_replication_role walks past ordinary triggers.
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entity EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON manifest EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON provenance EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON snapshot EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event EXECUTE FUNCTION refuse_change();
ALTER TABLE entity ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE manifest ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE provenance ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE snapshot ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE audit_event ENABLE ALWAYS TRIGGER append_only;

-- A tenant stays in the registry for as long as its snapshots, which is for ever.
CREATE TRIGGER keep_tenant BEFORE DELETE OR TRUNCATE ON tenant EXECUTE FUNCTION refuse_change();
ALTER TABLE tenant ENABLE ALWAYS TRIGGER keep_tenant;

-- Reading -------------------------------------------------------------------------------------------------

-- The value with numbers that jsonb cannot hold as texts.
CREATE FUNCTION numbers_as_texts(value json) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = ghl, pg_catalog
AS $$
BEGIN
    CASE json_typeof(value)
        WHEN 'object' THEN
            RETURN (SELECT coalesce(jsonb_object_agg(key, numbers_as_texts(item)), '{}')
                    FROM json_each(value) AS each (key, item));
        WHEN 'array' THEN
            RETURN (SELECT coalesce(jsonb_agg(numbers_as_texts(item) ORDER BY place), '[]')
                    FROM json_array_elements(value) WITH ORDINALITY AS each (item, place));
        WHEN 'number' THEN
            BEGIN
                RETURN value::text::jsonb;
            EXCEPTION WHEN numeric_value_out_of_range THEN
                RETURN to_jsonb(value::text);
            END;
        ELSE
            RETURN value::text::jsonb;
    END CASE;
END $$;

-- JSON text that jsonb rejects, in the closest form that it accepts: U+FFFD for the escapes of NUL and of lone
-- surrogates, texts for numbers out of range.
CREATE FUNCTION closest_jsonb(original text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = ghl, pg_catalog
AS $$
DECLARE
    high CONSTANT text := '\\u[dD][89abAB][0-9a-fA-F]{2}';
    low CONSTANT text := '\\u[dD][c-fC-F][0-9a-fA-F]{2}';
    -- Written as \u005c, an escaped backslash cannot be mistaken for the beginning of the escape after it.
    legal text := replace(replace(original, '\\', '\u005c'), '\u0000', '\ufffd');
BEGIN
    legal := regexp_replace(legal, high || '(?!' || low || ')', '\\ufffd', 'g');
    legal := regexp_replace(legal, '(?<!' || high || ')' || low, '\\ufffd', 'g');
    RETURN legal::jsonb;
EXCEPTION WHEN numeric_value_out_of_range THEN
    RETURN numbers_as_texts(legal::json);
END $$;

-- An entity's bytes as jsonb, for querying; for a body that is no JSON, or nested too deep for the server,
-- {"$text": ...}, and {"$base64": ...} if it is no text either. The exact bytes are in ghl_snapshot_raw.
-- The handlers catch everything because a single odd entity must not make a snapshot unreadable.
CREATE FUNCTION entity_jsonb(body bytea) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = ghl, pg_catalog
AS $$
BEGIN
    RETURN convert_from(body, 'UTF8')::jsonb;
EXCEPTION WHEN OTHERS THEN
    BEGIN
        RETURN closest_jsonb(convert_from(body, 'UTF8'));
    EXCEPTION WHEN OTHERS THEN
        BEGIN
            RETURN jsonb_build_object('$text', convert_from(body, 'UTF8'));
        EXCEPTION WHEN OTHERS THEN
            RETURN jsonb_build_object('$base64', translate(encode(body, 'base64'), E'\n', ''));
        END;
    END;
END $$;

-- A moment as the product writes it: 2026-03-03T02:00:00.000000Z.
CREATE FUNCTION iso(moment timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

-- A payload's metadata, whole: its provenance with each request's own moment, duration and trace id.
CREATE FUNCTION metadata(row_ snapshot, provenance_body jsonb) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = ghl, pg_catalog
AS $$
    SELECT provenance_body || jsonb_build_object(
        'requestTimestamp', iso(row_.captured_at),
        'requests', (
            SELECT coalesce(jsonb_agg(
                request || jsonb_build_object(
                    'requestTimestamp',
                    iso(row_.captured_at + row_.sent_after_us[place] * interval '1 microsecond'),
                    'durationMs', row_.took_ms[place]
                ) || CASE WHEN row_.trace_ids[place] IS NULL THEN '{}'
                    ELSE jsonb_build_object('traceId', row_.trace_ids[place]) END
                ORDER BY place
            ), '[]')
            FROM jsonb_array_elements(provenance_body -> 'requests') WITH ORDINALITY AS each (request, place)
        )
    )
$$;

-- Snapshots with their metadata, for the product's own reading.
CREATE VIEW snapshot_record WITH (security_invoker = true) AS
SELECT
    snapshot_id, snapshot.tenant_id, ghl_account_id, snapshot_type, captured_at, version, status, record_count,
    encode(checksum, 'hex') AS checksum, metadata(snapshot, provenance.body::jsonb) AS metadata, duration_ms,
    api_calls, created_at, created_by, source, correlation_id, seq, encode(chain, 'hex') AS chain
FROM snapshot
JOIN provenance ON provenance.tenant_id = snapshot.tenant_id AND provenance.digest = snapshot.provenance;

CREATE VIEW ghl_snapshot WITH (security_invoker = true) AS
SELECT
    snapshot_id, tenant_id, ghl_account_id, snapshot_type, captured_at, version, status, record_count,
    encode(checksum, 'hex') AS checksum,
    jsonb_build_object(
        'data', (
            SELECT coalesce(jsonb_agg(entity_jsonb(entity.body) ORDER BY listed.position), '[]')
            FROM manifest
            CROSS JOIN unnest(manifest.entity_ids) WITH ORDINALITY AS listed (id, position)
            JOIN entity ON entity.id = listed.id
            WHERE manifest.tenant_id = snapshot.tenant_id AND manifest.digest = snapshot.checksum
        ),
        'metadata', (
            SELECT metadata(snapshot, provenance.body::jsonb)
            FROM provenance
            WHERE provenance.tenant_id = snapshot.tenant_id AND provenance.digest = snapshot.provenance
        )
    ) AS payload,
    created_at, created_by, source, correlation_id
FROM snapshot;

-- One row for each entity of each snapshot, with its exact bytes; position counts from 0. The endpoint and the
-- location are those of the request that brought it in this snapshot.
CREATE VIEW ghl_snapshot_raw WITH (security_invoker = true) AS
SELECT
    snapshot.snapshot_id, snapshot.tenant_id, snapshot.ghl_account_id, snapshot.snapshot_type,
    snapshot.captured_at, item.position, item.endpoint, item.location_id, item.entity_id,
    encode(item.digest, 'hex') AS digest, item.body
FROM snapshot
JOIN manifest ON manifest.tenant_id = snapshot.tenant_id AND manifest.digest = snapshot.checksum
JOIN provenance ON provenance.tenant_id = snapshot.tenant_id AND provenance.digest = snapshot.provenance
CROSS JOIN LATERAL (
    SELECT listed.position - 1 AS position, origin.endpoint, origin.location_id, entity.entity_id,
        entity.digest, entity.body
    FROM unnest(manifest.entity_ids) WITH ORDINALITY AS listed (id, position)
    JOIN entity ON entity.id = listed.id
    LEFT JOIN (
        SELECT place.position, request ->> 'endpoint' AS endpoint, request ->> 'locationId' AS location_id
        FROM json_array_elements(provenance.body -> 'requests') AS each (request)
        CROSS JOIN generate_series(
            (request -> 'items' ->> 'offset')::bigint + 1,
            (request -> 'items' ->> 'offset')::bigint + (request -> 'items' ->> 'count')::bigint
        ) AS place (position)
    ) AS origin ON origin.position = listed.position
) AS item;

CREATE VIEW ghl_snapshot_audit_event WITH (security_invoker = true) AS
SELECT event_id, event_type, tenant_id, ghl_account_id, correlation_id, occurred_at AS "timestamp", success,
    source, details
FROM audit_event;

-- Rights --------------------------------------------------------------------------------------------------

GRANT USAGE ON SCHEMA ghl TO ghl_snapshots_writer, ghl_snapshots_reader, ghl_snapshots_auditor;
GRANT SELECT ON schema_version TO ghl_snapshots_writer, ghl_snapshots_reader, ghl_snapshots_auditor;
GRANT SELECT, INSERT ON entity, manifest, provenance, snapshot, audit_event TO ghl_snapshots_writer;
GRANT SELECT, INSERT, UPDATE ON tenant, oauth_token TO ghl_snapshots_writer;
GRANT SELECT ON entity, manifest, provenance, snapshot, audit_event TO ghl_snapshots_reader, ghl_snapshots_auditor;
GRANT SELECT ON tenant TO ghl_snapshots_reader, ghl_snapshots_auditor;
GRANT SELECT ON snapshot_record, ghl_snapshot, ghl_snapshot_raw, ghl_snapshot_audit_event
    TO ghl_snapshots_writer, ghl_snapshots_reader, ghl_snapshots_auditor;

-- FORCE, so that the owner is bound as well; the owner's read policy is for the triggers above. The setting
-- is read in a sub-select so that it is evaluated once a query and not once a row.
DO $$
DECLARE
    name text;
    own_rows CONSTANT text := 'tenant_id = (SELECT current_setting(''app.tenant_id'', true))';
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'tenant', 'oauth_token', 'entity', 'manifest', 'provenance', 'snapshot', 'audit_event'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY own_rows_read ON %I FOR SELECT TO ghl_snapshots_writer, '
            'ghl_snapshots_reader, ghl_snapshots_owner USING (%s)', name, own_rows);
        EXECUTE format('CREATE POLICY own_rows_added ON %I FOR INSERT TO ghl_snapshots_writer '
            'WITH CHECK (%s)', name, own_rows);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['tenant', 'oauth_token'] LOOP
        EXECUTE format('CREATE POLICY own_rows_changed ON %I FOR UPDATE TO ghl_snapshots_writer '
            'USING (%s) WITH CHECK (%s)', name, own_rows, own_rows);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['tenant', 'entity', 'manifest', 'provenance', 'snapshot', 'audit_event'] LOOP
        EXECUTE format('CREATE POLICY all_rows_read ON %I FOR SELECT TO ghl_snapshots_auditor '
            'USING (true)', name);
    END LOOP;
END $$;

-- An event of no tenant in particular, such as a schedule's tick; only the auditor reads these.
CREATE POLICY system_rows_added ON audit_event FOR INSERT TO ghl_snapshots_writer WITH CHECK (tenant_id IS NULL);
