-- What binds a transaction or a session: its tenant, its time limit, its locks.

-- set_tenant -- bind this transaction to one tenant for row security
SELECT set_config('app.tenant_id', %(tenant_id)s, true);

-- different_settings -- settings of this session that have another value than expected
SELECT name, current_setting(name, true)
FROM unnest(%(names)s::text[], %(expected)s::text[]) AS asked (name, expected)
WHERE current_setting(name, true) IS DISTINCT FROM expected;

-- server_time -- the moment by the server's clock
SELECT clock_timestamp() AS now;

-- set_lock_timeout -- wait no longer than this for a lock in this transaction
SELECT set_config('lock_timeout', %(milliseconds)s, true);

-- try_session_lock -- take a lock for as long as the session lasts, if nobody holds it
SELECT pg_try_advisory_lock(hashtextextended(%(name)s, 4713)) AS done;

-- session_lock -- take a lock for as long as the session lasts, when its holder has freed it
SELECT pg_advisory_lock(hashtextextended(%(name)s, 4713));

-- session_lives -- whether the session is there, and so are its locks
SELECT %(name)s::text IS NOT NULL AS done;

-- session_unlock -- free a lock of this session
SELECT pg_advisory_unlock(hashtextextended(%(name)s, 4713)) AS done;

-- unheld_locks -- those of the locks that no session holds
SELECT name FROM unnest(%(names)s::text[]) AS asked (name)
WHERE NOT EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
        AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (classid::bigint << 32) | objid::bigint = hashtextextended(name, 4713)
);
