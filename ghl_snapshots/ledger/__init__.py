"""The append-only ledger of snapshots in PostgreSQL."""
