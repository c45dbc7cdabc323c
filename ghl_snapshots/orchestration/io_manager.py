"""The append-only IO manager: the only code that writes snapshots.

Its contract is one tenant's capture. A run covers many tenants, so its assets hand each capture to `store`
as it comes in; a downstream asset's Output for one tenant takes the same way. Nothing in here can change or
remove what is stored.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import dagster as dg

from ghl_snapshots.core.errors import SnapshotNotFoundError, SnapshotRefusedError
from ghl_snapshots.core.model import Capture, Snapshot, SnapshotType
from ghl_snapshots.ledger.append import Appended
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.orchestration.resources import DatabaseResource


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSnapshot:
    """A stored snapshot with its entities' exact bytes, verified against its checksum."""

    snapshot: Snapshot
    bodies: tuple[bytes, ...] = field(repr=False)

    def entities(self) -> list[Any]:
        """The entities as Python values, in payload order; `bodies` has what JSON parsing would lose."""
        return [json.loads(body) for body in self.bodies]


class SnapshotIOManager(dg.ConfigurableIOManager):
    """Appends captures to the ledger and reads a tenant's latest snapshot back."""

    database: DatabaseResource

    def store(self, capture: Capture) -> Appended:
        """Append one tenant's capture in one transaction; storing the same capture twice stores it once.

        Raises:
            SnapshotRefusedError: the capture breaks the snapshot contract; nothing was stored.
        """
        return self.database.ledger.append(capture)

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Store an asset's Output, which must be the capture of the very partition that is materialized."""
        if not isinstance(obj, Capture):
            raise SnapshotRefusedError(
                f"Only a Capture can be stored as a snapshot; {context.asset_key.to_user_string()} gave a "
                f"{type(obj).__name__}."
            )
        if context.asset_partition_keys != [obj.tenant_id]:
            raise SnapshotRefusedError(
                f"A capture of tenant {obj.tenant_id} cannot be stored for {context.asset_partition_keys}."
            )
        self.store(obj)

    def load_input(self, context: dg.InputContext) -> LoadedSnapshot | dict[str, LoadedSnapshot]:
        """The latest snapshot of the partition's tenant; of several tenants, a dictionary by tenant id.

        Raises:
            SnapshotNotFoundError: a tenant has no snapshot of that type yet.
            SnapshotCorruptError: stored bytes do not match their checksum.
        """
        snapshot_type = SnapshotType(context.asset_key.path[-1])
        ledger = self.database.ledger
        loaded = {
            tenant: load_latest(ledger, tenant, snapshot_type) for tenant in context.asset_partition_keys
        }
        return next(iter(loaded.values())) if len(loaded) == 1 else loaded


def load_latest(
    ledger: Ledger, tenant_id: str, snapshot_type: SnapshotType, *, as_of: datetime | None = None
) -> LoadedSnapshot:
    """The newest snapshot captured by that moment, with its bytes; raises like `load_input`."""
    snapshot = ledger.latest(tenant_id, snapshot_type, as_of=as_of)
    if snapshot is None:
        by_then = f"by {as_of:%Y-%m-%d %H:%M %Z}" if as_of else "yet"
        raise SnapshotNotFoundError(f"Tenant {tenant_id} has no snapshot of {snapshot_type} {by_then}.")
    ledger.verify_snapshot(snapshot)
    return LoadedSnapshot(snapshot=snapshot, bodies=tuple(ledger.bodies(snapshot)))
