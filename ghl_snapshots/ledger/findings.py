"""What a verification says: what does not hold, how much it has been through, and where it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A row of the ledger that does not hold, and what is wrong with it.

    `snapshot_id` and `seq` are those of the broken snapshot, or of the first one that has the broken content;
    all but `problem` is None where the ledger's protection as a whole is meant.
    """

    problem: str
    tenant_id: str | None = None
    snapshot_type: str | None = None
    snapshot_id: str | None = None
    seq: int | None = None

    def __str__(self) -> str:
        """One line for a person."""
        place = f"{self.tenant_id}: " if self.tenant_id else ""
        if self.snapshot_id:
            place += f"{self.snapshot_type} snapshot {self.seq} ({self.snapshot_id}): "
        return place + self.problem


@dataclass(slots=True, kw_only=True)
class Checked:
    """How much a verification has been through."""

    snapshots: int = 0
    payloads: int = 0
    entities: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a verification is: `done` of `total` snapshots, and the tenant whose chain was looked at.

    Without a tenant, the bytes of so many entities were hashed.
    """

    done: int
    total: int
    tenant_id: str | None


def finding_of(chain: Mapping[str, Any], row: Mapping[str, Any], problem: str) -> Finding:
    """The finding of a row with the snapshot that has it, in its chain."""
    return Finding(
        tenant_id=chain["tenant_id"],
        snapshot_type=chain["snapshot_type"],
        snapshot_id=row["snapshot_id"],
        seq=row["seq"],
        problem=problem,
    )
