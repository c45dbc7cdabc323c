"""Who has been captured and who has not, asked across all tenants."""

from collections.abc import Collection, Mapping

from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.queries import sql_text


def never_captured(database: Database) -> frozenset[str]:
    """Ids of the enabled tenants of whom there is no snapshot yet, not even a failed one.

    Raises:
        LedgerError: the server does not answer.
    """
    with database.auditor() as connection:
        return frozenset(row["tenant_id"] for row in connection.execute(sql_text("never_captured.sql")))


def stored_for_trigger(
    database: Database, correlation_id: str, snapshot_type: SnapshotType, tenant_ids: Collection[str]
) -> Mapping[str, str]:
    """Snapshot ids by tenant, of those of the tenants that the trigger has led to a snapshot of already.

    Raises:
        LedgerError: the server does not answer.
    """
    parameters = {
        "correlation_id": correlation_id,
        "snapshot_type": snapshot_type.value,
        "tenant_ids": list(tenant_ids),
    }
    with database.auditor() as connection:
        rows = connection.execute(sql_text("stored_for_trigger.sql"), parameters)
        return {row["tenant_id"]: row["snapshot_id"] for row in rows}
