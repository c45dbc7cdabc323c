"""The asset checks: each covers all tenants, in runs of its own, and never one batch only.

Dagster plans an asset's checks with every materialization that a person asks for, and where the run does not
execute them it shows "Skipped" or "Execution failed" instead of the last result. So the checks do not
belong to the five assets that runs materialize but to five external assets, one downstream of each, which
stand for what the ledger holds. No run materializes these, so a result stays visible until the check's
own job replaces it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import dagster as dg

from ghl_snapshots.core.audit_events import AuditEvent, EventType
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.core.settings import load_settings
from ghl_snapshots.core.summary import counted
from ghl_snapshots.ledger.audit import AuditTrail
from ghl_snapshots.ledger.checks import GUARDED, INTACT, Fault, faults
from ghl_snapshots.orchestration.resources import DatabaseResource
from ghl_snapshots.orchestration.schedules import crons
from ghl_snapshots.orchestration.trigger import Trigger, trigger_of

_MAX_ROWS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A question asked of each snapshot type; `daily` ones cost little enough to be asked every day."""

    name: str
    severity: dg.AssetCheckSeverity
    daily: bool
    description: str
    types: Sequence[SnapshotType] = tuple(SnapshotType)
    """Whose assets have it; what is asked of the ledger as a whole is asked once, on the first one's."""


CHECKS = (
    Check(
        name="captured_recently",
        severity=dg.AssetCheckSeverity.ERROR,
        daily=True,
        description="Every enabled tenant was captured within the window of its schedule: the longest time "
        "from one tick to the next and a quarter more, at least an hour (2 hours for an hourly schedule, 30 "
        "for a daily one). **Failed:** these tenants' snapshots are stale. Look at their latest failed runs "
        "and at the schedules; then materialize the named partitions.",
    ),
    Check(
        name="latest_complete",
        severity=dg.AssetCheckSeverity.WARN,
        daily=True,
        description="The latest capture of every enabled tenant is a success. **Failed:** something is "
        "missing in them; do what the first cause says, such as granting a scope. `ghl-snapshots show` on "
        "the named snapshot lists all causes.",
    ),
    Check(
        name="nothing_left_out",
        severity=dg.AssetCheckSeverity.WARN,
        daily=True,
        description="The latest capture of every enabled tenant has everything of each location, and nothing "
        "twice. **Failed:** the capture is complete as far as GHL lets it be, and this is what it is "
        "without: a call whose scope the credential lacks (grant the one that is named) or that GHL refuses "
        "for another reason, a feature that the customer's plan lacks, a location without the app (install "
        "it there) or suspended in GHL, a call that GHL has not (absent, of single entities only if it is so "
        "for all of them); or what GHL listed more than once, or other locations than the agency counts. "
        "Nothing failed.",
    ),
    Check(
        name="no_location_lost",
        types=(SnapshotType.LOCATIONS,),
        severity=dg.AssetCheckSeverity.WARN,
        daily=True,
        description="Every location of an agency that was captured in the last seven days still is. "
        "**Failed:** the app was uninstalled from it, or it was suspended or removed in GHL; its earlier "
        "snapshots stay. Ask the customer whether that was meant.",
    ),
    Check(
        name="no_collapse",
        severity=dg.AssetCheckSeverity.WARN,
        daily=True,
        description="No tenant has less than a fifth of the records that were usual in the last 30 days, in "
        "all or of one GHL call. "
        "**Failed:** ask the customer whether that was meant; the earlier snapshots still hold "
        "what was there.",
    ),
    Check(
        name="none_from_the_future",
        severity=dg.AssetCheckSeverity.ERROR,
        daily=True,
        description="No snapshot claims to be captured later than it is by the database server's clock. "
        "**Failed:** that clock was wrong when they were stored, or is now; until their moment comes they "
        "are taken for the latest.",
    ),
    Check(
        name="not_always_changing",
        severity=dg.AssetCheckSeverity.WARN,
        daily=True,
        description="No entity had a new content in each of the last five captures. **Failed:** GHL sends "
        "something in it that changes by itself, such as a trace id, so that its history shows changes that "
        "nobody made. Nothing is filtered; leave that field out when you compare.",
    ),
    Check(
        name="counts_match",
        severity=dg.AssetCheckSeverity.ERROR,
        daily=False,
        description="Every snapshot's record count is the number of entities in its payload. **Failed:** the "
        "database was altered past its triggers; run `ghl-snapshots verify` and compare with a "
        "backup.",
    ),
    Check(
        name=INTACT,
        severity=dg.AssetCheckSeverity.ERROR,
        daily=False,
        description="Every stored checksum is recomputed from the bytes, and every tenant's chain holds. "
        "**Failed:** what is named is not what was captured; keep the database as it is and compare "
        "with a backup.",
    ),
    Check(
        name="locations_belong",
        severity=dg.AssetCheckSeverity.ERROR,
        daily=False,
        description="Every captured entity lies in a location that the same capture listed, or in the "
        "tenant's own. **Failed:** the credential reads another account's data; disable the tenant and "
        "correct its account or credential. What is named stays in the ledger: see whose it is before you "
        "use it.",
    ),
    Check(
        name="no_silent_drift",
        severity=dg.AssetCheckSeverity.WARN,
        daily=False,
        description="What the weekly capture saw equals what was last stored before it, or a newer snapshot"
        " explains the difference. **Failed:** something changed and changed back, or a capture "
        "erred; compare the two named snapshots.",
    ),
    Check(
        name="schedules_kept",
        severity=dg.AssetCheckSeverity.WARN,
        daily=False,
        description="At least nine in ten of the scheduled captures of the last seven days took place. "
        "**Failed:** the daemon was down or behind; look at the schedules' ticks and at the run "
        "queue.",
    ),
    Check(
        name=GUARDED,
        types=tuple(SnapshotType)[:1],
        severity=dg.AssetCheckSeverity.ERROR,
        daily=False,
        description="The triggers, rights and row security that keep the ledger append-only are in place. "
        "**Failed:** somebody with the owner's rights took them away; find out who, put them back as the "
        "release's schema.sql has them, and see by `ghl-snapshots verify --deep` what was changed since.",
    ),
)


