"""The checks that judge what captures say of an account, over captures made by hand."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from ghl_snapshots.core.cron import Cron
from ghl_snapshots.core.errors import ErrorKind
from ghl_snapshots.core.model import (
    AccountKind,
    Capture,
    Duplicate,
    LeftOut,
    LeftOutReason,
    SnapshotType,
    Status,
)
from ghl_snapshots.ledger.checks import faults
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots_tests.ledger.captures import NOON, capture, failure, request, tenant

LISTED = ("location-1", "location-2", "location-3")
WORDS = "GHL answered 401: “Unauthorized”"


@pytest.fixture
def agency(database: Database) -> None:
    """The tenant acme is an agency."""
    TenantRegistry(database).update(replace(tenant("acme"), account_kind=AccountKind.COMPANY))


def found(
    database: Database, check: str, snapshot_type: SnapshotType = SnapshotType.WORKFLOWS
) -> Sequence[tuple[str | None, str]]:
    """The tenants that a check names for a type, and what is wrong with them."""
    cron = Cron(expression="0 2 * * *", timezone="UTC")
    return [
        (fault.tenant_id, fault.problem)
        for fault in faults(database, check, {snapshot_type: cron}, now=datetime.now(UTC))
    ]


def agency_capture(
    *left_out: LeftOut,
    location_ids: Sequence[str] = LISTED,
    days_ago: float = 0.0,
    snapshot_type: SnapshotType = SnapshotType.WORKFLOWS,
    **changes: Any,
) -> Capture:
    """A capture of an agency with what it listed and left out; its entities are those of location-1."""
    made = capture(captured_at=datetime.now(UTC) - timedelta(days=days_ago), snapshot_type=snapshot_type)
    return replace(made, location_ids=tuple(location_ids), left_out=left_out, **changes)


def without(location_id: str, reason: LeftOutReason) -> LeftOut:
    return LeftOut(endpoint=None, location_id=location_id, reason=reason, message=WORDS)


def test_that_one_entity_has_nothing_of_a_kind_is_not_reported(database: Database, ledger: Ledger) -> None:
    absent = LeftOut(
        endpoint="/calendars/schedules/event-calendar/{calendarId}",
        location_id="location-1",
        parent_id="calendar-1",
        reason=LeftOutReason.ABSENT,
        message="no schedule",
    )
    ledger.append(replace(capture(), left_out=(absent,)))
    assert found(database, "nothing_left_out") == []
    path, answered = absent.endpoint or "", request(0, 2)
    both = (absent, replace(absent, parent_id="calendar-2"))
    third = replace(answered, endpoint=path, parent_id="calendar-3", count=0)
    ledger.append(replace(capture(), left_out=both, requests=(answered, third)))
    assert found(database, "nothing_left_out") == []
    ledger.append(replace(capture(), left_out=both))
    [(_, problem)] = found(database, "nothing_left_out")
    assert problem == f"absent: {path} of each of 2 (no schedule)", "not one of them has any"
    ledger.append(replace(capture(), left_out=(replace(absent, endpoint="/rooms", parent_id=None),)))
    assert found(database, "nothing_left_out") == [("acme", "absent: /rooms of location-1 (no schedule)")]


@pytest.mark.usefixtures("agency")
def test_what_a_capture_is_complete_without_is_reported_with_ghls_words(
    database: Database, ledger: Ledger
) -> None:
    assert found(database, "nothing_left_out") == []
    ledger.append(agency_capture())
    assert found(database, "nothing_left_out") == []
    ledger.append(
        agency_capture(
            without("location-2", LeftOutReason.NOT_INSTALLED),
            without("location-3", LeftOutReason.NOT_INSTALLED),
            LeftOut(
                endpoint="/calendars/groups",
                location_id="location-1",
                reason=LeftOutReason.NOT_IN_PLAN,
                message="the plan lacks it",
            ),
            duplicates=(Duplicate(endpoint="/workflows/", location_id="location-1", entity_id="a"),),
        )
    )
    [(tenant_id, problem)] = found(database, "nothing_left_out")
    assert tenant_id == "acme"
    assert problem.split("; ") == [
        "listed more than once: 1 of /workflows/, such as a",
        "notInPlan: /calendars/groups of location-1 (the plan lacks it)",
        f"notInstalled: all calls of 2 locations ({WORDS})",
    ]
    ledger.append(agency_capture())
    assert found(database, "nothing_left_out") == []


@pytest.mark.usefixtures("agency")
def test_a_list_of_other_locations_than_the_agency_counts_is_reported(
    database: Database, ledger: Ledger
) -> None:
    for counted in (3, 4):
        body = b'{"id":"account-acme","locationCount":%d}' % counted
        made = capture(bodies=[body], snapshot_type=SnapshotType.LOCATIONS)
        entities = tuple(replace(one, endpoint="/companies/{companyId}") for one in made.entities)
        requests = (replace(request(0, 1, endpoint="/companies/{companyId}"), location_id=None),)
        ledger.append(replace(made, entities=entities, requests=requests, location_ids=LISTED))
        problems = found(database, "nothing_left_out", SnapshotType.LOCATIONS)
        expected = [("acme", "GHL lists 3 locations, and the agency counts 4")] if counted == 4 else []
        assert problems == expected


@pytest.mark.usefixtures("agency")
@pytest.mark.parametrize(
    ("now", "problem"),
    [
        (agency_capture(location_ids=LISTED[:2]), "GHL does not list it any more"),
        (agency_capture(without("location-3", LeftOutReason.NOT_INSTALLED)), f"notInstalled ({WORDS})"),
        (agency_capture(without("location-3", LeftOutReason.SUSPENDED)), f"suspended ({WORDS})"),
    ],
)
def test_a_location_that_was_captured_and_is_not_any_more_is_reported(
    database: Database, ledger: Ledger, now: Capture, problem: str
) -> None:
    ledger.append(agency_capture(days_ago=3))
    ledger.append(agency_capture(days_ago=2))
    assert found(database, "no_location_lost") == []
    ledger.append(replace(now, correlation_id="now"))
    [(tenant_id, reported)] = found(database, "no_location_lost")
    assert tenant_id == "acme"
    assert reported.startswith("location location-3 was captured until ")
    assert reported.endswith(f", now: {problem}")


@pytest.mark.usefixtures("agency")
@pytest.mark.parametrize(
    ("before", "now"),
    [
        (agency_capture(days_ago=8), agency_capture(location_ids=LISTED[:2])),
        (
            agency_capture(without("location-3", LeftOutReason.NOT_INSTALLED), days_ago=1),
            agency_capture(location_ids=LISTED[:2]),
        ),
        (
            agency_capture(days_ago=1),
            agency_capture(
                location_ids=LISTED[:1],
                status=Status.PARTIAL_FAILURE,
                errors=(replace(failure(), endpoint="/locations/search", location_id=None),),
            ),
        ),
    ],
    ids=["a week ago", "never captured", "not listed to the end"],
)
def test_what_was_not_captured_or_not_listed_is_not_lost(
    database: Database, ledger: Ledger, before: Capture, now: Capture
) -> None:
    ledger.append(replace(before, correlation_id="before"))
    ledger.append(replace(now, correlation_id="now"))
    assert found(database, "no_location_lost") == []


@pytest.mark.usefixtures("agency")
def test_entities_belong_to_the_locations_that_the_same_capture_listed(
    database: Database, ledger: Ledger
) -> None:
    ledger.append(agency_capture())
    assert found(database, "locations_belong") == []
    ledger.append(agency_capture(location_ids=LISTED[1:]))
    [(tenant_id, problem)] = found(database, "locations_belong")
    assert tenant_id == "acme"
    assert problem.endswith("holds entities of foreign locations: location-1")


def test_an_entity_that_names_another_location_is_foreign(database: Database, ledger: Ledger) -> None:
    body = b'{"id":"a","locationId":"elsewhere"}'
    made = capture(bodies=[body])
    requests = tuple(replace(each, location_id="account-acme") for each in made.requests)
    ledger.append(replace(made, requests=requests))
    [(_, problem)] = found(database, "locations_belong")
    assert problem.endswith("holds entities of foreign locations: elsewhere")


def test_a_change_of_account_makes_no_earlier_snapshot_foreign(database: Database, ledger: Ledger) -> None:
    made = capture()
    requests = tuple(replace(each, location_id="account-acme") for each in made.requests)
    ledger.append(replace(made, requests=requests))
    for kind in AccountKind:
        moved = replace(tenant("acme"), ghl_account_id="another", account_kind=kind)
        TenantRegistry(database).update(moved)
        assert found(database, "locations_belong") == []


def test_a_new_tenant_has_nothing_foreign(database: Database) -> None:
    assert found(database, "locations_belong") == []


def test_what_was_stored_of_an_unproven_account_before_is_found(
    database: Database, ledger: Ledger, superuser: psycopg.Connection
) -> None:
    """Records of 1.0.0 hold what came without naming its location although GHL refused the location."""
    made = capture(snapshot_type=SnapshotType.AI_WORKERS)
    refused = replace(failure(), location_id="location-1", kind=ErrorKind.FORBIDDEN_LOCATION)
    ledger.append(
        replace(
            made,
            status=Status.PARTIAL_FAILURE,
            errors=(refused,),
            requests=(request(0, 2, endpoint="/conversation-ai/agents/search"),),
        )
    )
    superuser.execute("ALTER TABLE ghl.snapshot DISABLE TRIGGER append_only")
    superuser.execute("UPDATE ghl.snapshot SET version = '1.0.0', ghl_account_id = 'location-1'")
    problems = [problem for _, problem in found(database, "locations_belong", SnapshotType.AI_WORKERS)]
    assert any("hold entities of an unproven account" in problem for problem in problems)


def test_a_snapshot_from_the_future_is_named_and_hides_nothing(
    database: Database, ledger: Ledger, superuser: Connection
) -> None:
    """As a server stored them whose clock was wrong: a capture of such a moment is refused."""
    ledger.append(capture())
    superuser.execute("UPDATE tenant SET created_at = '2026-03-01'")
    superuser.execute("ALTER TABLE snapshot DISABLE TRIGGER append_only")
    superuser.execute("UPDATE snapshot SET captured_at = '2400-01-01T00:00Z'")
    [(tenant_id, problem)] = found(database, "none_from_the_future")
    assert tenant_id == "acme"
    assert "claims to be captured at 2400-01-01T00:00:00.000000Z and was stored at" in problem
    assert ("acme", "never captured") in found(database, "captured_recently")


def two_calls(days_ago: int, calendars: int, groups: int) -> Capture:
    """A capture of the calendars of a tenant with so many entities of two calls."""
    made = capture(
        bodies=[b'{"id":"%d"}' % number for number in range(calendars + groups)],
        snapshot_type=SnapshotType.CALENDARS,
        captured_at=NOON - timedelta(days=days_ago),
    )
    paths = ["/calendars/"] * calendars + ["/calendars/groups"] * groups
    entities = tuple(replace(one, endpoint=path) for one, path in zip(made.entities, paths, strict=True))
    requests = (
        request(0, calendars, endpoint="/calendars/"),
        request(calendars, groups, endpoint="/calendars/groups"),
    )
    return replace(made, entities=entities, requests=requests)


def test_the_collapse_of_one_call_is_found_among_many_records(database: Database, ledger: Ledger) -> None:
    for days_ago in (4, 3, 2):
        ledger.append(two_calls(days_ago, calendars=40, groups=10))
    ledger.append(two_calls(1, calendars=40, groups=2))
    assert found(database, "no_collapse", SnapshotType.CALENDARS) == []
    last = ledger.append(two_calls(0, calendars=40, groups=1)).snapshot
    assert found(database, "no_collapse", SnapshotType.CALENDARS) == [
        ("acme", f"1 records of /calendars/groups in snapshot {last.snapshot_id} where 10 were usual")
    ]


def test_an_entity_that_changes_in_every_capture_is_named(database: Database, ledger: Ledger) -> None:
    """One that changed in some of them, and one that did in none, are not."""
    for number in range(6):
        if number == 5:
            assert found(database, "not_always_changing") == [
                ("acme", "entity noisy of /workflows/ had a new content in each of the last 5 captures")
            ]
        bodies = [
            b'{"id":"noisy","traceId":"%d"}' % min(number, 4),
            b'{"id":"busy","version":%d}' % (number // 2),
            b'{"id":"quiet"}',
        ]
        ledger.append(capture(bodies=bodies, captured_at=NOON - timedelta(days=9 - number)))
        if number < 4:
            assert found(database, "not_always_changing") == []
    assert found(database, "not_always_changing") == [], "it has come to rest"


def test_an_entity_without_an_id_that_changes_in_every_capture_is_named_by_its_place(
    database: Database, ledger: Ledger
) -> None:
    """The place is that in its own list, of which this is the second page."""
    paths = ["/calendars/"] * 2 + ["/calendars/resources/rooms"] * 3
    for number in range(5):
        bodies = [b'{"x":1}', b'{"x":2}', b'{"r":1}', b'{"r":2}', b'{"r":3,"traceId":"%d"}' % number]
        made = capture(
            bodies=bodies, snapshot_type=SnapshotType.CALENDARS, captured_at=NOON - timedelta(days=9 - number)
        )
        entities = tuple(
            replace(one, endpoint=path, entity_id=None)
            for one, path in zip(made.entities, paths, strict=True)
        )
        spans = ((0, 2), (2, 2), (4, 1))
        requests = tuple(request(begin, count, endpoint=paths[begin]) for begin, count in spans)
        ledger.append(replace(made, entities=entities, requests=requests))
    [(tenant_id, problem)] = found(database, "not_always_changing", SnapshotType.CALENDARS)
    place = "the entity at place 3 of /calendars/resources/rooms of location location-1, which has no id,"
    assert (tenant_id, problem.removeprefix(place)) == (
        "acme",
        " had a new content in each of the last 5 captures",
    )


def test_an_entity_that_changes_in_every_capture_is_named_with_the_call_that_brings_it(
    database: Database, ledger: Ledger
) -> None:
    """And not with the call that brought the same bytes first."""
    lists, details = "/conversation-ai/agents/search", "/conversation-ai/agents/{agentId}"
    for number in range(6):
        noisy = b'{"id":"a","traceId":"%d"}' % number
        detail = noisy if number < 4 else b'{"id":"a"}'
        made = capture(
            bodies=[noisy, detail],
            snapshot_type=SnapshotType.AI_WORKERS,
            captured_at=NOON - timedelta(days=9 - number),
        )
        entities = tuple(
            replace(one, endpoint=path) for one, path in zip(made.entities, (lists, details), strict=True)
        )
        requests = (request(0, 1, endpoint=lists), request(1, 1, endpoint=details))
        ledger.append(replace(made, entities=entities, requests=requests))
    assert found(database, "not_always_changing", SnapshotType.AI_WORKERS) == [
        ("acme", f"entity a of {lists} had a new content in each of the last 5 captures")
    ]
