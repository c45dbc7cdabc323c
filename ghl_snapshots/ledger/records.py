"""Rows of the ledger as value objects."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ghl_snapshots.core.errors import LedgerError
from ghl_snapshots.core.model import SCHEMA_VERSION, Snapshot

_MAJOR = SCHEMA_VERSION.split(".", maxsplit=1)[0]


def snapshot_of(row: Mapping[str, Any]) -> Snapshot:
    """The snapshot of a row of the view snapshot_record.

    Raises:
        LedgerError: the record has a version that this release does not know.
    """
    if row["version"].split(".", maxsplit=1)[0] != _MAJOR:
        raise LedgerError(
            f"Snapshot {row['snapshot_id']} is a record of version {row['version']}; this release reads "
            f"{_MAJOR}.x. Use a newer release."
        )
    return Snapshot.from_row(row)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityVersion:
    """One distinct content of an entity, and the span of captures that saw it.

    A content that came back after another has one span from its first to its last sighting.
    """

    digest: str
    """Lower-case hex SHA-256 of `body`."""
    body: bytes = field(repr=False)
    endpoint: str
    """Where this content was first seen, as is `location_id`."""
    location_id: str | None
    snapshots: int
    """Number of snapshots that hold it."""
    first_snapshot_id: str
    first_captured_at: datetime
    last_snapshot_id: str
    last_captured_at: datetime
