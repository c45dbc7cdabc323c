"""The checks of the weekly validation, each asked over all tenants: every answer is a fault."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from ghl_snapshots.core.cron import Cron
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.queries import query
from ghl_snapshots.ledger.schema_integrity import drift
from ghl_snapshots.ledger.verification import Verification

_WEEK = timedelta(days=7)
_LEAST_GRACE = timedelta(hours=1)
INTACT = "intact"
GUARDED = "guarded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong, and with whom; no tenant where the ledger's protection as a whole is meant."""

    tenant_id: str | None
    snapshot_type: SnapshotType
    problem: str


def faults(
    database: Database, check: str, crons: Mapping[SnapshotType, Cron], *, now: datetime
) -> list[Fault]:
    """Everything that a check finds wrong in the snapshots of these types, which are due by these schedules.

    Raises:
        LedgerError: the server does not answer.
    """
    if check == GUARDED:
        with database.auditor() as connection:
            differences = list(drift(connection))
        return [
            Fault(tenant_id=None, snapshot_type=kind, problem=problem)
            for kind in crons
            for problem in differences
        ]
    if check == INTACT:
        return list(_broken(database, crons.keys()))
    with database.auditor() as connection:
        rows = connection.execute(query(check), _parameters(crons, now)).fetchall()
    return [
        Fault(
            tenant_id=row["tenant_id"],
            snapshot_type=SnapshotType(row["snapshot_type"]),
            problem=row["problem"],
        )
        for row in rows
    ]


def _broken(database: Database, kinds: AbstractSet[SnapshotType]) -> Iterator[Fault]:
    """What does not hold, in one walk for all types, since it hashes every stored byte."""
    only = next(iter(kinds)) if len(kinds) == 1 else None
    for finding in Verification(database, snapshot_type=only, deep=True):
        if finding.snapshot_type and finding.tenant_id and SnapshotType(finding.snapshot_type) in kinds:
            yield Fault(
                tenant_id=finding.tenant_id,
                snapshot_type=SnapshotType(finding.snapshot_type),
                problem=_without_tenant(finding),
            )


def _without_tenant(finding: object) -> str:
    return str(finding).partition(": ")[2]


def _parameters(crons: Mapping[SnapshotType, Cron], now: datetime) -> Mapping[str, object]:
    ticks = [
        (kind.value, tick)
        for kind, cron in crons.items()
        for tick in takewhile(lambda tick: tick <= now, cron.ticks(now - _WEEK))
    ]
    return {
        "snapshot_types": [kind.value for kind in crons],
        "windows": [staleness_window(cron, now) for cron in crons.values()],
        "tick_types": [kind for kind, _ in ticks],
        "tick_times": [tick for _, tick in ticks],
        "week": _WEEK,
        "now": now,
    }


def staleness_window(cron: Cron, now: datetime) -> timedelta:
    """How old a snapshot may be: the schedule's longest pause and a quarter more, an hour at least."""
    pause = cron.longest_pause(now - _WEEK)
    return pause + max(pause / 4, _LEAST_GRACE)
