"""Captures come out as they went in, once, with the rest of the record around them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, cast

import pytest
from psycopg import Connection

from ghl_snapshots.core.errors import (
    LedgerError,
    SchemaError,
    SnapshotCorruptError,
    SnapshotNotFoundError,
    SnapshotRefusedError,
)
from ghl_snapshots.core.model import Capture, SnapshotType, Status, iso
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots_tests.ledger.captures import BODIES, ENDPOINT, NOON, capture, failure, metadata, request


def test_a_capture_comes_back_as_it_went_in(ledger: Ledger) -> None:
    given = capture()
    appended = ledger.append(given)
    stored = ledger.get(appended.snapshot.snapshot_id)
    assert stored == appended.snapshot
    assert tuple(ledger.bodies(stored)) == BODIES
    assert (stored.tenant_id, stored.ghl_account_id) == ("acme", "account-acme")
    assert stored.checksum == given.checksum
    assert stored.metadata == metadata(given)
    assert stored.captured_at == given.captured_at
    assert (stored.duration_ms, stored.api_calls, stored.created_by) == (250, 1, "system")


def test_the_metadata_says_where_the_entities_came_from(ledger: Ledger) -> None:
    sent = request(0, 2)
    stored = ledger.append(replace(capture(), requests=(sent,))).snapshot
    assert stored.metadata["requests"] == [
        {
            "endpoint": ENDPOINT,
            "locationId": "location-1",
            "parentId": None,
            "items": {"offset": 0, "count": 2},
            "status": 200,
            "apiVersion": "2021-07-28",
            "traceId": sent.trace_id,
            "requestTimestamp": "2026-03-03T12:00:00.000000Z",
            "durationMs": 40,
            "attempts": 1,
        }
    ]
    assert stored.metadata["requestTimestamp"] == "2026-03-03T12:00:00.000000Z"


def test_an_unchanged_capture_adds_no_entity(ledger: Ledger) -> None:
    first, second = ledger.append(capture()), ledger.append(capture())
    assert (first.new_entities, first.new_bytes) == (2, sum(map(len, BODIES)))
    assert (second.new_entities, second.new_bytes) == (0, 0)
    assert second.snapshot.checksum == first.snapshot.checksum
    assert (first.snapshot.seq, second.snapshot.seq) == (1, 2)


def test_appending_for_the_same_trigger_again_returns_what_is_there(ledger: Ledger) -> None:
    first = ledger.append(capture(correlation_id="tick-1"))
    again = ledger.append(capture(bodies=[b"{}"], correlation_id="tick-1"))
    assert again.already_stored
    assert again.snapshot == first.snapshot


def test_one_trigger_may_lead_to_a_snapshot_of_each_tenant_and_type(ledger: Ledger) -> None:
    for tenant_id in ("zenith", "acme"):
        for snapshot_type in (SnapshotType.WORKFLOWS, SnapshotType.PIPELINES):
            ledger.append(capture(tenant_id, snapshot_type=snapshot_type, correlation_id="tick-1"))
    ledger.append(capture(correlation_id="tick-2"))
    assert [(found.tenant_id, found.snapshot_type) for found in ledger.of_trigger("tick-1")] == [
        ("acme", "pipelines"),
        ("acme", "workflows"),
        ("zenith", "pipelines"),
        ("zenith", "workflows"),
    ]


def test_an_entity_that_stands_in_a_payload_twice_is_stored_once_and_comes_back_twice(ledger: Ledger) -> None:
    bodies = [b'{"same":1}', b'{"other":1}', b'{"same":1}']
    appended = ledger.append(capture(bodies=bodies))
    assert list(ledger.bodies(appended.snapshot)) == bodies
    assert appended.new_entities == 2


def test_an_empty_payload_is_a_snapshot_like_another(ledger: Ledger) -> None:
    stored = ledger.append(capture(bodies=[])).snapshot
    assert stored.record_count == 0
    assert list(ledger.bodies(stored)) == []
    ledger.verify_snapshot(stored)


def test_a_failed_capture_is_stored_with_its_errors(ledger: Ledger) -> None:
    given = capture(bodies=[], status=Status.FAILED)
    stored = ledger.append(given).snapshot
    assert stored.status is Status.FAILED
    assert stored.metadata["errors"] == [failure().as_json()]
    assert stored.metadata["hasMore"]


def test_the_latest_snapshot_is_the_newest_by_capture_that_holds_something(ledger: Ledger) -> None:
    newest = ledger.append(capture(captured_at=NOON)).snapshot
    ledger.append(capture(captured_at=NOON - timedelta(hours=1)))
    ledger.append(capture(bodies=[], captured_at=NOON + timedelta(hours=1), status=Status.FAILED))
    assert ledger.latest("acme", SnapshotType.WORKFLOWS) == newest
    assert ledger.latest("acme", SnapshotType.PIPELINES) is None
    assert ledger.latest("zenith", SnapshotType.WORKFLOWS) is None


def test_as_of_a_moment_includes_that_moment_and_nothing_later(ledger: Ledger) -> None:
    early = ledger.append(capture(captured_at=NOON)).snapshot
    late = ledger.append(capture(captured_at=NOON + timedelta(hours=1))).snapshot
    just_before = late.captured_at - timedelta(microseconds=1)
    assert ledger.latest("acme", SnapshotType.WORKFLOWS, as_of=late.captured_at) == late
    assert ledger.latest("acme", SnapshotType.WORKFLOWS, as_of=just_before) == early
    assert ledger.latest("acme", SnapshotType.WORKFLOWS, as_of=NOON - timedelta(microseconds=1)) is None


def test_a_snapshot_of_another_tenant_is_not_found(ledger: Ledger) -> None:
    stored = ledger.append(capture("acme")).snapshot
    assert ledger.get(stored.snapshot_id, tenant_id="acme") == stored
    with pytest.raises(SnapshotNotFoundError, match=stored.snapshot_id):
        ledger.get(stored.snapshot_id, tenant_id="zenith")
    with pytest.raises(SnapshotNotFoundError, match="no such thing"):
        ledger.get("no such thing")


def test_a_snapshot_of_a_major_version_of_the_future_is_refused_to_be_read(
    ledger: Ledger, superuser: Connection
) -> None:
    stored = ledger.append(capture()).snapshot
    superuser.execute("ALTER TABLE snapshot DISABLE TRIGGER append_only")
    superuser.execute("ALTER TABLE snapshot DROP CONSTRAINT snapshot_version_check")
    superuser.execute("UPDATE snapshot SET version = '2.0.0'")
    with pytest.raises(LedgerError, match=r"version 2\.0\.0; this release reads 1\.x"):
        ledger.get(stored.snapshot_id)


def test_a_moment_in_another_time_zone_is_the_same_moment(ledger: Ledger) -> None:
    local = NOON.astimezone(timezone(timedelta(hours=-7)))
    stored = ledger.append(capture(captured_at=local)).snapshot
    assert stored == ledger.get(stored.snapshot_id)
    assert (stored.captured_at, stored.captured_at.utcoffset()) == (NOON, timedelta(0))


def test_a_captures_audit_event_is_stored_with_it(ledger: Ledger, superuser: Connection) -> None:
    stored = ledger.append(capture(correlation_id="tick-1")).snapshot
    row: Any = superuser.execute(
        "SELECT event_type, tenant_id, ghl_account_id, correlation_id, success, source, details "
        "FROM ghl_snapshot_audit_event WHERE event_type = 'ghl_snapshot_capture'"
    ).fetchone()
    assert row[:6] == ("ghl_snapshot_capture", "acme", "account-acme", "tick-1", True, "scheduled")
    assert row[6] == {
        "snapshotId": stored.snapshot_id,
        "snapshotType": "workflows",
        "status": "success",
        "recordCount": 2,
        "durationMs": 250,
    }


REFUSED = {
    "an empty correlation id": (replace(capture(), correlation_id=""), "correlation id is empty"),
    "a correlation id with a NUL": (capture(correlation_id="a\0b"), "control character"),
    "a correlation id without end": (capture(correlation_id="x" * 201), "longer than 200"),
    "a moment without a time zone": (
        replace(capture(), captured_at=NOON.replace(tzinfo=None)),
        "no time zone",
    ),
    "a moment that has not come": (
        capture(captured_at=datetime.now(UTC) + timedelta(days=400)),
        "the clock of the machine that captured it is wrong",
    ),
    "an unknown type": (
        replace(capture(), snapshot_type=cast(SnapshotType, "contacts")),
        "'contacts' is none of locations",
    ),
    "a failure that holds entities": (capture(status=Status.FAILED), "failed and yet holds 2 entities"),
    "a success with errors": (replace(capture(), errors=(failure(),)), "success with 1 errors"),
    "a partial failure without errors": (
        replace(capture(), status=Status.PARTIAL_FAILURE),
        "partial_failure with 0 errors",
    ),
    "fewer entities than the requests brought": (
        replace(capture(), entities=capture().entities[:1]),
        "account for 2 entities and it holds 1",
    ),
    "a gap between the requests": (
        replace(capture(), requests=(request(1, 1), request(0, 0))),
        "entity 1 where entity 0 is next",
    ),
    "a negative duration": (replace(capture(), duration_ms=-1), "negative"),
    "a duration beyond the column": (replace(capture(), duration_ms=2**31), "out of range"),
    "an unregistered tenant": (capture("nobody"), "registry holds no such tenant"),
    "another tenant's account": (
        replace(capture(), ghl_account_id="account-zenith"),
        "account account-zenith is not the tenant's, which is account-acme",
    ),
}


@pytest.mark.parametrize(("broken", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_capture_that_breaks_the_contract_leaves_nothing_but_an_audit_event(
    ledger: Ledger, superuser: Connection, broken: Capture, reason: str
) -> None:
    with pytest.raises(SnapshotRefusedError, match=reason):
        ledger.append(broken)
    for table in ("snapshot", "entity", "manifest", "provenance"):
        row: Any = superuser.execute(f"SELECT count(*) FROM {table}").fetchone()
        assert row[0] == 0
    event: Any = superuser.execute(
        "SELECT success, details ->> 'problem' FROM audit_event WHERE event_type = 'ghl_snapshot_refused'"
    ).fetchone()
    assert event[0] is False
    assert reason in event[1]


def test_a_newer_schema_is_reported_and_not_taken_for_a_broken_capture(
    ledger: Ledger, superuser: Connection
) -> None:
    """A process that was at work when the database was migrated meets a constraint that it does not know."""
    superuser.execute("ALTER TABLE snapshot ADD COLUMN needed text CHECK (needed IS NOT NULL)")
    superuser.execute("INSERT INTO schema_version VALUES (99, sha256(''))")
    with pytest.raises(SchemaError, match="newer than this release's"):
        ledger.append(capture())
    assert refusals(superuser) == 0


def test_a_schema_that_lacks_what_is_written_to_is_reported_and_not_taken_for_a_broken_capture(
    ledger: Ledger, superuser: Connection
) -> None:
    superuser.execute("ALTER TABLE provenance RENAME TO elsewhere")
    with pytest.raises(LedgerError, match=r'release stores: .*"ghl.provenance" does not exist') as failed:
        ledger.append(capture())
    assert not isinstance(failed.value, SnapshotRefusedError)
    superuser.execute("INSERT INTO schema_version VALUES (99, sha256(''))")
    with pytest.raises(SchemaError, match="newer than this release's"):
        ledger.append(capture())
    assert refusals(superuser) == 0


def refusals(connection: Connection) -> int:
    row: Any = connection.execute(
        "SELECT count(*) FROM audit_event WHERE event_type = 'ghl_snapshot_refused'"
    ).fetchone()
    return int(row[0])


def test_requests_may_be_recorded_in_any_order(ledger: Ledger) -> None:
    given = replace(capture(), requests=(request(1, 1), request(0, 1, endpoint="/other"), request(2, 0)))
    stored = ledger.append(given).snapshot
    assert ledger.get(stored.snapshot_id).metadata == metadata(given)


@pytest.mark.parametrize(
    "trace_id", [None, "", "not a uuid", "C667B18D-8F5E-44A5-A914-6DCB5D4C4B3F", "urn:uuid:1", "x\0y"]
)
def test_a_trace_id_that_is_no_uuid_is_stored_as_it_is(ledger: Ledger, trace_id: str | None) -> None:
    given = replace(capture(), requests=(replace(request(0, 2), trace_id=trace_id),))
    stored = ledger.append(given).snapshot
    assert ledger.get(stored.snapshot_id).metadata == metadata(given)


def test_a_request_sent_before_the_capture_began_keeps_its_moment(ledger: Ledger) -> None:
    sent_at = NOON - timedelta(days=40000, microseconds=1)
    given = replace(capture(), requests=(request(0, 2, sent_at=sent_at),))
    stored = ledger.append(given).snapshot
    assert stored.metadata["requests"][0]["requestTimestamp"] == iso(sent_at)
    assert ledger.get(stored.snapshot_id).metadata == metadata(given)


def test_captures_that_went_alike_share_their_provenance(ledger: Ledger, superuser: Connection) -> None:
    for hour in range(3):
        ledger.append(capture(captured_at=NOON + timedelta(hours=hour)))
    row: Any = superuser.execute("SELECT count(*) FROM provenance").fetchone()
    assert row[0] == 1


def test_a_payload_that_no_longer_matches_its_checksum_is_corrupt(
    ledger: Ledger, superuser: Connection
) -> None:
    stored = ledger.append(capture()).snapshot
    ledger.verify_snapshot(stored)
    superuser.execute("ALTER TABLE entity DISABLE TRIGGER append_only, DROP CONSTRAINT entity_check")
    superuser.execute("UPDATE entity SET body = '{}' WHERE entity_id = 'a'")
    with pytest.raises(SnapshotCorruptError, match=f"{stored.snapshot_id} of tenant acme is corrupt"):
        ledger.verify_snapshot(stored)


def test_reading_half_a_payload_gives_its_connection_back(ledger: Ledger) -> None:
    stored = ledger.append(capture(bodies=[b"%d" % number for number in range(500)])).snapshot
    for _ in range(30):  # more than there are connections
        bodies = ledger.bodies(stored)
        assert next(bodies) == b"0"
        bodies.close()


def test_snapshot_ids_are_in_the_order_of_their_making(ledger: Ledger) -> None:
    ids = [ledger.append(capture()).snapshot.snapshot_id for _ in range(5)]
    assert ids == sorted(ids)
    assert datetime.now(UTC) - ledger.get(ids[0]).created_at < timedelta(minutes=1)


def test_the_types_of_the_model_are_those_of_the_database(superuser: Connection) -> None:
    rows = superuser.execute("SELECT snapshot_type FROM snapshot_type ORDER BY place").fetchall()
    assert [name for (name,) in rows] == list(SnapshotType)
