"""The sessions that keep others from the end of a chain, told to whoever waited for it in vain."""

from collections.abc import Mapping
from typing import Any

from psycopg.errors import LockNotAvailable

from ghl_snapshots.core.errors import LedgerError
from ghl_snapshots.core.model import Capture
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.queries import query


def waited_in_vain(error: LedgerError) -> bool:
    """Whether it was a lock that was waited for; whoever has waited so long does not do so again."""
    return isinstance(error.__cause__, LockNotAvailable)


def kept_from_chain(database: Database, capture: Capture, error: LedgerError) -> LedgerError:
    """Why the capture was not stored in time, with the sessions; the same error if it was another lock."""
    chain = {"tenant_id": capture.tenant_id, "snapshot_type": str(capture.snapshot_type)}
    with database.reader(capture.tenant_id) as connection:
        holders = connection.execute(query("chain_holders"), chain).fetchall()
    if not holders:
        return error
    return LedgerError(
        f"The capture of {capture.snapshot_type} of tenant {capture.tenant_id} was not stored: it waited "
        f"{database.lock_seconds:g} s for its place in the chain, which is kept by "
        f"{'; '.join(map(_holder, holders))}. Look what it does; pg_terminate_backend ends it."
    )


def _holder(row: Mapping[str, Any]) -> str:
    told = [f"login {row['usename']}", row["application_name"], row["client_addr"], row["state"]]
    return f"session {row['pid']} ({', '.join(filter(None, told))})"
