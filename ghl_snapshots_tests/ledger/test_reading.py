"""The questions that people ask of the ledger, in Python and in SQL."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

import pytest
from psycopg import Connection

from ghl_snapshots.core.audit_events import AuditEvent
from ghl_snapshots.core.model import Snapshot, SnapshotType, Source
from ghl_snapshots.ledger.audit import AuditTrail
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots_tests.ledger.captures import NOON, capture, metadata

HOUR = timedelta(hours=1)


def hourly(ledger: Ledger, *payloads: list[bytes], tenant_id: str = "acme") -> list[Snapshot]:
    return [
        ledger.append(capture(tenant_id, payload, captured_at=NOON + hour * HOUR)).snapshot
        for hour, payload in enumerate(payloads)
    ]


def test_an_entitys_history_has_each_content_with_its_first_and_last_snapshot(ledger: Ledger) -> None:
    old, new, other = b'{"v":1}', b'{"v":2}', b'{"other":1}'
    taken = hourly(ledger, [old, other], [old], [new, other], [new])
    hourly(ledger, [new], tenant_id="zenith")
    versions = ledger.entity_history("acme", "/workflows/", "e0")
    assert [(version.body, version.snapshots) for version in versions] == [(old, 2), (new, 2)]
    assert [version.first_snapshot_id for version in versions] == [taken[0].snapshot_id, taken[2].snapshot_id]
    assert [version.last_snapshot_id for version in versions] == [taken[1].snapshot_id, taken[3].snapshot_id]
    assert versions[1].last_captured_at == NOON + 3 * HOUR
    assert (versions[0].endpoint, versions[0].location_id) == ("/workflows/", "location-1")


def test_a_content_that_came_back_spans_all_its_sightings(ledger: Ledger) -> None:
    taken = hourly(ledger, [b"1"], [b"2"], [b"1"])
    versions = ledger.entity_history("acme", "/workflows/", "e0")
    assert [(version.body, version.snapshots) for version in versions] == [(b"1", 2), (b"2", 1)]
    assert versions[0].last_snapshot_id == taken[2].snapshot_id


def test_an_unknown_entity_and_a_foreign_one_have_no_history(ledger: Ledger) -> None:
    hourly(ledger, [b"1"])
    assert ledger.entity_history("acme", "/workflows/", "nothing") == []
    assert ledger.entity_history("zenith", "/workflows/", "e0") == []
    assert ledger.entity_history("acme", "/calendars/", "e0") == []


def test_a_tenants_snapshots_come_newest_first_within_a_span(ledger: Ledger) -> None:
    taken = hourly(ledger, [b"1"], [b"2"], [b"3"])
    pipelines = ledger.append(capture(snapshot_type=SnapshotType.PIPELINES)).snapshot
    hourly(ledger, [b"1"], tenant_id="zenith")
    workflows = SnapshotType.WORKFLOWS
    assert ledger.of_tenant("acme", workflows) == taken[::-1]
    assert ledger.of_tenant("acme", workflows, limit=1) == [taken[2]]
    assert ledger.of_tenant("acme", since=NOON + HOUR) == [taken[2], taken[1]]
    assert ledger.of_tenant("acme", workflows, until=NOON + HOUR) == [taken[0]]
    assert {snapshot.snapshot_id for snapshot in ledger.of_tenant("acme", until=NOON + HOUR)} == {
        taken[0].snapshot_id,
        pipelines.snapshot_id,
    }
    assert ledger.of_tenant("nobody") == []


def test_an_accounts_snapshots_are_found_by_the_account(ledger: Ledger) -> None:
    taken = hourly(ledger, [b"1"], [b"2"])
    hourly(ledger, [b"1"], tenant_id="zenith")
    assert ledger.of_account("account-acme") == taken[::-1]
    assert ledger.of_account("account-nobody") == []


def test_the_view_has_the_columns_of_the_contract(superuser: Connection) -> None:
    columns = superuser.execute(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'ghl_snapshot' "
        "ORDER BY ordinal_position"
    ).fetchall()
    assert columns == [
        ("snapshot_id", "text"),
        ("tenant_id", "text"),
        ("ghl_account_id", "text"),
        ("snapshot_type", "text"),
        ("captured_at", "timestamp with time zone"),
        ("version", "text"),
        ("status", "text"),
        ("record_count", "integer"),
        ("checksum", "text"),
        ("payload", "jsonb"),
        ("created_at", "timestamp with time zone"),
        ("created_by", "text"),
        ("source", "text"),
        ("correlation_id", "text"),
    ]


def test_the_views_payload_is_the_data_in_order_and_the_metadata(
    ledger: Ledger, superuser: Connection
) -> None:
    given = capture(bodies=[b'{"z":1}', b"[2]", b'{"a":3}'])
    stored = ledger.append(given).snapshot
    row: Any = superuser.execute("SELECT payload, checksum FROM ghl_snapshot").fetchone()
    assert row[0] == {"data": [{"z": 1}, [2], {"a": 3}], "metadata": metadata(given)}
    assert row[1] == stored.checksum


def test_the_raw_view_says_of_each_entity_where_it_came_from(ledger: Ledger, superuser: Connection) -> None:
    given = capture(bodies=[b"1", b"2"])
    first = replace(given.requests[0], count=1)
    second = replace(first, offset=1, parent_id="folder-1")
    stored = ledger.append(replace(given, requests=(first, second))).snapshot
    rows = superuser.execute(
        "SELECT snapshot_id, position, endpoint, location_id, parent_id, entity_id, body, "
        "digest = encode(sha256(body), 'hex') "
        "FROM ghl_snapshot_raw ORDER BY position"
    ).fetchall()
    assert rows == [
        (stored.snapshot_id, 0, "/workflows/", "location-1", None, "e0", b"1", True),
        (stored.snapshot_id, 1, "/workflows/", "location-1", "folder-1", "e1", b"2", True),
    ]


def event(**changed: Any) -> AuditEvent:
    given = {
        "event_type": "ghl_snapshot_full_run",
        "correlation_id": "tick",
        "success": True,
        "source": Source.SCHEDULED,
        "tenant_id": "acme",
        "ghl_account_id": "account-acme",
        "details": {"totalSnapshots": 5},
    }
    return AuditEvent(**{**given, **changed})


@pytest.fixture
def trail(database: Database) -> AuditTrail:
    return AuditTrail(database)


def undated(events: Sequence[AuditEvent]) -> list[AuditEvent]:
    """The events without their moment, which is the server's."""
    return [replace(one, occurred_at=None) for one in events]