def ledger_key(snapshot_type: SnapshotType) -> dg.AssetKey:
    """The external asset that stands for all snapshots of a type in the ledger, and has the type's checks."""
    return dg.AssetKey(["ledger", snapshot_type.value])


def ledger_asset(snapshot_type: SnapshotType, *, owner: str) -> dg.AssetSpec:
    """That external asset, downstream of the asset whose runs store the snapshots."""
    return dg.AssetSpec(
        ledger_key(snapshot_type),
        deps=[snapshot_type.value],
        group_name="ghl_snapshots",
        kinds={"postgres"},
        owners=[owner],
        description=f"All snapshots of `{snapshot_type}` in the ledger. Nothing materializes it: its checks "
        "cover all tenants, and the jobs `daily_checks` and `weekly_checks` run them.",
        metadata={"dagster/table_name": "ghl.ghl_snapshot"},
    )


@dg.multi_asset_check(
    name="validation",
    can_subset=True,
    specs=[
        dg.AssetCheckSpec(check.name, asset=ledger_key(kind), description=check.description)
        for check in CHECKS
        for kind in check.types
    ],
)
def validation(
    context: dg.AssetCheckExecutionContext, database: DatabaseResource
) -> Iterator[dg.AssetCheckResult]:
    """Ask each selected check once, of all the types that it is selected for."""
    now, due = database.database.now(), crons(load_settings())
    trigger = trigger_of(context.run, context.instance.get_run_by_id)
    for check in CHECKS:
        selected = [key for key in context.selected_asset_check_keys if key.name == check.name]
        kinds = sorted(SnapshotType(key.asset_key.path[-1]) for key in selected)
        asked = {kind: due[kind] for kind in kinds}
        found = faults(database.database, check.name, asked, now=now) if asked else []
        if check.name == INTACT and len(asked) == len(SnapshotType):
            AuditTrail(database.database).record(_verification(found, trigger))
        for kind in kinds:
            yield _result(check, kind, [fault for fault in found if fault.snapshot_type is kind])


def _verification(found: Sequence[Fault], trigger: Trigger) -> AuditEvent:
    """That every snapshot of the ledger was verified from its bytes, and whether all were intact."""
    return AuditEvent(
        event_type=EventType.VERIFICATION,
        correlation_id=trigger.correlation_id,
        success=not found,
        source=trigger.source,
        details={"deep": True, "problems": len(found)},
    )


def _result(check: Check, kind: SnapshotType, found: Sequence[Fault]) -> dg.AssetCheckResult:
    tenants = sorted({fault.tenant_id for fault in found if fault.tenant_id})
    rows = [
        dg.TableRecord({"tenant": fault.tenant_id or "all", "problem": fault.problem})
        for fault in found[:_MAX_ROWS]
    ]
    return dg.AssetCheckResult(
        check_name=check.name,
        asset_key=ledger_key(kind),
        passed=not found,
        severity=check.severity,
        description=_describe(len(found), len(tenants)) if found else None,
        metadata={
            "faults": len(found),
            "tenants": len(tenants),
            **({"offenders": dg.MetadataValue.table(rows)} if rows else {}),
        },
    )


def _describe(faults_: int, tenants: int) -> str:
    """What is found wrong, in a line; faults that are no tenant's are the whole ledger's."""
    first = f"; the first {_MAX_ROWS} are listed" if faults_ > _MAX_ROWS else ""
    return f"{counted(faults_, 'fault')} of {counted(tenants, 'tenant') if tenants else 'the ledger'}{first}"
