"""What code outside of the product may build on: the one module that another code location imports.

Everything here keeps its name and meaning within a major release; docs/downstream.md shows its use. The
database is that of `GHL_SNAPSHOTS_DATABASE_URL`, read when a function is called and never at import.
"""

from collections.abc import Sequence
from datetime import datetime

import dagster as dg

from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.core.settings import load_settings
from ghl_snapshots.ledger.ledger import EntityVersion, Ledger
from ghl_snapshots.orchestration import partitions
from ghl_snapshots.orchestration.assets import IO_MANAGER_KEY
from ghl_snapshots.orchestration.io_manager import LoadedSnapshot, SnapshotIOManager, load_latest
from ghl_snapshots.orchestration.resources import DatabaseResource

TENANTS: dg.DynamicPartitionsDefinition = partitions.tenants
"""One partition for each enabled tenant; an asset with these partitions follows the product's."""


def snapshot_specs() -> Sequence[dg.AssetSpec]:
    """The five assets of the product as another code location names what it depends on."""
    return [
        dg.AssetSpec(kind.value, partitions_def=TENANTS).with_io_manager_key(IO_MANAGER_KEY)
        for kind in SnapshotType
    ]


def snapshot_resources() -> dict[str, SnapshotIOManager]:
    """The resources by which an asset gets its tenant's latest snapshot as its input, verified."""
    return {IO_MANAGER_KEY: SnapshotIOManager(database=DatabaseResource())}


def latest(tenant_id: str, snapshot_type: str, *, as_of: datetime | None = None) -> LoadedSnapshot:
    """The newest snapshot that was captured by that moment (by now) and holds anything, verified.

    Raises:
        SnapshotNotFoundError: there is none.
        SnapshotCorruptError: stored bytes do not match their checksum.
    """
    with open_database(load_settings()) as database:
        return load_latest(Ledger(database), tenant_id, SnapshotType(snapshot_type), as_of=as_of)


def history(tenant_id: str, entity_id: str, *, endpoint: str | None = None) -> Sequence[EntityVersion]:
    """Every distinct content of the entity with this GHL id, by endpoint and first sighting; may be empty.

    docs/endpoints.md names the endpoints: an agent in a list and the same agent's detail have one id.
    """
    with open_database(load_settings()) as database:
        return Ledger(database).entity_history(tenant_id, endpoint, entity_id)
