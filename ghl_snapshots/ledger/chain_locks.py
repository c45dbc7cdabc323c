"""Why a capture could not be stored in time: the sessions that lock the end of its chain."""

from collections.abc import Mapping
from typing import Any

from psycopg.errors import LockNotAvailable

from ghl_snapshots.core.errors import LedgerError
from ghl_snapshots.core.model import Capture
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.queries import query


def is_lock_timeout(error: LedgerError) -> bool:
    """Whether the wait for a lock timed out, which is not tried again."""
    return isinstance(error.__cause__, LockNotAvailable)


def describe_chain_lock(database: Database, capture: Capture, error: LedgerError) -> LedgerError:
    """An error that names the sessions which lock the chain; the same error if it was another lock."""
    chain = {"tenant_id": capture.tenant_id, "snapshot_type": str(capture.snapshot_type)}
    with database.reader(capture.tenant_id) as connection:
        holders = connection.execute(query("chain_holders"), chain).fetchall()
    if not holders:
        return error
    return LedgerError(
        f"The capture of {capture.snapshot_type} of tenant {capture.tenant_id} was not stored: it waited "
        f"{database.lock_seconds:g} s for the end of its chain, which is locked by "
        f"{'; '.join(map(_holder, holders))}. Look at what it does; pg_terminate_backend ends it."
    )


def _holder(row: Mapping[str, Any]) -> str:
    details = [f"login {row['usename']}", row["application_name"], row["client_addr"], row["state"]]
    return f"session {row['pid']} ({', '.join(filter(None, details))})"
