"""The checks of the weekly validation, each asked over all tenants: every answer is a fault."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.queries import query
from ghl_snapshots.ledger.verification import Verification
from ghl_snapshots.model import SnapshotType

_HOURLY = frozenset({SnapshotType.PIPELINES, SnapshotType.WORKFLOWS})
INTACT = "intact"
GUARDED = "guarded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong, and with whom; no tenant where the ledger's protection as a whole is meant."""

    tenant_id: str | None
    snapshot_type: SnapshotType
    problem: str


def faults(
    database: Database, check: str, snapshot_types: Collection[SnapshotType], *, now: datetime
) -> list[Fault]:
    """Everything that a check finds wrong in the snapshots of these types.

    Raises:
        LedgerError: the server does not answer.
    """
    if check == GUARDED:
        found = [finding.problem for finding in Verification(database, since=now) if not finding.tenant_id]
        return [
            Fault(tenant_id=None, snapshot_type=kind, problem=problem)
            for kind in snapshot_types
            for problem in found
        ]
    if check == INTACT:
        return [fault for kind in snapshot_types for fault in _broken(database, kind)]
    with database.auditor() as connection:
        rows = connection.execute(query(check), _parameters(list(snapshot_types), now)).fetchall()
    return [
        Fault(
            tenant_id=row["tenant_id"],
            snapshot_type=SnapshotType(row["snapshot_type"]),
            problem=row["problem"],
        )
        for row in rows
    ]


def _broken(database: Database, snapshot_type: SnapshotType) -> Iterator[Fault]:
    for finding in Verification(database, snapshot_type=snapshot_type, deep=True):
        if finding.tenant_id:
            yield Fault(
                tenant_id=finding.tenant_id, snapshot_type=snapshot_type, problem=_without_tenant(finding)
            )


def _without_tenant(finding: object) -> str:
    return str(finding).partition(": ")[2]


def _parameters(snapshot_types: list[SnapshotType], now: datetime) -> Mapping[str, object]:
    return {
        "snapshot_types": [str(kind) for kind in snapshot_types],
        "windows": [_period(kind) + _grace(kind) for kind in snapshot_types],
        "periods": [_period(kind) for kind in snapshot_types],
        "now": now,
    }


def _period(snapshot_type: SnapshotType) -> timedelta:
    """How often the schedules capture the type."""
    return timedelta(hours=1) if snapshot_type in _HOURLY else timedelta(days=1)


def _grace(snapshot_type: SnapshotType) -> timedelta:
    """How late a capture may be before it counts as missing."""
    return timedelta(hours=1) if snapshot_type in _HOURLY else timedelta(hours=6)
