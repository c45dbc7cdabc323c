"""How each tenant stands, over captures made by hand."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ghl_snapshots.core.cron import Cron
from ghl_snapshots.core.model import LeftOut, LeftOutReason, SnapshotType, Status
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.status import CaptureStatus, statuses
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots_tests.ledger.captures import capture, failure

CRONS = {
    SnapshotType.WORKFLOWS: Cron(expression="0 * * * *", timezone="UTC"),
    SnapshotType.CALENDARS: Cron(expression="0 2 * * *", timezone="UTC"),
}
# Both tenants are older than every window by then.
NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=40)


def standing(database: Database) -> dict[tuple[str, str], CaptureStatus]:
    found = statuses(database, CRONS, now=LATER)
    return {(one.tenant_id, one.snapshot_type.value): one for one in found}


def test_a_tenants_types_are_told_by_age_status_and_what_is_not_granted(database: Database) -> None:
    ledger = Ledger(database)
    not_granted = LeftOut(
        endpoint="/x", location_id=None, reason=LeftOutReason.NOT_GRANTED, message="grant x"
    )
    good = replace(capture(captured_at=NOW - timedelta(hours=3)), left_out=(not_granted,), correlation_id="a")
    empty = replace(
        capture(captured_at=NOW - timedelta(hours=1)),
        status=Status.FAILED,
        entities=(),
        requests=(),
        errors=(failure(),),
        correlation_id="b",
    )
    ledger.append(good)
    assert not standing(database)["acme", "workflows"].failed
    assert standing(database)["acme", "workflows"].not_granted == 1
    ledger.append(empty)
    found = standing(database)
    assert list(found) == [(who, kind.value) for who in ("acme", "zenith") for kind in CRONS]
    acme = found["acme", "workflows"]
    assert acme.failed
    assert acme.stale, "an hourly type whose good snapshot is older than its window"
    assert (acme.captured_at, acme.good_at) == (empty.captured_at, good.captured_at)
    assert acme.record_count == good.record_count
    assert LATER < acme.next_at <= LATER + timedelta(hours=1)
    never = found["zenith", "calendars"]
    assert (never.status, never.stale, never.record_count) == (None, True, None)


def test_a_disabled_tenant_is_of_no_concern(database: Database) -> None:
    TenantRegistry(database).set_enabled("zenith", enabled=False)
    assert {tenant_id for tenant_id, _ in standing(database)} == {"acme"}
