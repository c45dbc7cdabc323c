"""Each check, with a fault planted: that check turns red, names that tenant, and no other check does."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import dagster as dg
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.core.settings import load_settings
from ghl_snapshots.definitions import all_definitions, definitions
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.orchestration import dagster_tags
from ghl_snapshots.orchestration.checks import CHECKS, ledger_key
from ghl_snapshots.orchestration.launch import capture_now
from ghl_snapshots.orchestration.partitions import TenantRange
from ghl_snapshots.orchestration.schedules import scheduled_trigger
from ghl_snapshots_tests.orchestration.product import Product, running_product

pytestmark = pytest.mark.slow

WORKFLOWS = SnapshotType.WORKFLOWS
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture(scope="module")
def original(
    postgres: EmbeddedPostgres, empty_product: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    """Everything of three tenants captured, twice; the registry's other two are disabled."""
    with running_product(postgres, empty_product, tmp_path_factory.mktemp("checks"), tenants=5) as product:
        with product.registry() as registry:
            for tenant in ("t03", "t04"):
                registry.set_enabled(tenant, enabled=False)
        for _ in range(2):
            capture_now(all_definitions(), ["t00", "t01", "t02"], reason="test")
        yield product


@pytest.fixture
def captured(
    original: Product, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Product]:
    """The same in a database of its own, with the simulated GHL put back as it was afterwards."""
    name = f"checks_{uuid4().hex[:12]}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        template = conninfo_to_dict(original.superuser_url)["dbname"]
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    monkeypatch.setenv("GHL_SNAPSHOTS_DATABASE_URL", postgres.url(name))
    locations = [original.location(tenant) for tenant in ("t00", "t01", "t02")]
    before = [
        (set(place.scopes), {key: list(value) for key, value in place.entities.items()})
        for place in locations
    ]
    yield replace(original, settings=load_settings(), superuser_url=postgres.url(name))
    for place, (scopes, entities) in zip(locations, before, strict=True):
        place.scopes = scopes
        place.entities.update(entities)


def evaluations(product: Product, job: str) -> Sequence[dg.AssetCheckEvaluation]:
    """The results of a job's checks."""
    with product.instance() as instance:
        result = definitions().resolve_job_def(job).execute_in_process(instance=instance, run_config=QUIET)
    return result.get_asset_check_evaluations()


def red(product: Product, job: str = "weekly_checks") -> Mapping[str, set[str]]:
    """The checks that found faults: `type check` and the tenants that they name; all hang on ledger/type."""
    results = evaluations(product, job)
    expected = [check for check in CHECKS if check.daily or job == "weekly_checks"]
    assert len(results) == sum(len(check.types) for check in expected)
    assert {one.asset_key for one in results} == {ledger_key(kind) for kind in SnapshotType}
    return {f"{one.asset_key.path[-1]} {one.check_name}": named(one) for one in results if not one.passed}


def named(evaluation: dg.AssetCheckEvaluation) -> set[str]:
    shown = evaluation.metadata["offenders"]
    assert isinstance(shown, dg.TableMetadataValue)
    return {str(record.data["tenant"]) for record in shown.records}


def capture_weekly(product: Product, kind: SnapshotType) -> None:
    """Capture the tenants as the weekly schedule does."""
    tags = {
        dagster_tags.CORRELATION_ID: scheduled_trigger("weekly", datetime.now(UTC)).correlation_id,
        **TenantRange(first="t00", last="t02").tags(),
    }
    with product.instance() as instance:
        definitions().resolve_job_def("full_snapshot").execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey(kind.value)], tags=tags, run_config=QUIET
        )


def alter(product: Product, relation: str, statement: str) -> None:
    """Change a table as a superuser can, its guards switched off and on again."""
    with psycopg.connect(product.superuser_url) as connection:
        connection.execute(f"ALTER TABLE ghl.{relation} DISABLE TRIGGER append_only".encode())
        connection.execute(statement.encode())
        connection.execute(f"ALTER TABLE ghl.{relation} ENABLE ALWAYS TRIGGER append_only".encode())