def test_an_audit_event_comes_back_as_it_was_recorded(trail: AuditTrail) -> None:
    trail.record(event())
    assert undated(trail.events(event_type="ghl_snapshot_full_run")) == [event()]


def test_audit_events_are_found_by_each_of_their_properties(trail: AuditTrail, database: Database) -> None:
    late = event(correlation_id="next")
    foreign = event(tenant_id="zenith", correlation_id="other")
    system = event(tenant_id=None, ghl_account_id=None, event_type="ghl_snapshot_tick")
    for one in (foreign, system, event()):
        trail.record(one)
    moment = database.now()
    trail.record(late)
    runs = "ghl_snapshot_full_run"
    assert undated(trail.events(event_type=runs, tenant_id="acme")) == [late, event()]
    assert undated(trail.events(correlation_id="other")) == [foreign]
    assert undated(trail.events(event_type="ghl_snapshot_tick")) == [system]
    assert undated(trail.events(tenant_id="acme", event_type=runs, until=moment)) == [event()]
    assert undated(trail.events(event_type=runs, since=moment, until=moment + HOUR)) == [late]
    assert undated(trail.events(event_type=runs, limit=1)) == [late]


def test_how_a_tenants_run_went_is_recorded_once_for_each_trigger(trail: AuditTrail) -> None:
    assert trail.record(event())
    assert not trail.record(event(success=False))
    assert trail.record(event(tenant_id="zenith"))
    assert trail.record(event(tenant_id=None))
    assert not trail.record(event(tenant_id=None))
    assert undated(trail.events(event_type="ghl_snapshot_full_run", tenant_id="acme")) == [event()]
    assert trail.record(event(correlation_id="next"))


def test_other_events_are_recorded_as_often_as_they_come(trail: AuditTrail) -> None:
    read = event(event_type="ghl_snapshot_read")
    assert [trail.record(read), trail.record(read)] == [True, True]
    assert undated(trail.events(event_type="ghl_snapshot_read")) == [read, read]


def test_no_session_keeps_another_tenants_event_from_being_recorded(
    trail: AuditTrail, as_role: Callable[..., Connection]
) -> None:
    """Not by the id that an event of that name once had, nor by its correlation id."""
    acme = as_role("writer", "acme")
    for id_ in (uuid5(NAMESPACE_URL, "ghl_snapshot_full_run\ntick\nzenith"), uuid4()):
        acme.execute(
            "INSERT INTO audit_event (event_id, event_type, tenant_id, correlation_id, success, source, "
            "details) VALUES (%s, %s, 'acme', 'tick', true, 'api', '{}')",
            [id_, "ghl_snapshot_full_run" if id_.version == 4 else "forged"],
        )
    zeniths = event(tenant_id="zenith", success=False)
    assert trail.record(zeniths)
    assert undated(trail.events(event_type="ghl_snapshot_full_run", tenant_id="zenith")) == [zeniths]


def test_an_events_moment_is_that_of_its_recording(trail: AuditTrail) -> None:
    trail.record(event(occurred_at=NOON, event_type="now"))
    [recorded] = trail.events(event_type="now")
    assert recorded.occurred_at is not None
    assert datetime.now(UTC) - recorded.occurred_at < timedelta(minutes=1)


def test_details_that_jsonb_cannot_hold_are_recorded_as_close_as_it_can(trail: AuditTrail) -> None:
    trail.record(event(event_type="odd", details={"said": "a\0b\ud800"}))
    [recorded] = trail.events(event_type="odd")
    assert recorded.details == {"said": "a\ufffdb\ufffd"}
