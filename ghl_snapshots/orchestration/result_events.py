"""A run's account of itself: what is said of each tenant, and the failure that names those that failed."""

from collections.abc import Callable

import dagster as dg

from ghl_snapshots.core.model import Snapshot, SnapshotType, Tenant
from ghl_snapshots.core.summary import cause, counted
from ghl_snapshots.ledger.append import Appended

_READ_IT = "`ghl-snapshots show {0}` or `SELECT payload FROM ghl_snapshot WHERE snapshot_id = '{0}'`"
_MOST_CAUSES = 3
_MOST_TENANTS = 20
_MOST_TENANTS_IN_TABLE = 200


def materialization(appended: Appended) -> dg.AssetMaterialization:
    """The event of one tenant's stored snapshot; its data version is the snapshot's checksum.

    It is the run's log line on the snapshot as well: one more event each would cost a fifth of a run.
    """
    snapshot = appended.snapshot
    return dg.AssetMaterialization(
        asset_key=snapshot.snapshot_type.value,
        partition=snapshot.tenant_id,
        description=_told(appended),
        metadata={
            "record_count": snapshot.record_count,
            "status": snapshot.status.value,
            "checksum": snapshot.checksum,
            "duration_seconds": snapshot.duration_ms / 1000,
            "api_calls": snapshot.api_calls,
            "new_entities": appended.new_entities,
            "new_bytes": appended.new_bytes,
            "missing_parts": len(snapshot.metadata["errors"]),
            "snapshot_id": snapshot.snapshot_id,
            "correlation_id": snapshot.correlation_id,
            "captured_at": dg.MetadataValue.timestamp(snapshot.captured_at),
            "read_it": dg.MetadataValue.md(_READ_IT.format(snapshot.snapshot_id)),
        },
        tags={"dagster/data_version": snapshot.checksum},
    )


def _told(appended: Appended) -> str:
    snapshot = appended.snapshot
    news = f"{appended.new_entities:,} new" if appended.new_entities else "nothing new"
    if appended.already_stored:
        news = "stored before for this trigger"
    records, calls = counted(snapshot.record_count, "record"), counted(snapshot.api_calls, "API call")
    return (
        f"{snapshot.tenant_id}: {snapshot.snapshot_type} {snapshot.status}, {records} ({news}) from {calls} "
        f"in {snapshot.duration_ms / 1000:.2f} s"
    )


def causes(snapshot: Snapshot) -> str:
    """Why a stored snapshot is not complete, bounded; the snapshot itself has all of it."""
    errors = snapshot.metadata["errors"]
    named = [cause(error) for error in errors[:_MOST_CAUSES]]
    if len(errors) > _MOST_CAUSES:
        named.append(
            f"and {len(errors) - _MOST_CAUSES:,} more, see `ghl-snapshots show {snapshot.snapshot_id}`"
        )
    return "; ".join(named) or "no cause was recorded"


class Shortfalls:
    """Tenants that a step could not capture, or not completely: logged as they come up, then its failure."""

    def __init__(self, snapshot_type: SnapshotType, log: Callable[[str], None]) -> None:
        self._snapshot_type = snapshot_type
        self._log = log
        self._rows: list[dict[str, str]] = []

    def add(self, tenant_id: str, status: str, cause: str) -> None:
        """Note a tenant, in one word how it stands, and why."""
        self._log(f"{tenant_id}: {self._snapshot_type} {status}: {cause}")
        self._rows.append({"tenant": tenant_id, "status": status, "cause": cause})

    def busy(self, tenant: Tenant) -> None:
        """Note a tenant that another run kept capturing for longer than this one could wait."""
        self.add(tenant.tenant_id, "busy", "another run was still capturing it; materialize it again")

    def fail(self, *, tenants: int, correlation_id: str) -> None:
        """End the step, if there is anything to end it for; `tenants` is how many it was to capture.

        Raises:
            dagster.Failure: naming tenants and causes; both lists are bounded, with the totals.
        """
        if not self._rows:
            return
        named = [f"{row['tenant']} ({row['status']}): {row['cause']}" for row in self._rows[:_MOST_TENANTS]]
        if len(self._rows) > _MOST_TENANTS:
            named.append(f"... and {len(self._rows) - _MOST_TENANTS:,} more tenants")
        summary = (
            f"{self._snapshot_type} failed or is incomplete for {len(self._rows):,} of {tenants:,} tenants."
        )
        raise dg.Failure(
            description="\n".join([summary, *named]),
            metadata={
                "tenants": tenants,
                "failed_tenants": len(self._rows),
                "correlation_id": correlation_id,
                "shortfalls": dg.MetadataValue.table(
                    [dg.TableRecord(row) for row in self._rows[:_MOST_TENANTS_IN_TABLE]]
                ),
            },
            allow_retries=False,
        )
