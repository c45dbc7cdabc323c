-- The ledger's schema, whole: what the migrations beside it add up to. Run as ghl_snapshots_owner.
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
    -- SHA-256 of the migration's text, which shows whether that state of it was released.
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What a writer says ---------------------------------------------------------------------------------------

-- A writer may be in a stranger's hands, and a single value that no reader can hold would end the reading of every
-- tenant. What the server knows itself a writer has no right to say (see the rights); of the rest, these say what is
-- stored.

-- What is later than this is from a machine whose clock is wrong, or forged; clocks that agree are minutes apart at most.
CREATE FUNCTION latest_moment() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN clock_timestamp() + interval '5 minutes';

-- Whether something can have happened then.
CREATE FUNCTION has_come(moment timestamptz) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN moment BETWEEN '2000-01-01 00:00:00+00'::timestamptz AND ghl.latest_moment();

-- Whether something can end then. Wide, because a token that was refused is lost, whatever the clock of its machine.
CREATE FUNCTION may_end(moment timestamptz) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN moment BETWEEN '1970-01-01 00:00:00+00'::timestamptz AND '2999-12-31 00:00:00+00'::timestamptz;

-- Whether every reader can hold it: Python takes no numbers of thousands of digits, and no deep nesting.
CREATE FUNCTION is_readable(value jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN NOT value @? '$.**{100 to last}'
    AND NOT value @? '$.** ? (@.type() == "number" && (@ > 1e300 || @ < -1e300))';

-- Whether the list is there and each of its elements is as the path says.
CREATE FUNCTION are_all(body jsonb, list text, as_said jsonpath) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE jsonb_typeof(body -> list) WHEN 'array' THEN
    jsonb_array_length(body -> list) = jsonb_array_length(jsonb_path_query_array(body -> list, as_said)) ELSE false END;

-- Whether a payload's metadata has what is read of it across tenants.
CREATE FUNCTION is_provenance(body jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ghl.is_readable(body)
    AND ghl.are_all(body, 'requests', 'strict $[*] ? (@.endpoint.type() == "string"
        && @.items.offset >= 0 && @.items.offset <= 1000000000 && @.items.offset.floor() == @.items.offset
        && @.items.count >= 0 && @.items.count <= 1000000000 && @.items.count.floor() == @.items.count)')
    AND ghl.are_all(body, 'errors', 'strict $[*] ? (@.kind.type() == "string")')
    AND ghl.are_all(body, 'apiCalls', 'strict $[*] ? (@.endpoint.type() == "string"
        && @.count >= 0 && @.count <= 1000000000 && @.count.floor() == @.count)')
    AND ghl.are_all(body, 'leftOut', 'strict $[*] ? (@.type() == "object")')
    AND ghl.are_all(body, 'duplicates', 'strict $[*] ? (@.type() == "object")');

-- Registry ------------------------------------------------------------------------------------------------

CREATE TABLE tenant (
    tenant_id text PRIMARY KEY CHECK (tenant_id ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$' AND tenant_id !~ '\.\.'),
    ghl_account_id text NOT NULL CHECK (ghl_account_id ~ '^[A-Za-z0-9_-]{1,64}$'),
    account_kind text NOT NULL CHECK (account_kind IN ('location', 'company')),
    -- A reference to where the token is, never the token.
    credential text NOT NULL CHECK (credential ~ '^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+|oauth)$'),
    enabled boolean NOT NULL DEFAULT true,
    overrides jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(overrides) = 'object' AND is_readable(overrides)),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp() CHECK (has_come(updated_at))
);

-- OAuth tokens, encrypted by the application; the key is never in the database.
CREATE TABLE oauth_token (
    tenant_id text PRIMARY KEY REFERENCES tenant,
    refresh_token bytea NOT NULL,
    access_token bytea,
    access_expires_at timestamptz CHECK (may_end(access_expires_at)),
    -- A refresh token that GHL gave for another account in answer to this one's; nothing uses it.
    set_aside bytea,
    set_aside_account text,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp() CHECK (has_come(updated_at))
);

-- The tokens of a company's locations for their life, encrypted like those of the company itself.
CREATE TABLE location_token (
    tenant_id text NOT NULL REFERENCES tenant,
    location_id text NOT NULL CHECK (location_id <> ''),
    token bytea,
    -- GHL's refusal to give one (the app is not installed there, the location is suspended), remembered a while.
    refusal jsonb CHECK (is_readable(refusal)),
    expires_at timestamptz NOT NULL CHECK (may_end(expires_at)),
    PRIMARY KEY (tenant_id, location_id),
    CHECK ((token IS NULL) <> (refusal IS NULL))
);

-- Ledger --------------------------------------------------------------------------------------------------

-- What is captured as one snapshot each, in the order of core/model.py.
CREATE TABLE snapshot_type (
    snapshot_type text PRIMARY KEY,
    place smallint NOT NULL UNIQUE
);
INSERT INTO snapshot_type (place, snapshot_type)
VALUES (1, 'locations'), (2, 'pipelines'), (3, 'workflows'), (4, 'calendars'), (5, 'ai_workers');

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

-- What a snapshot counts for by its provenance: of each metric and its labels, in an array of three.
CREATE FUNCTION provenance_counts(body json) RETURNS json
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT coalesce(json_agg(json_build_array(metric, labels, value) ORDER BY metric, labels), '[]') FROM (
        SELECT 'errors', ARRAY[error ->> 'kind'], count(*)
        FROM json_array_elements(body -> 'errors') AS each (error) GROUP BY 2
        UNION ALL
        SELECT 'api_calls', ARRAY[call ->> 'endpoint', coalesce(call ->> 'status', 'none')], sum((call ->> 'count')::bigint)::bigint
        FROM json_array_elements(body -> 'apiCalls') AS each (call) GROUP BY 2
    ) AS counted (metric, labels, value)
$$;

-- The same as rows.
CREATE FUNCTION count_rows(counts json) RETURNS TABLE (metric text, labels text[], value bigint)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT count ->> 0, ARRAY(SELECT json_array_elements_text(count -> 1)), (count ->> 2)::bigint
    FROM json_array_elements(counts) AS each (count)
$$;

-- A payload's metadata without what differs between two captures that went alike, which is when each request
-- was sent, how long it took and its trace id: a snapshot holds these in arrays, since at an object a request
-- they would be most of what an unchanged snapshot costs.
CREATE TABLE provenance (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    digest bytea NOT NULL CHECK (digest = sha256(convert_to(body::text, 'UTF8'))),
    body json NOT NULL CHECK (is_provenance(body::jsonb)),
    records integer NOT NULL GENERATED ALWAYS AS ((body ->> 'totalCount')::integer) STORED,
    requests integer NOT NULL GENERATED ALWAYS AS (json_array_length(body -> 'requests')) STORED,
    errors integer NOT NULL GENERATED ALWAYS AS (json_array_length(body -> 'errors')) STORED,
    -- Counted once for all snapshots that share it: a large account's takes milliseconds.
    counts json NOT NULL GENERATED ALWAYS AS (provenance_counts(body)) STORED,
    PRIMARY KEY (tenant_id, digest)
);

-- The columns of fixed width come first, since in another order each row has more bytes of padding. link_snapshot
-- refuses a moment of capture that has not come.
CREATE TABLE snapshot (
    captured_at timestamptz NOT NULL CHECK (isfinite(captured_at)),
    created_at timestamptz NOT NULL,
    -- Place in the chain; the trigger sets it and the chain value, whatever a writer sends.
    seq bigint NOT NULL,
    -- Bytes of the entities that this capture stored first; those of the others were there.
    new_bytes bigint NOT NULL CHECK (new_bytes BETWEEN 0 AND 1000000000000000),
    record_count integer NOT NULL CHECK (record_count >= 0),
    duration_ms integer NOT NULL CHECK (duration_ms >= 0),
    api_calls integer NOT NULL CHECK (api_calls >= 0),
    snapshot_id text PRIMARY KEY CHECK (snapshot_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'),
    tenant_id text NOT NULL REFERENCES tenant,
    ghl_account_id text NOT NULL CHECK (ghl_account_id <> ''),
    snapshot_type text NOT NULL REFERENCES snapshot_type,
    -- Readers refuse another major version; the release that writes it brings the migration that lets it.
    version text NOT NULL DEFAULT '1.0.0' CHECK (version ~ '^1\.[0-9]{1,9}\.[0-9]{1,9}$'),
    status text NOT NULL CHECK (status IN ('success', 'partial_failure', 'failed')),
    checksum bytea NOT NULL,
    provenance bytea NOT NULL,
    -- One element for each of the provenance's requests: microseconds from captured_at to its sending, its
    -- duration, and its trace id where that is a UUID (any other trace id is in the provenance). A clock may be set
    -- right meanwhile, but not by a millennium.
    sent_after_us bigint[] NOT NULL CHECK (
        -31557600000000000 <= ALL (sent_after_us) AND 31557600000000000 >= ALL (sent_after_us)
        AND array_position(sent_after_us, NULL) IS NULL
    ),
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
    occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    success boolean NOT NULL,
    source text NOT NULL CHECK (source IN ('scheduled', 'manual', 'api')),
    details jsonb NOT NULL CHECK (jsonb_typeof(details) = 'object' AND is_readable(details)),
    -- What metrics read.
    CHECK (event_type <> 'ghl_snapshot_full_run' OR coalesce(details ->> 'durationMs', '0') ~ '^[0-9]{1,15}$'),
    CHECK (event_type <> 'ghl_snapshot_verification' OR coalesce(details ->> 'deep', 'false') IN ('true', 'false'))
);
CREATE INDEX audit_event_of_tenant ON audit_event (tenant_id, occurred_at DESC);
CREATE INDEX audit_event_of_trigger ON audit_event (correlation_id);
-- Events arrive in the order of their time, so a block range index finds a time span, whatever the type.
CREATE INDEX audit_event_by_time ON audit_event USING brin (occurred_at) WITH (pages_per_range = 16);
-- One event for each trigger and tenant says how the run went. The tenant is part of what must be unique, so that no
-- session can take another tenant's place or learn that it is taken.
CREATE UNIQUE INDEX full_run_event ON audit_event (correlation_id, tenant_id) NULLS NOT DISTINCT
    WHERE event_type = 'ghl_snapshot_full_run';

-- Integrity -----------------------------------------------------------------------------------------------

-- A snapshot row as a JSON array of all its columns in order, but for its chain, which is made from it. Without
-- settings of its own, so that it becomes part of the query that calls it: verifying calls it for every row.
CREATE FUNCTION row_text(row_ snapshot) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT json_build_array(
        row_.snapshot_id, row_.tenant_id, row_.ghl_account_id, row_.snapshot_type,
        to_char(row_.captured_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), row_.version, row_.status,
        row_.record_count, encode(row_.checksum, 'hex'), encode(row_.provenance, 'hex'),
        array_to_string(row_.sent_after_us, ',', ''), array_to_string(row_.took_ms, ',', ''),
        array_to_string(row_.trace_ids, ',', ''), row_.duration_ms, row_.api_calls, row_.new_bytes,
        to_char(row_.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), row_.created_by, row_.source,
        row_.correlation_id, row_.seq
    )::text
$$;

-- The chain value of a row: SHA-256 over the chain value before it (nothing for the first) and the SHA-256 of
-- the row's text. Anyone can recompute it in any language (docs/ledger.md).
CREATE FUNCTION chain_value(previous bytea, row_ snapshot) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT sha256(coalesce(previous, ''::bytea) || sha256(convert_to(ghl.row_text(row_), 'UTF8')))
$$;

-- What of a snapshot row contradicts its payload of so many entities or its provenance, which lists so many
-- records, requests and errors; NULL where nothing does.
CREATE FUNCTION contradiction(
    row_ snapshot, entities integer, records integer, requests integer, errors integer
) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN entities IS NULL OR records IS NULL THEN 'its payload or provenance is not there'
        WHEN entities <> row_.record_count OR records <> row_.record_count THEN
            format('record_count is %s, the payload holds %s entities and its provenance says %s',
                row_.record_count, entities, records)
        WHEN (row_.status = 'success') <> (errors = 0) THEN
            format('the status is %s with %s errors', row_.status, errors)
        WHEN cardinality(row_.sent_after_us) <> requests OR cardinality(row_.took_ms) <> requests
            OR cardinality(row_.trace_ids) <> requests THEN
            format('the provenance lists %s requests and the row another number', requests)
    END
$$;

-- Puts a new snapshot at the end of the chain of its tenant and type. The lock lasts until the transaction
-- ends, so the chain cannot fork; the owner's rights are needed only to read the row before.
CREATE FUNCTION link_snapshot() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ghl, pg_catalog, pg_temp
AS $$
DECLARE
    head record;
    problem text;
BEGIN
    SELECT contradiction(NEW, (
        SELECT cardinality(entity_ids) FROM manifest
        WHERE manifest.tenant_id = NEW.tenant_id AND manifest.digest = NEW.checksum
    ), provenance.records, provenance.requests, provenance.errors) INTO problem
    FROM (SELECT) AS always
    LEFT JOIN provenance ON provenance.tenant_id = NEW.tenant_id AND provenance.digest = NEW.provenance;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%', problem USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    -- It would be the latest until that moment comes, and hide that nothing is captured any more.
    IF NOT has_come(NEW.captured_at) THEN
        RAISE EXCEPTION 'it was captured at %, and the database server''s clock says %: the clock of the machine that captured it is wrong',
            NEW.captured_at, date_trunc('second', clock_timestamp())
            USING ERRCODE = 'integrity_constraint_violation';
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

CREATE FUNCTION check_snapshot_types() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ghl, pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT NEW.snapshot_types <@ ARRAY(SELECT snapshot_type FROM snapshot_type) THEN
        RAISE EXCEPTION 'there are no such snapshot types: %', NEW.snapshot_types USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

-- ALWAYS, since session_replication_role walks past ordinary triggers.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['snapshot_type', 'entity', 'manifest', 'provenance', 'snapshot', 'audit_event'] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I '
            'EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER append_only', name);
    END LOOP;
END $$;

-- A tenant stays in the registry for as long as its snapshots, which is forever.
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

-- The size up to which the JSON of a payload with so many entities and bytes shows an entity: any size in one of up
-- to 64 MB; in a larger one the entity's share of these, or 1 kB if that is more.
CREATE FUNCTION shown_bytes(entities bigint, bytes bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN bytes <= 64000000 THEN bytes ELSE greatest(64000000 / nullif(entities, 0), 1000) END;

-- What stands in the place of a larger one: how large it is, and where its bytes are.
CREATE FUNCTION too_large(entity_id text, bytes bigint, digest bytea, position_ bigint) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN jsonb_build_object('$tooLarge', jsonb_build_object(
    'id', entity_id, 'bytes', bytes, 'digest', encode(digest, 'hex'), 'position', position_,
    'exactBytes', 'ghl_snapshot_raw, show --raw, ?raw=true'
));

-- A payload's entities for querying. Of what is still too large for the server as jsonb or as text, there is one
-- object that says so: nothing that is stored may make a row unreadable.
CREATE FUNCTION payload_data(tenant text, checksum bytea) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = ghl, pg_catalog
AS $$
DECLARE
    entities bigint;
    bytes bigint;
    in_their_place jsonb;
    shown jsonb;
BEGIN
    SELECT count(*), coalesce(sum(octet_length(entity.body)), 0) INTO entities, bytes
    FROM manifest CROSS JOIN unnest(manifest.entity_ids) AS listed (id) JOIN entity ON entity.id = listed.id
    WHERE manifest.tenant_id = tenant AND manifest.digest = checksum;
    in_their_place := jsonb_build_array(jsonb_build_object('$tooLarge', jsonb_build_object(
        'entities', entities, 'bytes', bytes, 'exactBytes', 'ghl_snapshot_raw, show --raw, ?raw=true'
    )));
    IF least(bytes, 1000 * entities) > 128000000 THEN
        RETURN in_their_place;
    END IF;
    SELECT coalesce(jsonb_agg(
        CASE WHEN octet_length(entity.body) <= shown_bytes(entities, bytes) THEN entity_jsonb(entity.body)
            ELSE too_large(entity.entity_id, octet_length(entity.body), entity.digest, listed.position - 1)
        END ORDER BY listed.position
    ), '[]') INTO shown
    FROM manifest
    CROSS JOIN unnest(manifest.entity_ids) WITH ORDINALITY AS listed (id, position)
    JOIN entity ON entity.id = listed.id
    WHERE manifest.tenant_id = tenant AND manifest.digest = checksum;
    -- 1e99999 is printed with all its digits; with fewer bytes of such numbers there is no gigabyte of them.
    IF bytes > 50000 AND octet_length(shown::text) > 600000000 THEN
        RETURN in_their_place;
    END IF;
    RETURN shown;
EXCEPTION WHEN program_limit_exceeded OR out_of_memory OR internal_error THEN
    RETURN in_their_place;
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
        'data', payload_data(snapshot.tenant_id, snapshot.checksum),
        'metadata', (
            SELECT metadata(snapshot, provenance.body::jsonb)
            FROM provenance
            WHERE provenance.tenant_id = snapshot.tenant_id AND provenance.digest = snapshot.provenance
        )
    ) AS payload,
    created_at, created_by, source, correlation_id
FROM snapshot;

-- One row for each entity of each snapshot, with its exact bytes; position counts from 0. The endpoint, the
-- location and the parent are those of the request that brought it in this snapshot.
CREATE VIEW ghl_snapshot_raw WITH (security_invoker = true) AS
SELECT
    snapshot.snapshot_id, snapshot.tenant_id, snapshot.ghl_account_id, snapshot.snapshot_type,
    snapshot.captured_at, item.position, item.endpoint, item.location_id, item.parent_id, item.entity_id,
    encode(item.digest, 'hex') AS digest, item.body
FROM snapshot
JOIN manifest ON manifest.tenant_id = snapshot.tenant_id AND manifest.digest = snapshot.checksum
JOIN provenance ON provenance.tenant_id = snapshot.tenant_id AND provenance.digest = snapshot.provenance
CROSS JOIN LATERAL (
    SELECT listed.position - 1 AS position, origin.endpoint, origin.location_id, origin.parent_id,
        entity.entity_id, entity.digest, entity.body
    FROM unnest(manifest.entity_ids) WITH ORDINALITY AS listed (id, position)
    JOIN entity ON entity.id = listed.id
    LEFT JOIN (
        SELECT place.position, request ->> 'endpoint' AS endpoint, request ->> 'locationId' AS location_id,
            request ->> 'parentId' AS parent_id
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

-- What a column of the relations means, for `\d+` and for tools that show it.
COMMENT ON VIEW ghl_snapshot IS 'One row for each snapshot, with its whole payload as JSONB.';
COMMENT ON COLUMN ghl_snapshot.snapshot_id IS 'UUIDv7 as text.';
COMMENT ON COLUMN ghl_snapshot.tenant_id IS 'Our id of the customer.';
COMMENT ON COLUMN ghl_snapshot.ghl_account_id IS 'The customer''s location or company in GHL at the capture.';
COMMENT ON COLUMN ghl_snapshot.captured_at IS 'When the capture began.';
COMMENT ON COLUMN ghl_snapshot.version IS 'Schema version of the record; refuse a major version that you do not know.';
COMMENT ON COLUMN ghl_snapshot.status IS 'success, partial_failure (something is missing) or failed (nothing was captured).';
COMMENT ON COLUMN ghl_snapshot.record_count IS 'Number of entities in the payload.';
COMMENT ON COLUMN ghl_snapshot.checksum IS 'SHA-256, hex, over the entities'' digests in order: equal for equal bytes.';
COMMENT ON COLUMN ghl_snapshot.payload IS '{"data": [entity, ...], "metadata": {...}}; metadata.errors says what is missing.';
COMMENT ON COLUMN ghl_snapshot.source IS 'What asked for it: scheduled, manual or api.';
COMMENT ON COLUMN ghl_snapshot.correlation_id IS 'The same for all that one trigger led to.';
COMMENT ON VIEW ghl_snapshot_raw IS 'One row for each entity of each snapshot, with its exact bytes.';
COMMENT ON COLUMN ghl_snapshot_raw.position IS 'Place in the payload, from 0.';
COMMENT ON COLUMN ghl_snapshot_raw.endpoint IS 'The GHL call that brought it in this snapshot.';
COMMENT ON COLUMN ghl_snapshot_raw.location_id IS 'The location that the call was made for.';
COMMENT ON COLUMN ghl_snapshot_raw.parent_id IS 'The entity that the call was made for, such as the calendar of a notification.';
COMMENT ON COLUMN ghl_snapshot_raw.entity_id IS 'The entity''s id in GHL.';
COMMENT ON COLUMN ghl_snapshot_raw.digest IS 'SHA-256 of body, hex.';
COMMENT ON COLUMN ghl_snapshot_raw.body IS 'The bytes that GHL sent: convert_from(body, ''UTF8'')::json.';
COMMENT ON VIEW ghl_snapshot_audit_event IS 'One row for each operation that was recorded, append-only.';

-- Rights --------------------------------------------------------------------------------------------------

GRANT USAGE ON SCHEMA ghl TO ghl_snapshots_writer, ghl_snapshots_reader, ghl_snapshots_auditor;
GRANT SELECT ON schema_version, snapshot_type TO ghl_snapshots_writer, ghl_snapshots_reader, ghl_snapshots_auditor;
-- What the server knows is not a writer's to say: ids, places in a chain, when a row came.
GRANT SELECT ON entity, snapshot, audit_event, tenant, oauth_token TO ghl_snapshots_writer;
GRANT SELECT, INSERT ON manifest, provenance, location_token TO ghl_snapshots_writer;
GRANT INSERT (tenant_id, digest, endpoint, location_id, entity_id, body) ON entity TO ghl_snapshots_writer;
GRANT INSERT (
    snapshot_id, tenant_id, ghl_account_id, snapshot_type, captured_at, version, status, record_count, checksum,
    provenance, sent_after_us, took_ms, trace_ids, duration_ms, api_calls, new_bytes, source, correlation_id
) ON snapshot TO ghl_snapshots_writer;
GRANT INSERT (event_id, event_type, tenant_id, ghl_account_id, correlation_id, success, source, details)
    ON audit_event TO ghl_snapshots_writer;
GRANT INSERT (tenant_id, ghl_account_id, account_kind, credential, enabled, overrides) ON tenant
    TO ghl_snapshots_writer;
GRANT INSERT (tenant_id, refresh_token, access_token, access_expires_at) ON oauth_token TO ghl_snapshots_writer;
-- Never what row security goes by: a statement can name another tenant between the check of the row as it was and
-- that of the row as it is to be, and so move a row to that tenant.
GRANT UPDATE (ghl_account_id, account_kind, credential, enabled, overrides, updated_at) ON tenant
    TO ghl_snapshots_writer;
GRANT UPDATE (refresh_token, access_token, access_expires_at, set_aside, set_aside_account, updated_at) ON oauth_token
    TO ghl_snapshots_writer;
GRANT UPDATE (token, refusal, expires_at) ON location_token TO ghl_snapshots_writer;
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
        'tenant', 'oauth_token', 'location_token', 'entity', 'manifest', 'provenance', 'snapshot', 'audit_event'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY own_rows_read ON %I FOR SELECT TO ghl_snapshots_writer, '
            'ghl_snapshots_reader, ghl_snapshots_owner USING (%s)', name, own_rows);
        EXECUTE format('CREATE POLICY own_rows_added ON %I FOR INSERT TO ghl_snapshots_writer '
            'WITH CHECK (%s)', name, own_rows);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['tenant', 'oauth_token', 'location_token'] LOOP
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

-- API -----------------------------------------------------------------------------------------------------

-- Keys of the HTTP API. A key is shown once, when it is made, and stored as the SHA-256 of its 256 random bits.
CREATE TABLE api_key (
    key_id text PRIMARY KEY CHECK (key_id ~ '^[0-9a-z]{8}$'),
    secret_hash bytea NOT NULL UNIQUE CHECK (octet_length(secret_hash) = 32),
    role text NOT NULL CHECK (role IN ('trigger', 'read', 'admin')),
    note text NOT NULL DEFAULT '' CHECK (char_length(note) <= 200),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at timestamptz CHECK (has_come(revoked_at))
);

CREATE TABLE api_key_tenant (
    key_id text NOT NULL REFERENCES api_key,
    tenant_id text NOT NULL REFERENCES tenant,
    PRIMARY KEY (key_id, tenant_id)
);

-- A request for captures that came in through the API; its id is the correlation id of all that it leads to.
-- What was asked for never changes; the columns after created_at say how far the run that serves it has come.
CREATE TABLE snapshot_request (
    request_id text PRIMARY KEY CHECK (request_id ~ '^manual_snapshot_[0-9]{13}_[0-9a-z]{6,32}$'),
    tenant_id text NOT NULL REFERENCES tenant,
    ghl_account_id text NOT NULL CHECK (ghl_account_id <> ''),
    snapshot_types text[] NOT NULL CHECK (cardinality(snapshot_types) > 0 AND array_ndims(snapshot_types) = 1),
    priority text NOT NULL CHECK (priority IN ('low', 'normal', 'high')),
    reason text CHECK (char_length(reason) <= 500),
    idempotency_key text CHECK (char_length(idempotency_key) BETWEEN 1 AND 200),
    -- The API key that asked, NULL where none was configured.
    key_id text REFERENCES api_key,
    estimated_seconds integer NOT NULL CHECK (estimated_seconds > 0),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    run_id text,
    queued_at timestamptz CHECK (has_come(queued_at)),
    started_at timestamptz CHECK (has_come(started_at)),
    ended_at timestamptz CHECK (has_come(ended_at)),
    error text,
    CHECK ((run_id IS NULL) = (queued_at IS NULL)),
    UNIQUE (tenant_id, idempotency_key)
);
CREATE INDEX snapshot_request_of_tenant ON snapshot_request (tenant_id, created_at DESC);
CREATE INDEX snapshot_request_open ON snapshot_request (created_at) WHERE ended_at IS NULL;
CREATE INDEX snapshot_request_by_end ON snapshot_request (ended_at) WHERE ended_at IS NOT NULL;

-- Metrics -------------------------------------------------------------------------------------------------

-- Totals over the ledger, kept by the transaction that appends a snapshot; `verify` recounts them. No two chains
-- share a row, so that their appends never wait for each other. Times are microseconds since 1970. The free room is
-- for new versions of a row beside the old one.
CREATE TABLE counter (
    tenant_id text NOT NULL,
    snapshot_type text NOT NULL REFERENCES snapshot_type,
    metric text NOT NULL,
    labels text[] NOT NULL,
    value bigint NOT NULL,
    PRIMARY KEY (tenant_id, snapshot_type, metric, labels)
) WITH (fillfactor = 50);

CREATE INDEX audit_event_full_run ON audit_event (tenant_id, occurred_at DESC)
    WHERE event_type = 'ghl_snapshot_full_run';
CREATE INDEX audit_event_verification ON audit_event (occurred_at DESC)
    WHERE event_type = 'ghl_snapshot_verification' AND tenant_id IS NULL;

-- Upper bounds in milliseconds of the duration histogram's buckets, but for the last, which has none.
CREATE FUNCTION duration_bounds() RETURNS integer[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY[50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 120000, 300000];

-- What a snapshot row by itself counts for.
CREATE FUNCTION row_counts(row_ snapshot) RETURNS TABLE (metric text, labels text[], value bigint)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    VALUES
        ('captures', ARRAY[(row_.status = 'success')::text,
            width_bucket(row_.duration_ms - 1, ghl.duration_bounds())::text], 1::bigint),
        ('duration_ms', ARRAY[(row_.status = 'success')::text], row_.duration_ms),
        ('records', '{}', row_.record_count),
        ('new_bytes', '{}', row_.new_bytes),
        ('last_success', '{}', CASE row_.status WHEN 'success' THEN
            (extract(epoch FROM row_.captured_at) * 1000000)::bigint END)
$$;

-- Adds a new snapshot to the counters of its chain, always in the same order. With the owner's rights, since no
-- writer may write them.
CREATE FUNCTION count_snapshot() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ghl, pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO counter AS existing (tenant_id, snapshot_type, metric, labels, value)
    SELECT NEW.tenant_id, NEW.snapshot_type, added.* FROM (
        SELECT * FROM row_counts(NEW) WHERE value IS NOT NULL
        UNION ALL
        SELECT each.* FROM provenance
        CROSS JOIN LATERAL count_rows(provenance.counts) AS each
        WHERE provenance.tenant_id = NEW.tenant_id AND provenance.digest = NEW.provenance
    ) AS added
    ORDER BY metric, labels
    ON CONFLICT (tenant_id, snapshot_type, metric, labels) DO UPDATE
    SET value = CASE EXCLUDED.metric WHEN 'last_success' THEN greatest(existing.value, EXCLUDED.value)
        ELSE existing.value + EXCLUDED.value END;
    RETURN NULL;
END $$;
CREATE TRIGGER count_snapshot AFTER INSERT ON snapshot FOR EACH ROW EXECUTE FUNCTION count_snapshot();
ALTER TABLE snapshot ENABLE ALWAYS TRIGGER count_snapshot;

-- The key whose secret has this SHA-256, unless it was revoked. With the owner's rights, because a caller has
-- no tenant before its key is read; nobody can list keys through it.
CREATE FUNCTION api_key_of(hash bytea) RETURNS TABLE (key_id text, role text, tenant_ids text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ghl, pg_catalog, pg_temp
AS $$
    SELECT existing.key_id, existing.role, ARRAY(
        SELECT held.tenant_id FROM api_key_tenant AS held WHERE held.key_id = existing.key_id ORDER BY 1
    )
    FROM api_key AS existing WHERE existing.secret_hash = hash AND existing.revoked_at IS NULL
$$;

-- How far a request has come. What is stored decides; the run says only what is missing.
CREATE FUNCTION request_status(request snapshot_request) RETURNS text
LANGUAGE sql STABLE SET search_path = ghl, pg_catalog
AS $$
    SELECT CASE
        WHEN count(*) FILTER (WHERE status = 'success') = cardinality(request.snapshot_types) THEN 'succeeded'
        WHEN count(*) = cardinality(request.snapshot_types) OR request.ended_at IS NOT NULL THEN
            CASE WHEN bool_or(status <> 'failed') THEN 'partial_failure' ELSE 'failed' END
        WHEN count(*) > 0 OR request.started_at IS NOT NULL THEN 'running'
        WHEN request.run_id IS NOT NULL THEN 'queued'
        ELSE 'accepted'
    END
    FROM snapshot
    WHERE correlation_id = request.request_id AND tenant_id = request.tenant_id
        AND snapshot_type = ANY(request.snapshot_types)
$$;

-- Rights on what the API keeps ----------------------------------------------------------------------------

CREATE TRIGGER check_snapshot_types BEFORE INSERT ON snapshot_request
    FOR EACH ROW EXECUTE FUNCTION check_snapshot_types();
ALTER TABLE snapshot_request ENABLE ALWAYS TRIGGER check_snapshot_types;
CREATE TRIGGER keep_request BEFORE DELETE OR TRUNCATE ON snapshot_request EXECUTE FUNCTION refuse_change();
ALTER TABLE snapshot_request ENABLE ALWAYS TRIGGER keep_request;

GRANT SELECT ON snapshot_request TO ghl_snapshots_writer, ghl_snapshots_reader, ghl_snapshots_auditor;
GRANT INSERT (
    request_id, tenant_id, ghl_account_id, snapshot_types, priority, reason, idempotency_key, key_id, estimated_seconds
) ON snapshot_request TO ghl_snapshots_writer;
GRANT UPDATE (run_id, queued_at, started_at, ended_at, error) ON snapshot_request TO ghl_snapshots_writer;
GRANT INSERT (key_id, secret_hash, role, note), UPDATE (revoked_at) ON api_key TO ghl_snapshots_writer;
GRANT SELECT (key_id, role, note, created_at, revoked_at) ON api_key
    TO ghl_snapshots_writer, ghl_snapshots_auditor;
GRANT SELECT, INSERT ON api_key_tenant TO ghl_snapshots_writer;
GRANT SELECT ON api_key_tenant TO ghl_snapshots_auditor;
GRANT SELECT ON counter TO ghl_snapshots_auditor;
REVOKE EXECUTE ON FUNCTION api_key_of(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION api_key_of(bytea) TO ghl_snapshots_reader;

DO $$
DECLARE
    name text;
    own_rows CONSTANT text := 'tenant_id = (SELECT current_setting(''app.tenant_id'', true))';
BEGIN
    FOREACH name IN ARRAY ARRAY['snapshot_request', 'api_key', 'api_key_tenant', 'counter'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY all_rows_read ON %I FOR SELECT TO ghl_snapshots_auditor '
            'USING (true)', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['snapshot_request', 'api_key_tenant'] LOOP
        EXECUTE format('CREATE POLICY own_rows_read ON %I FOR SELECT TO ghl_snapshots_writer, '
            'ghl_snapshots_reader USING (%s)', name, own_rows);
        EXECUTE format('CREATE POLICY own_rows_added ON %I FOR INSERT TO ghl_snapshots_writer '
            'WITH CHECK (%s)', name, own_rows);
    END LOOP;
    EXECUTE format('CREATE POLICY own_rows_changed ON snapshot_request FOR UPDATE TO ghl_snapshots_writer '
        'USING (%s) WITH CHECK (%s)', own_rows, own_rows);
    -- Only count_snapshot writes these, as their owner.
    EXECUTE format('CREATE POLICY own_rows_counted ON counter TO ghl_snapshots_owner '
        'USING (%s) WITH CHECK (%s)', own_rows, own_rows);
END $$;

-- A key by itself opens nothing: what it sees are its tenants, each added by a session of that tenant. It can
-- be revoked by a session of any of them, and never given back.
CREATE POLICY keys_added ON api_key FOR INSERT TO ghl_snapshots_writer WITH CHECK (revoked_at IS NULL);
CREATE POLICY own_keys_read ON api_key FOR SELECT TO ghl_snapshots_writer
    USING (EXISTS (SELECT FROM api_key_tenant AS held WHERE held.key_id = api_key.key_id));
CREATE POLICY own_keys_revoked ON api_key FOR UPDATE TO ghl_snapshots_writer
    USING (revoked_at IS NULL AND EXISTS (SELECT FROM api_key_tenant AS held WHERE held.key_id = api_key.key_id))
    WITH CHECK (revoked_at IS NOT NULL);
-- For api_key_of, which runs with the owner's rights.
CREATE POLICY found_by_secret ON api_key FOR SELECT TO ghl_snapshots_owner USING (true);
CREATE POLICY found_by_secret ON api_key_tenant FOR SELECT TO ghl_snapshots_owner USING (true);

-- Daily quotas --------------------------------------------------------------------------------------------

-- What GHL last said of the requests that a location or company may still make on a UTC day.
CREATE TABLE daily_quota (
    resource_id text PRIMARY KEY,
    day date NOT NULL,
    remaining integer NOT NULL,
    daily integer
);
ALTER TABLE daily_quota ENABLE ROW LEVEL SECURITY;
ALTER TABLE daily_quota FORCE ROW LEVEL SECURITY;
-- For note_quota, which runs with the owner's rights; nobody else writes it.
CREATE POLICY noted ON daily_quota TO ghl_snapshots_owner USING (true) WITH CHECK (true);
CREATE POLICY all_rows_read ON daily_quota FOR SELECT TO ghl_snapshots_auditor USING (true);
GRANT SELECT ON daily_quota TO ghl_snapshots_auditor;
-- Whose location it is, never its token.
GRANT SELECT (tenant_id, location_id) ON location_token TO ghl_snapshots_auditor;
CREATE POLICY all_rows_read ON location_token FOR SELECT TO ghl_snapshots_auditor USING (true);
-- When a token is to be refreshed, never the token.
GRANT SELECT (tenant_id, access_expires_at) ON oauth_token TO ghl_snapshots_auditor;
CREATE POLICY all_rows_read ON oauth_token FOR SELECT TO ghl_snapshots_auditor USING (true);

-- Answers overtake each other, and within a day the quota only shrinks. The day is the server's: what a machine whose
-- clock is ahead says of tomorrow was said of today, and a day that has not come is replaced.
CREATE FUNCTION note_quota(resource text, on_day date, left_over integer, of_all integer) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = ghl, pg_catalog, pg_temp
AS $$
    INSERT INTO daily_quota AS existing (resource_id, day, remaining, daily)
    VALUES (resource, least(on_day, (clock_timestamp() AT TIME ZONE 'UTC')::date), left_over, of_all)
    ON CONFLICT (resource_id) DO UPDATE
    SET day = EXCLUDED.day,
        remaining = CASE WHEN existing.day = EXCLUDED.day THEN least(existing.remaining, EXCLUDED.remaining)
            ELSE EXCLUDED.remaining END,
        daily = coalesce(EXCLUDED.daily, existing.daily)
    WHERE existing.day <= EXCLUDED.day OR existing.day > (clock_timestamp() AT TIME ZONE 'UTC')::date
$$;
REVOKE EXECUTE ON FUNCTION note_quota(text, date, integer, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION note_quota(text, date, integer, integer) TO ghl_snapshots_writer;

-- What a capture reads at its start, so that it sends nothing that GHL refuses for the day.
CREATE FUNCTION quota_of_day(resource text, on_day date, OUT remaining integer, OUT daily integer)
RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ghl, pg_catalog, pg_temp
AS $$
    SELECT existing.remaining, existing.daily FROM daily_quota AS existing
    WHERE existing.resource_id = resource AND existing.day = on_day
$$;
REVOKE EXECUTE ON FUNCTION quota_of_day(text, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION quota_of_day(text, date) TO ghl_snapshots_writer;
