"""What a step reports of each tenant: an event for what was stored, a failure that names the rest."""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

import dagster as dg

from ghl_snapshots.capture.locked_captures import CaptureFailure, CaptureResult
from ghl_snapshots.core.model import Snapshot, SnapshotType, Status
from ghl_snapshots.core.summary import counted, describe_errors, describe_left_out
from ghl_snapshots.ledger.append import SHOWN_BYTES, Appended
from ghl_snapshots.orchestration import dagster_tags

CAPTURE_FAILURES = "capture_failures"
"""In a step's failure: the table of its tenants, with the columns tenant, status and cause."""
_READ_IT = "`ghl-snapshots show {0}` or `SELECT payload FROM ghl_snapshot WHERE snapshot_id = '{0}'`"
_TOO_LARGE = (
    "{1:,} bytes, too large for JSON, which leaves the larger entities out; all of it: "
    "`ghl-snapshots show --raw {0}` or `SELECT body FROM ghl_snapshot_raw WHERE snapshot_id = '{0}' "
    "ORDER BY position`"
)
_MAX_CAUSES = 1
_MAX_TENANTS = 20
_MAX_TENANTS_IN_TABLE = 200


def result_event(appended: Appended) -> dg.AssetMaterialization | dg.AssetObservation:
    """The event of one tenant's stored snapshot; of one that holds nothing, only an observation.

    It is the run's log line on the snapshot as well: one more event each would cost a fifth of a run. A
    materialization's data version is the snapshot's checksum.
    """
    snapshot = appended.snapshot
    metadata = {
        "record_count": snapshot.record_count,
        "dagster/row_count": snapshot.record_count,
        "status": snapshot.status.value,
        "checksum": snapshot.checksum,
        "duration_seconds": snapshot.duration_ms / 1000,
        "api_calls": snapshot.api_calls,
        "new_entities": appended.new_entities,
        "new_bytes": appended.new_bytes,
        "missing_parts": len(snapshot.metadata["errors"]),
        "left_out": len(snapshot.metadata.get("leftOut", [])),
        "left_out_because": "; ".join(describe_left_out(snapshot, at_most=_MAX_CAUSES)) or "nothing",
        "duplicates": len(snapshot.metadata.get("duplicates", [])),
        "snapshot_id": snapshot.snapshot_id,
        "correlation_id": snapshot.correlation_id,
        "captured_at": dg.MetadataValue.timestamp(snapshot.captured_at),
        "read_it": dg.MetadataValue.md(_where(appended)),
    }
    asset_key, partition, description = snapshot.snapshot_type.value, snapshot.tenant_id, _describe(appended)
    if snapshot.status is Status.FAILED:
        return dg.AssetObservation(
            asset_key=asset_key, partition=partition, description=description, metadata=metadata
        )
    return dg.AssetMaterialization(
        asset_key=asset_key,
        partition=partition,
        description=description,
        metadata=metadata,
        tags={dagster_tags.DATA_VERSION: snapshot.checksum},
    )


def _where(appended: Appended) -> str:
    """How the payload is read, in Markdown."""
    words = _TOO_LARGE if appended.payload_bytes > SHOWN_BYTES else _READ_IT
    return words.format(appended.snapshot.snapshot_id, appended.payload_bytes)


def _describe(appended: Appended) -> str:
    snapshot = appended.snapshot
    new = f"{appended.new_entities:,} new" if appended.new_entities else "nothing new"
    if appended.already_stored:
        new = "stored before for this trigger"
    records, calls = counted(snapshot.record_count, "record"), counted(snapshot.api_calls, "API call")
    return (
        f"{snapshot.tenant_id}: {snapshot.snapshot_type} {snapshot.status}, {records} ({new}) from {calls} "
        f"in {snapshot.duration_ms / 1000:.2f} s"
    )


class CaptureFailures:
    """Tenants that a step could not capture, or not completely: logged as they come up, then its failure."""

    def __init__(self, snapshot_type: SnapshotType, log: Callable[[str], None]) -> None:
        self._snapshot_type = snapshot_type
        self._log = log
        self._failures: list[CaptureFailure] = []

    def add(self, result: CaptureResult) -> None:
        """Note a result, unless it is a complete snapshot."""
        failure = result if isinstance(result, CaptureFailure) else _incomplete(result.snapshot)
        if failure is not None:
            self._log(f"{failure.tenant_id}: {self._snapshot_type} {failure.status}: {failure.cause}")
            self._failures.append(failure)

    @property
    def tenant_ids(self) -> AbstractSet[str]:
        """Whom the step could not capture, or not completely."""
        return {failure.tenant_id for failure in self._failures}

    def raise_if_any(self, *, tenants: int, correlation_id: str) -> None:
        """End the step, if there is anything to end it for; `tenants` is how many it was to capture.

        Raises:
            dagster.Failure: naming tenants and causes; both lists are bounded, with the totals.
        """
        failed = len(self._failures)
        if not failed:
            return
        named = [f"{one.tenant_id} ({one.status}): {one.cause}" for one in self._failures[:_MAX_TENANTS]]
        if failed > _MAX_TENANTS:
            named.append(f"... and {failed - _MAX_TENANTS:,} more tenants")
        summary = f"{self._snapshot_type} failed or is incomplete for {failed:,} of {tenants:,} tenants."
        rows = [
            dg.TableRecord({"tenant": one.tenant_id, "status": one.status, "cause": one.cause})
            for one in self._failures[:_MAX_TENANTS_IN_TABLE]
        ]
        raise dg.Failure(
            description="\n".join([summary, *named]),
            metadata={
                "tenants": tenants,
                "failed_tenants": failed,
                "correlation_id": correlation_id,
                CAPTURE_FAILURES: dg.MetadataValue.table(rows),
            },
            allow_retries=False,
        )


def describe_tenants(tenant_ids: Sequence[str], failed: int) -> str:
    """How many failed and whose run it is, such as `1 of 50 failed: t00 to t49`."""
    first, last = tenant_ids[0], tenant_ids[-1]
    named = first if first == last else f"{first} to {last}"
    return f"{failed:,} of {len(tenant_ids):,} failed: {named}" if failed else named


def _incomplete(snapshot: Snapshot) -> CaptureFailure | None:
    """Why a stored snapshot is not complete, bounded; the snapshot itself has all of it."""
    if snapshot.status is Status.SUCCESS:
        return None
    causes = describe_errors(snapshot, at_most=_MAX_CAUSES)
    return CaptureFailure(
        tenant_id=snapshot.tenant_id,
        status=snapshot.status.value,
        cause="; ".join(causes) or "no cause was recorded",
    )