def test_nothing_is_red_when_nothing_is_wrong(captured: Product) -> None:
    assert red(captured) == {}
    assert red(captured, "daily_checks") == {}


def test_a_verification_of_everything_is_in_the_audit_trail(captured: Product) -> None:
    """The metrics have the age of the last verification; the daily checks verify nothing."""
    with psycopg.connect(captured.superuser_url) as connection:
        connection.execute("ALTER TABLE ghl.entity DROP CONSTRAINT entity_check")
    for expected in (True, False):
        red(captured)
        red(captured, "daily_checks")
        rows = captured.rows(
            "SELECT tenant_id, success FROM ghl.audit_event WHERE event_type = 'ghl_snapshot_verification' "
            "ORDER BY occurred_at"
        )
        assert [row["tenant_id"] for row in rows] == [None] * (1 if expected else 2)
        assert rows[-1]["success"] is expected
        alter(captured, "entity", "UPDATE ghl.entity SET body = body || ' ' WHERE tenant_id = 't02'")


def test_a_stale_tenant_is_found(captured: Product) -> None:
    with psycopg.connect(captured.superuser_url) as connection:
        connection.execute("UPDATE ghl.tenant SET created_at = created_at - interval '40 days'")
    alter(
        captured,
        "snapshot",
        "UPDATE ghl.snapshot SET captured_at = captured_at - interval '3 hours' "
        "WHERE tenant_id = 't01' AND snapshot_type = 'workflows'",
    )
    found = red(captured, "daily_checks")
    assert found == {"workflows captured_recently": {"t01"}}


