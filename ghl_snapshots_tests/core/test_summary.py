"""What went wrong is said once, however many calls it cost."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ghl_snapshots.core.model import Snapshot, SnapshotType, Source, Status
from ghl_snapshots.core.summary import cause_key, columns, describe_errors, describe_left_out


def error(endpoint: str, message: str) -> dict[str, Any]:
    return {"endpoint": endpoint, "locationId": "loc1", "message": message}


def snapshot(*errors: dict[str, Any], left_out: tuple[dict[str, Any], ...] = ()) -> Snapshot:
    return Snapshot(
        snapshot_id="s1",
        tenant_id="acme",
        ghl_account_id="loc1",
        snapshot_type=SnapshotType.CALENDARS,
        captured_at=datetime(2026, 3, 3, 2, tzinfo=UTC),
        version="1.1.0",
        status=Status.FAILED,
        record_count=0,
        checksum="",
        metadata={"errors": list(errors), "leftOut": list(left_out)},
        duration_ms=1,
        api_calls=1,
        created_at=datetime(2026, 3, 3, 2, tzinfo=UTC),
        created_by="system",
        source=Source.MANUAL,
        correlation_id="manual_1",
        seq=1,
        chain="",
    )


REFUSED = error("/calendars/", "GHL does not accept the token")
OTHERS = tuple(error(f"/calendars/{name}", REFUSED["message"]) for name in ("groups", "rooms", "equipments"))
LINE = "/calendars/ of location loc1: GHL does not accept the token"


def test_the_other_calls_of_a_cause_are_counted_with_it() -> None:
    told = describe_errors(snapshot(REFUSED, *OTHERS))
    assert told == [f"{LINE} (and 3 more calls for the same reason)"]
    assert describe_errors(snapshot(REFUSED)) == [LINE]


def test_one_cause_is_one_line_whatever_numbers_are_in_it() -> None:
    down = [error(f"/calendars/{n}", f"Connection refused after {n}.0 s") for n in range(3)]
    [line] = describe_errors(snapshot(*down))
    assert line == (
        "/calendars/0 of location loc1: Connection refused after 0.0 s (and 2 more calls for the same reason)"
    )


def test_what_is_cut_off_is_counted_in_causes() -> None:
    told = describe_errors(snapshot(REFUSED, error("/x", "other"), error("/y", "third")), at_most=1)
    assert told == [LINE, "and 2 more causes; `ghl-snapshots show s1` lists all"]


def test_what_is_left_out_is_told_in_the_same_way() -> None:
    locations = tuple(
        {"endpoint": None, "locationId": f"loc{letter}", "reason": "notInstalled", "message": "no app"}
        for letter in "abc"
    )
    assert describe_left_out(snapshot(left_out=locations)) == [
        "left out (notInstalled): all calls of location loca: no app (and 2 more calls for the same reason)"
    ]


def test_the_same_cause_in_another_type_has_the_same_key() -> None:
    [calendars] = describe_errors(snapshot(REFUSED, *OTHERS))
    other = error("/workflows/", "GHL does not accept the token")
    [workflows] = describe_errors(replace(snapshot(other), snapshot_type=SnapshotType.WORKFLOWS))
    assert cause_key(calendars) == cause_key(workflows)
    assert cause_key(calendars) != cause_key("/workflows/ of location loc1: missing scope")


def test_a_table_that_is_wider_than_the_terminal_goes_on_below_and_is_cut_nowhere() -> None:
    rows = [("tenant", "type", "snapshot"), ("acme", "workflows", "01a2258c-591c"), ("northwind", "ai", "x")]
    assert list(columns(rows, width=24)) == [
        "tenant     type",
        "    snapshot",
        "acme       workflows",
        "    01a2258c-591c",
        "northwind  ai",
        "    x",
    ]
    assert list(columns(rows, width=36)) == list(columns(rows))
