-- The migrations that were applied.

-- applied_migrations -- the migrations that were applied, in order
SELECT version, digest FROM ghl.schema_version ORDER BY version;

-- add_applied_migration -- remember that a migration was applied
INSERT INTO ghl.schema_version (version, digest) VALUES (%(version)s, %(digest)s);
