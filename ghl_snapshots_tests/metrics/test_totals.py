"""Metrics: exact under concurrent writers and counters, never going back, cheap to ask for again."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from psycopg import Connection

from ghl_snapshots.core.audit_events import AuditEvent
from ghl_snapshots.core.daily_quota import DailyQuota
from ghl_snapshots.core.model import SnapshotType, Source, Status
from ghl_snapshots.ledger.append import append_in
from ghl_snapshots.ledger.audit import AuditTrail
from ghl_snapshots.ledger.daily_quotas import DailyQuotas
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.snapshot_requests import NewRequest, SnapshotRequests
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.ledger.verification import Verification
from ghl_snapshots.metrics.exposition import exposition
from ghl_snapshots_tests.ledger.captures import ENDPOINT, NOON, capture

COUNT = "ghl_snapshot_duration_ms_count"


def samples(database: Database, *, tenant_label: bool = True) -> list[Sample]:
    text = exposition(database, tenant_label=tenant_label).decode()
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def value(found: list[Sample], name: str, labels: Mapping[str, str] | None = None) -> float | None:
    """The sum of the series with these labels and perhaps others; None if there is no such series."""
    wanted = (labels or {}).items()
    values = [sample.value for sample in found if sample.name == name and wanted <= sample.labels.items()]
    return sum(values) if values else None


def captures_counted(database: Database) -> float | None:
    return value(samples(database), COUNT)


def test_the_counters_say_what_captures_were(database: Database, ledger: Ledger) -> None:
    ledger.append(replace(capture(), duration_ms=50))
    ledger.append(replace(capture(), duration_ms=51))
    ledger.append(replace(capture("acme", (), status=Status.FAILED), duration_ms=400_000))
    found = samples(database)
    own = {"tenant_id": "acme", "snapshot_type": "workflows"}
    assert value(found, COUNT, {**own, "success": "true"}) == 2
    assert value(found, "ghl_snapshot_duration_ms_sum", {**own, "success": "true"}) == 101
    by_bound = {
        sample.labels["le"]: sample.value
        for sample in found
        if sample.name == "ghl_snapshot_duration_ms_bucket" and sample.labels["success"] == "true"
    }
    assert [by_bound[bound] for bound in ("50", "100", "300000", "+Inf")] == [1, 2, 2, 2]
    failed = {**own, "success": "false"}
    assert value(found, "ghl_snapshot_duration_ms_bucket", {**failed, "le": "300000"}) == 0
    assert value(found, "ghl_snapshot_duration_ms_bucket", {**failed, "le": "+Inf"}) == 1
    assert value(found, "ghl_snapshot_records_total", own) == 4
    assert value(found, "ghl_snapshot_errors_total", {**own, "error_type": "not_found"}) == 1
    assert value(found, "ghl_snapshot_api_calls_total", {"endpoint": ENDPOINT, "status_code": "200"}) == 3


def exemplars(database: Database, *, tenant_label: bool = True) -> dict[tuple[str, str], tuple[str, float]]:
    """Correlation id and duration of each bucket's exemplar, by the bucket's `success` and `le`."""
    text = exposition(database, tenant_label=tenant_label, openmetrics=True).decode()
    return {
        (sample.labels["success"], sample.labels["le"]): (
            sample.exemplar.labels["correlation_id"],
            sample.exemplar.value,
        )
        for family in read_openmetrics(text)  # type: ignore[no-untyped-call]  # it has no types
        for sample in family.samples
        if sample.exemplar
    }


def test_a_chains_newest_capture_is_its_buckets_exemplar(database: Database, ledger: Ledger) -> None:
    def captured(tenant_id: str, minute: int, duration_ms: int, correlation_id: str) -> None:
        moment = NOON + timedelta(minutes=minute)
        made = capture(tenant_id, captured_at=moment, correlation_id=correlation_id)
        ledger.append(replace(made, duration_ms=duration_ms))

    captured("acme", 0, 70, "first")
    assert exemplars(database) == {("true", "100"): ("first", 70)}
    captured("acme", 1, 700, "second")
    assert exemplars(database) == {("true", "1000"): ("second", 700)}
    captured("zenith", 2, 40, "third")
    assert exemplars(database, tenant_label=False) == {("true", "50"): ("third", 40)}
    failed = capture("acme", (), status=Status.FAILED, correlation_id="fourth")
    ledger.append(replace(failed, duration_ms=400_000))
    assert exemplars(database)["false", "+Inf"] == ("fourth", 400_000)
    assert "fourth" not in exposition(database, tenant_label=True).decode()


def test_each_scrape_counts_what_was_appended_before_it(database: Database, ledger: Ledger) -> None:
    assert captures_counted(database) is None
    ledger.append(capture())
    assert [captures_counted(database), captures_counted(database)] == [1, 1]
    ledger.append(capture())
    ledger.append(capture("zenith"))
    assert captures_counted(database) == 3


def test_a_capture_that_commits_after_a_later_one_is_counted_when_it_does(
    database: Database, ledger: Ledger
) -> None:
    with database.writer("acme") as connection:
        # Other content than the later ones', which would wait for this transaction if it were the same.
        append_in(connection, capture("acme", (b"{}",), snapshot_type=SnapshotType.PIPELINES))
        ledger.append(capture("zenith"))
        ledger.append(capture())
        assert captures_counted(database) == 2
    assert captures_counted(database) == 3


def test_no_capture_is_missed_or_doubled_with_many_writers_and_several_scrapes_at_once(
    database: Database, ledger: Ledger
) -> None:
    types = list(SnapshotType)

    def write(number: int) -> None:
        ledger.append(capture(("acme", "zenith")[number % 2], snapshot_type=types[number % 5]))

    with ThreadPoolExecutor(10) as pool:
        writing = [pool.submit(write, number) for number in range(150)]
        seen = list(pool.map(lambda _: captures_counted(database) or 0, range(20)))
        for each in writing:
            each.result()
    assert max(seen) <= 150
    assert captures_counted(database) == 150


def test_counters_never_go_back_over_many_scrapes(database: Database, ledger: Ledger) -> None:
    last: dict[tuple[str, str], float] = {}
    for _ in range(5):
        ledger.append(capture())
        now = {
            (sample.name, str(sample.labels)): sample.value
            for sample in samples(database)
            if sample.name.endswith(("_total", "_bucket", "_count", "_sum"))
        }
        assert all(now[key] >= before for key, before in last.items())
        last = now


def test_a_scrape_only_reads(database: Database, ledger: Ledger, superuser: Connection) -> None:
    """The session that it has is one in which a write would be refused."""
    ledger.append(capture())
    with database.auditor() as connection:
        settings = connection.execute("SHOW default_transaction_read_only").fetchone()
    assert settings == {"default_transaction_read_only": "on"}
    before = superuser.execute("SELECT sum(xmin::text::bigint), count(*) FROM counter").fetchone()
    assert captures_counted(database) == 1
    assert superuser.execute("SELECT sum(xmin::text::bigint), count(*) FROM counter").fetchone() == before


def test_a_capture_that_is_found_stored_already_is_counted_once(database: Database, ledger: Ledger) -> None:
    assert not ledger.append(capture(correlation_id="once")).already_stored
    assert ledger.append(capture(correlation_id="once")).already_stored
    assert captures_counted(database) == 1


@pytest.mark.parametrize("role", ["writer", "reader", "auditor"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE counter SET value = 0",
        "DELETE FROM counter",
        "INSERT INTO counter VALUES ('acme', 'workflows', 'records', '{}', 1)",
        "TRUNCATE counter",
    ],
)
def test_nobody_but_the_trigger_writes_the_counters(
    ledger: Ledger, as_role: Callable[..., Connection], role: str, statement: str
) -> None:
    ledger.append(capture())
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied for table counter"):
        as_role(role, "acme").execute(statement)


FORGED = {
    "altered": (
        "UPDATE counter SET value = value + 7 WHERE tenant_id = 'acme' AND metric = 'records'",
        "acme: the counter records of workflows is 9, its snapshots add up to 2",
    ),
    "missing": (
        "DELETE FROM counter WHERE tenant_id = 'acme' AND metric = 'api_calls'",
        "acme: the counter api_calls, /workflows/, 200 of workflows is missing: its snapshots add up to 1",
    ),
    "invented": (
        "INSERT INTO counter VALUES ('zenith', 'calendars', 'errors', '{timeout}', 3)",
        "zenith: the counter errors, timeout of calendars is 3, and no snapshot counts for it",
    ),
    "a moment": (
        "UPDATE counter SET value = 0 WHERE tenant_id = 'acme' AND metric = 'last_success'",
        "acme: the counter last_success of workflows is 0, its snapshots add up to 1772539200000000",
    ),
}


@pytest.mark.parametrize(("statement", "finding"), FORGED.values(), ids=FORGED)
def test_a_counter_that_is_not_what_the_snapshots_add_up_to_is_named(
    database: Database, ledger: Ledger, superuser: Connection, statement: str, finding: str
) -> None:
    ledger.append(capture())
    assert list(Verification(database)) == []
    superuser.execute(statement)
    assert [str(found) for found in Verification(database)] == [finding]


def test_the_newest_complete_capture_of_every_enabled_tenant_is_reported(
    database: Database, ledger: Ledger
) -> None:
    name = "ghl_snapshot_last_success_timestamp_seconds"
    ledger.append(capture())
    ledger.append(capture(captured_at=NOON - timedelta(days=1)))
    ledger.append(capture("acme", (), captured_at=NOON + timedelta(days=1), status=Status.FAILED))
    own = {"tenant_id": "acme", "snapshot_type": "workflows"}
    assert value(samples(database), name, own) == NOON.timestamp()
    assert value(samples(database), name, {**own, "snapshot_type": "pipelines"}) == 0
    assert value(samples(database, tenant_label=False), name, {"snapshot_type": "workflows"}) == 0
    TenantRegistry(database).set_enabled("zenith", enabled=False)
    assert value(samples(database), name, {"tenant_id": "zenith"}) is None
    together = samples(database, tenant_label=False)
    assert value(together, name, {"snapshot_type": "workflows"}) == NOON.timestamp()


def test_the_newest_capture_and_the_newest_that_holds_anything_are_reported(
    database: Database, ledger: Ledger
) -> None:
    """As `ghl-snapshots status` has them."""
    status, good, records = (
        f"ghl_snapshot_{name}" for name in ("latest_status", "last_good_timestamp_seconds", "latest_records")
    )
    own = {"tenant_id": "acme", "snapshot_type": "workflows"}

    def reported() -> list[float | None]:
        found = samples(database)
        return [value(found, name, own) for name in (status, good, records)]

    assert reported() == [0, 0, 0]
    for hours, outcome, expected in (
        (0, Status.SUCCESS, [3, NOON.timestamp(), 2]),
        (1, Status.PARTIAL_FAILURE, [2, NOON.timestamp() + 3600, 2]),
        (2, Status.FAILED, [1, NOON.timestamp() + 3600, 2]),
    ):
        bodies = () if outcome is Status.FAILED else (b"{}", b'{"id":"w"}')
        moment = NOON + timedelta(hours=hours)
        ledger.append(capture("acme", bodies, captured_at=moment, status=outcome))
        assert reported() == expected
    assert value(samples(database, tenant_label=False), status, {"snapshot_type": "workflows"}) == 0
    TenantRegistry(database).set_enabled("acme", enabled=False)
    assert reported() == [None, None, None]


def test_the_bytes_of_an_entity_count_for_the_capture_that_stored_it_first(
    database: Database, ledger: Ledger
) -> None:
    def stored(tenant_id: str) -> float | None:
        return value(samples(database), "ghl_snapshot_new_bytes_total", {"tenant_id": tenant_id})

    ledger.append(capture("acme", [b'{"id":"1"}']))
    ledger.append(capture("acme", [b'{"id":"1"}', b'{"id":"22"}']))
    ledger.append(capture("acme", [b'{"id":"1"}']))
    ledger.append(capture("zenith", [b'{"id":"1"}']))
    assert [stored("acme"), stored("zenith")] == [21, 10]


def test_what_claims_to_be_later_than_now_hides_nothing(
    database: Database, ledger: Ledger, superuser: Connection
) -> None:
    """As a server stored it whose clock was wrong: a verification silenced the alert on its age."""
    ledger.append(capture())
    superuser.execute("UPDATE counter SET value = 13569465600000000 WHERE metric = 'last_success'")
    planned = {"plannedSnapshotTypes": list(SnapshotType), "durationMs": 1}
    for event_type, tenant_id in (("ghl_snapshot_verification", None), ("ghl_snapshot_full_run", "acme")):
        event = AuditEvent(
            event_type=event_type,
            tenant_id=tenant_id,
            correlation_id="c",
            success=True,
            source=Source.SCHEDULED,
            details=planned,
        )
        AuditTrail(database).record(event)
    superuser.execute("ALTER TABLE audit_event DISABLE TRIGGER append_only")
    superuser.execute("UPDATE audit_event SET occurred_at = '2400-01-01T00:00Z'")
    reported = samples(database)
    own = {"tenant_id": "acme", "snapshot_type": "workflows"}
    assert value(reported, "ghl_snapshot_last_success_timestamp_seconds", own) == 0
    assert value(reported, "ghl_snapshot_chain_verification_age_seconds") is None
    assert value(reported, "ghl_snapshot_full_run_success_ratio") is None


def test_without_the_tenant_label_there_is_one_series_for_all_tenants(
    database: Database, ledger: Ledger
) -> None:
    ledger.append(capture())
    ledger.append(capture("zenith"))
    found = samples(database, tenant_label=False)
    assert not [sample for sample in found if "tenant_id" in sample.labels]
    assert [sample.value for sample in found if sample.name == COUNT] == [2]


def test_requests_are_counted_by_status(database: Database) -> None:
    requests = SnapshotRequests(database)
    new_request = NewRequest(tenant_id="acme", ghl_account_id="account-acme")
    made = [requests.accept(new_request, now=NOON, limit=10).request_id for _ in range(3)]
    requests.queued(made[0], "run-1")
    requests.running(made[1], "run-2")
    requests.ended(made[1])
    exposed = {
        sample.labels["status"]: sample.value
        for sample in samples(database)
        if sample.name == "ghl_snapshot_requests"
    }
    assert exposed == {
        "accepted": 1,
        "queued": 1,
        "running": 0,
        "succeeded": 0,
        "partial_failure": 0,
        "failed": 1,
    }


def test_full_runs_and_verifications_are_reported_from_their_events(database: Database) -> None:
    trail = AuditTrail(database)
    assert value(samples(database), "ghl_snapshot_chain_verification_age_seconds") is None
    everything, critical = list(SnapshotType), ["pipelines", "workflows"]
    for tenant_id, planned, success, took in (
        ("acme", everything, False, 9000),
        ("acme", everything, True, 4000),
        ("zenith", everything, False, 31_000),
        ("zenith", critical, True, 200),
    ):
        trail.record(
            AuditEvent(
                event_type="ghl_snapshot_full_run",
                tenant_id=tenant_id,
                correlation_id=f"tick-{took}",
                success=success,
                source=Source.SCHEDULED,
                details={"durationMs": took, "plannedSnapshotTypes": planned},
            )
        )
    trail.record(
        AuditEvent(
            event_type="ghl_snapshot_verification", correlation_id="v", success=False, source=Source.MANUAL
        )
    )
    found = samples(database)
    assert value(found, "ghl_snapshot_last_full_run_duration_ms", {"tenant_id": "acme"}) == 4000
    assert value(found, "ghl_snapshot_full_run_success_ratio") == 0.5
    age = value(found, "ghl_snapshot_chain_verification_age_seconds")
    assert age is not None
    assert 0 <= age < 60
    assert value(found, "ghl_snapshot_chain_verification_success") == 0
    together = samples(database, tenant_label=False)
    assert value(together, "ghl_snapshot_last_full_run_duration_ms") == 31_000


def test_what_a_deep_verification_found_is_reported_until_a_deep_one_refutes_it(database: Database) -> None:
    def verified(*, success: bool, **details: object) -> float | None:
        event_type, details = "ghl_snapshot_verification", {"snapshotType": None, "since": None, **details}
        AuditTrail(database).record(
            AuditEvent(
                event_type=event_type,
                correlation_id="v",
                success=success,
                source=Source.MANUAL,
                details=details,
            )
        )
        return value(samples(database), "ghl_snapshot_chain_verification_success")

    assert verified(success=True, deep=False) == 1
    assert verified(success=False, deep=True) == 0
    assert verified(success=True, deep=False) == 0
    assert verified(success=True, deep=True, since="2026-03-01") == 0
    assert verified(success=True, deep=True) == 1
    assert verified(success=False, deep=False) == 0
    assert verified(success=True, deep=False) == 1


def test_what_is_left_of_the_day_is_reported_for_each_account(database: Database) -> None:
    quotas = DailyQuotas(database)
    today = datetime.now(UTC).date()
    for resource_id, day, remaining in (
        ("account-acme", today, 500),
        ("account-acme", today, 700),
        ("account-zenith", today - timedelta(days=1), 3),
        ("nobodys", today, 1),
    ):
        assert quotas.note({resource_id: DailyQuota(day=day, remaining=remaining, daily=200_000)})
    name = "ghl_snapshot_rate_limit_daily_remaining"
    found = [sample for sample in samples(database) if sample.name == name]
    assert [(sample.labels, sample.value) for sample in found] == [
        ({"tenant_id": "acme", "resource": "account-acme"}, 500)
    ]
    assert value(samples(database, tenant_label=False), name) == 500


def test_an_id_that_openmetrics_has_no_room_for_is_no_exemplar(database: Database, ledger: Ledger) -> None:
    """It allows 128 characters, the name `correlation_id` included."""
    ledger.append(capture(correlation_id="x" * 115))
    assert exemplars(database) == {}
    ledger.append(capture(correlation_id="x" * 114))
    assert exemplars(database) == {("true", "250"): ("x" * 114, 250)}
