-- Named queries that describe what keeps the ledger as it is.

-- describe_plainly -- let nothing that a login may set change how the objects are written in this transaction
SELECT set_config(name, value, true)
FROM (
    VALUES ('search_path', ''), ('quote_all_identifiers', 'off'), ('standard_conforming_strings', 'on')
) AS setting (name, value);

-- objects -- all of schema ghl, and what beside it decides who can change it: names in words, and what each is
-- Pretty, since otherwise the parentheses are others after a dump was restored.
WITH relation AS (
    SELECT pg_class.*, word || ' ' || quote_ident(relname) AS name
    FROM pg_class
    LEFT JOIN (
        VALUES ('r', 'table'), ('p', 'table'), ('f', 'foreign table'), ('v', 'view'), ('m', 'materialized view'),
            ('S', 'sequence'), ('c', 'composite type'), ('i', 'index'), ('I', 'index')
    ) AS worded (kind, word) ON kind = relkind::text
    WHERE relnamespace = to_regnamespace('ghl')
),
routine AS (
    SELECT pg_proc.*, 'function ' || substr(pg_proc.oid::regprocedure::text, 5) AS name
    FROM pg_proc WHERE pronamespace = to_regnamespace('ghl')
),
field AS (
    SELECT pg_attribute.*, relkind, relowner, format('%s of %s', quote_ident(attname), relation.name) AS name
    FROM relation
    JOIN pg_attribute ON attrelid = relation.oid AND attnum > 0 AND NOT attisdropped
),
group_role AS (
    SELECT * FROM pg_roles
    WHERE rolname = ANY(ARRAY[
        'ghl_snapshots_owner', 'ghl_snapshots_writer', 'ghl_snapshots_reader', 'ghl_snapshots_auditor'
    ])
),
owned (name, owner, acl) AS (
    SELECT 'schema ghl', nspowner, coalesce(nspacl, acldefault('n', nspowner))
    FROM pg_namespace WHERE nspname = 'ghl'
    UNION ALL
    SELECT name, relowner, coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 'S' ELSE 'r' END::"char", relowner))
    FROM relation WHERE relkind NOT IN ('i', 'I', 'c')
    UNION ALL
    SELECT name, proowner, coalesce(proacl, acldefault('f', proowner)) FROM routine
),
-- What an owner may do itself is left out: it can give itself all back, and PostgreSQL 17 knows a right more.
granted (name, grantee, rights) AS (
    SELECT name, grantee,
        string_agg(privilege_type || CASE WHEN is_grantable THEN ' and pass on' ELSE '' END, ', ' ORDER BY privilege_type)
    FROM (
        SELECT name, owner, acl FROM owned
        UNION ALL
        SELECT 'column ' || name, relowner, attacl FROM field WHERE attacl IS NOT NULL
    ) AS each
    CROSS JOIN LATERAL aclexplode(acl)
    WHERE grantee <> owner
    GROUP BY name, grantee
),
state (letter, word) AS (
    VALUES ('O', 'on'), ('D', 'disabled'), ('R', 'on for replicas'), ('A', 'always on')
)
SELECT name, CASE WHEN relkind IN ('i', 'I') THEN pg_get_indexdef(oid, 0, true)
        || CASE WHEN indisvalid AND indisready AND indislive THEN '' ELSE ' (not valid)' END
    ELSE concat_ws(', ',
        CASE relpersistence WHEN 'p' THEN 'permanent' WHEN 'u' THEN 'unlogged' ELSE 'temporary' END,
        -- How a table is stored is the administrator's affair.
        CASE WHEN relkind = 'v' THEN array_to_string(reloptions, ', ') END)
    END AS description
FROM relation
LEFT JOIN pg_index ON indexrelid = oid
UNION ALL
SELECT 'body of ' || name, pg_get_viewdef(oid, true)
FROM relation WHERE relkind IN ('v', 'm')
UNION ALL
SELECT 'row security of ' || name,
    CASE WHEN relrowsecurity AND relforcerowsecurity THEN 'enabled and forced'
        WHEN relrowsecurity THEN 'enabled, not forced' ELSE 'off' END
FROM relation WHERE relkind IN ('r', 'p', 'f')
UNION ALL
SELECT 'owner of ' || name, quote_ident(pg_get_userbyid(owner)) FROM owned
UNION ALL
SELECT format('right of %s on %s', CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END, name),
    rights
FROM granted
UNION ALL
SELECT 'column ' || name, concat_ws(' ',
    format_type(atttypid, atttypmod),
    CASE WHEN attcollation <> typcollation THEN format('COLLATE %s', attcollation::regcollation) END,
    -- Only since PostgreSQL 18 are these constraints, which need not be valid.
    CASE WHEN attnotnull AND NOT EXISTS (
        SELECT FROM pg_constraint
        WHERE conrelid = attrelid AND contype = 'n' AND attnum = ANY(conkey) AND NOT convalidated
    ) THEN 'NOT NULL' END,
    CASE WHEN attgenerated <> '' THEN format('GENERATED %s', attgenerated) WHEN adbin IS NOT NULL THEN 'DEFAULT' END,
    pg_get_expr(adbin, adrelid, true),
    CASE WHEN attidentity <> '' THEN format('IDENTITY %s', attidentity) END)
FROM field
JOIN pg_type ON pg_type.oid = atttypid
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE relkind IN ('r', 'p', 'f', 'c')
UNION ALL
SELECT format('constraint %s on %s', quote_ident(conname), name), pg_get_constraintdef(pg_constraint.oid, true)
    || CASE WHEN EXISTS (
        SELECT FROM pg_trigger WHERE tgconstraint = pg_constraint.oid AND tgisinternal AND tgenabled <> 'O'
    ) THEN ' (disabled)' ELSE '' END