def test_a_tenant_is_stale_by_the_pauses_of_its_schedule(
    captured: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three hours are nothing where captures are six hours apart."""
    monkeypatch.setenv("GHL_SNAPSHOTS_HOURLY_CRON", "0 */6 * * *")
    with psycopg.connect(captured.superuser_url) as connection:
        connection.execute("UPDATE ghl.tenant SET created_at = created_at - interval '40 days'")
    for hours, found in ((3, {}), (5, {"workflows captured_recently": {"t01"}})):
        alter(
            captured,
            "snapshot",
            "UPDATE ghl.snapshot SET captured_at = captured_at - "
            f"interval '{hours} hours' WHERE tenant_id = 't01' AND snapshot_type = 'workflows'",
        )
        assert red(captured, "daily_checks") == found


def test_an_incomplete_tenant_is_found(captured: Product) -> None:
    captured.location("t02").scopes.discard("calendars/groups.readonly")
    capture_now(all_definitions(), ["t00", "t01", "t02"], [SnapshotType.CALENDARS], reason="test")
    assert red(captured) == {"calendars latest_complete": {"t02"}}
    [result] = [one for one in evaluations(captured, "daily_checks") if not one.passed]
    assert result.description == "1 fault of 1 tenant"
    offenders = result.metadata["offenders"]
    assert isinstance(offenders, dg.TableMetadataValue)
    problem = str(offenders.records[0].data["problem"])
    assert problem.startswith("partial_failure in snapshot ")
    assert "/calendars/groups: grant the scope calendars/groups.readonly" in problem


def test_a_collapsed_count_is_found(captured: Product) -> None:
    del captured.location("t00").entities["workflows"][1:]
    capture_now(all_definitions(), ["t00", "t01"], [WORKFLOWS], reason="test")
    assert red(captured) == {"workflows no_collapse": {"t00"}}


def test_an_altered_count_is_found(captured: Product) -> None:
    """The chain shows as well that the row is not what was stored."""
    alter(
        captured,
        "snapshot",
        "UPDATE ghl.snapshot SET record_count = record_count + 1 "
        "WHERE tenant_id = 't01' AND snapshot_type = 'pipelines' AND seq = 2",
    )
    assert red(captured) == {"pipelines counts_match": {"t01"}, "pipelines intact": {"t01"}}


@pytest.mark.parametrize(
    ("relation", "change"),
    [
        ("entity", "body = body || ' ', digest = sha256(body || ' ') WHERE endpoint = '/workflows/'"),
        ("snapshot", "duration_ms = duration_ms + 1 WHERE snapshot_type = 'workflows' AND seq = 1"),
    ],
)
def test_what_a_superuser_altered_is_found(captured: Product, relation: str, change: str) -> None:
    """An entity together with its digest, or a row; the guards are on again afterwards."""
    alter(captured, relation, f"UPDATE ghl.{relation} SET {change} AND tenant_id = 't02'")
    assert red(captured) == {"workflows intact": {"t02"}}


def test_bytes_that_do_not_match_their_digest_are_found(captured: Product) -> None:
    with psycopg.connect(captured.superuser_url) as connection:
        connection.execute("ALTER TABLE ghl.entity DROP CONSTRAINT entity_check")
    alter(
        captured,
        "entity",
        "UPDATE ghl.entity SET body = body || ' ' WHERE tenant_id = 't02' AND endpoint = '/workflows/'",
    )
    found = dict(red(captured))
    assert found.pop("workflows intact") == {"t02"}
    assert found == {"locations guarded": {"all"}}, "the constraint is missing, too"


def test_what_an_entity_is_filed_under_is_not_whose_it_is(captured: Product) -> None:
    """No request named that location: the entity was altered, and is not taken for another account's."""
    alter(
        captured,
        "entity",
        "UPDATE ghl.entity SET location_id = 'elsewhere' "
        "WHERE tenant_id = 't00' AND endpoint = '/workflows/'",
    )
    assert red(captured) == {"workflows intact": {"t00"}}


def test_a_feature_that_the_customers_plan_lacks_is_told_and_costs_nothing_else(captured: Product) -> None:
    location = captured.location("t01")
    location.lacking_features.add("/calendars/groups")
    try:
        capture_now(all_definitions(), ["t01"], [SnapshotType.CALENDARS], reason="test")
    finally:
        location.lacking_features.clear()
    assert red(captured) == {"calendars nothing_left_out": {"t01"}}


def test_a_weekly_capture_that_nothing_confirms_is_found(captured: Product) -> None:
    whole = list(captured.location("t01").entities["pipelines"])
    captured.location("t01").entities["pipelines"].reverse()
    capture_weekly(captured, SnapshotType.PIPELINES)
    captured.location("t01").entities["pipelines"] = whole
    capture_now(all_definitions(), ["t00", "t01"], [SnapshotType.PIPELINES], reason="test")
    assert red(captured) == {"pipelines no_silent_drift": {"t01"}}


def test_a_weekly_capture_that_a_newer_one_confirms_is_no_drift(captured: Product) -> None:
    captured.location("t01").entities["pipelines"].reverse()
    capture_weekly(captured, SnapshotType.PIPELINES)
    capture_now(all_definitions(), ["t00", "t01"], [SnapshotType.PIPELINES], reason="test")
    assert red(captured) == {}


def test_schedules_that_were_not_kept_are_found(captured: Product) -> None:
    with psycopg.connect(captured.superuser_url) as connection:
        connection.execute(
            "UPDATE ghl.tenant SET created_at = created_at - interval '4 hours' WHERE tenant_id = 't00'"
        )
    assert red(captured) == {
        "pipelines schedules_kept": {"t00"},
        "workflows schedules_kept": {"t00"},
    }


@pytest.mark.parametrize(
    "deed",
    [
        "ALTER TABLE ghl.snapshot DISABLE TRIGGER append_only",
        "DROP TRIGGER append_only ON ghl.entity",
        "GRANT DELETE ON ghl.manifest TO ghl_snapshots_writer",
        "ALTER TABLE ghl.snapshot NO FORCE ROW LEVEL SECURITY",
    ],
)
def test_a_guard_that_was_taken_away_is_found(captured: Product, deed: str) -> None:
    with psycopg.connect(captured.superuser_url) as connection:
        connection.execute(deed.encode())
    assert red(captured) == {"locations guarded": {"all"}}


def test_every_check_says_what_a_red_one_means() -> None:
    assert all("**Failed:**" in check.description for check in CHECKS)
    assert len({check.name for check in CHECKS}) == len(CHECKS)
