"""Rows of the ledger as value objects."""

from collections.abc import Mapping
from typing import Any

from ghl_snapshots.errors import LedgerError
from ghl_snapshots.model import SCHEMA_VERSION, Snapshot

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