FROM relation
JOIN pg_constraint ON conrelid = relation.oid AND contype <> 'n'
UNION ALL
SELECT format('trigger %s on %s', quote_ident(tgname), name), format('%s: %s', word, pg_get_triggerdef(pg_trigger.oid, true))
FROM relation
JOIN pg_trigger ON tgrelid = relation.oid AND NOT tgisinternal
JOIN state ON letter = tgenabled::text
UNION ALL
SELECT format('rule %s on %s', quote_ident(rulename), name),
    format('%s: %s', word, pg_get_ruledef(pg_rewrite.oid, true))
FROM relation
JOIN pg_rewrite ON ev_class = relation.oid AND NOT (rulename = '_RETURN' AND ev_enabled = 'O')
JOIN state ON letter = ev_enabled::text
UNION ALL
SELECT format('policy %s on %s', quote_ident(polname), name), concat_ws(' ',
    CASE WHEN polpermissive THEN 'permissive' ELSE 'restrictive' END,
    'for', CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
    'to', (
        SELECT string_agg(CASE role WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(role)) END, ', '
            ORDER BY pg_get_userbyid(role))
        FROM unnest(polroles) AS role
    ),
    'using ' || pg_get_expr(polqual, polrelid, true), 'with check ' || pg_get_expr(polwithcheck, polrelid, true))
FROM relation
JOIN pg_policy ON polrelid = relation.oid
UNION ALL
SELECT format('inheritance of %s from %s', inhrelid::regclass, inhparent::regclass), 'there'
FROM pg_inherits
WHERE EXISTS (SELECT FROM relation WHERE relation.oid IN (inhrelid, inhparent))
UNION ALL
SELECT name, concat_ws(' ',
    format('(%s)', pg_get_function_arguments(oid)),
    'RETURNS ' || pg_get_function_result(oid),
    'LANGUAGE ' || (SELECT lanname FROM pg_language WHERE pg_language.oid = prolang),
    CASE provolatile WHEN 'i' THEN 'IMMUTABLE' WHEN 's' THEN 'STABLE' ELSE 'VOLATILE' END,
    CASE prokind WHEN 'f' THEN NULL ELSE format('of kind %s', prokind) END,
    CASE WHEN proisstrict THEN 'STRICT' END,
    CASE WHEN proleakproof THEN 'LEAKPROOF' END,
    CASE proparallel WHEN 's' THEN 'PARALLEL SAFE' WHEN 'r' THEN 'PARALLEL RESTRICTED' END,
    CASE WHEN prosecdef THEN 'SECURITY DEFINER' END,
    CASE WHEN prosupport <> 0 THEN format('SUPPORT %s', prosupport) END,
    'SET ' || array_to_string(proconfig, ' SET '))
FROM routine
UNION ALL
SELECT 'body of ' || name, concat_ws(' ',
    coalesce(pg_get_function_sqlbody(oid), 'SHA-256 ' || encode(sha256(convert_to(prosrc, 'UTF8')), 'hex')), probin)
FROM routine
UNION ALL
SELECT what.type || ' ' || what.identity, 'there'
FROM pg_depend
CROSS JOIN LATERAL pg_identify_object(classid, objid, objsubid) AS what
WHERE refclassid = 'pg_namespace'::regclass AND refobjid = to_regnamespace('ghl')
    AND classid <> ALL(ARRAY['pg_class'::regclass, 'pg_proc'::regclass])
UNION ALL
SELECT 'role ' || rolname, coalesce(nullif(concat_ws(', ',
    CASE WHEN rolcanlogin THEN 'LOGIN' END, CASE WHEN rolsuper THEN 'SUPERUSER' END,
    CASE WHEN rolbypassrls THEN 'BYPASSRLS' END, CASE WHEN rolcreaterole THEN 'CREATEROLE' END,
    CASE WHEN rolcreatedb THEN 'CREATEDB' END, CASE WHEN rolreplication THEN 'REPLICATION' END), ''), 'without attributes')
FROM group_role
UNION ALL
-- Who is a member of ours is the administrator's affair; ours are members of none.
SELECT format('membership of %s in %s', rolname, quote_ident(pg_get_userbyid(roleid))), 'there'
FROM group_role
JOIN pg_auth_members ON member = group_role.oid
GROUP BY rolname, roleid
UNION ALL
SELECT 'event trigger ' || quote_ident(evtname), format('%s: on %s, %s', word, evtevent, evtfoid::regprocedure)
FROM pg_event_trigger
JOIN state ON letter = evtenabled::text
UNION ALL
-- The one leaves foreign keys unchecked; by the other, relations of another schema are taken for ours.
SELECT format('setting %s of %s', split_part(setting, '=', 1),
    CASE setrole WHEN 0 THEN 'the database' ELSE quote_ident(pg_get_userbyid(setrole)) END),
    substr(setting, strpos(setting, '=') + 1)
FROM pg_db_role_setting
CROSS JOIN unnest(setconfig) AS setting
WHERE (setdatabase = 0 OR setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()))
    AND (setting LIKE 'session_replication_role=%' OR setrole = 0 AND setting LIKE 'search_path=%' AND setting !~ '^search_path=ghl(,|$)')
UNION ALL
SELECT 'setting session_replication_role of the server', reset_val
FROM pg_settings
WHERE name = 'session_replication_role' AND reset_val <> 'origin'
    AND source <> ALL(ARRAY['database', 'user', 'database user', 'client'])
ORDER BY name;
