"""Each check, with a fault planted: that check turns red, names that tenant, and no other check does."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from uuid import uuid4

import dagster as dg
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from ghl_snapshots.definitions import composed, definitions
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.model import SnapshotType
from ghl_snapshots.orchestration.checks import CHECKS
from ghl_snapshots.orchestration.launch import capture_now
from ghl_snapshots.settings import load_settings
from ghl_snapshots_tests.orchestration.product import Product, running_product

WORKFLOWS = SnapshotType.WORKFLOWS


@pytest.fixture(scope="module")
def original(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """Everything of three tenants captured, twice; the registry's other two are disabled."""
    with running_product(postgres, tmp_path_factory.mktemp("checks"), tenants=5) as product:
        with product.registry() as registry:
            for tenant in ("t03", "t04"):
                registry.set_enabled(tenant, enabled=False)
        for _ in range(2):
            capture_now(composed, ["t00", "t01", "t02"], reason="test")
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


def red(product: Product, job: str = "weekly_checks") -> Mapping[str, set[str]]:
    """The checks that found faults: `type check` and the tenants that they name."""
    with product.instance() as instance:
        result = (
            definitions()
            .resolve_job_def(job)
            .execute_in_process(
                instance=instance, run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
            )
        )
    evaluations = result.get_asset_check_evaluations()
    expected = [check for check in CHECKS if check.daily or job == "weekly_checks"]
    assert len(evaluations) == len(expected) * len(SnapshotType)
    return {
        f"{one.asset_key.to_user_string()} {one.check_name}": named(one)
        for one in evaluations
        if not one.passed
    }


def named(evaluation: dg.AssetCheckEvaluation) -> set[str]:
    shown = evaluation.metadata["shown"]
    assert isinstance(shown, dg.TableMetadataValue)
    return {str(record.data["tenant"]) for record in shown.records}


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
    """The metrics tell how long ago that was; the daily checks verify nothing."""
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
    capture_now(composed, ["t00", "t01", "t02"], [SnapshotType.CALENDARS], reason="test")
    assert red(captured) == {"calendars latest_complete": {"t02"}}


def test_a_collapsed_count_is_found(captured: Product) -> None:
    del captured.location("t00").entities["workflows"][1:]
    capture_now(composed, ["t00", "t01"], [WORKFLOWS], reason="test")
    assert red(captured) == {"workflows no_collapse": {"t00"}}


def test_an_altered_count_is_found(captured: Product) -> None:
    """The chain tells as well that the row is not what was stored."""
    alter(
        captured,
        "snapshot",
        "UPDATE ghl.snapshot SET record_count = record_count + 1 "
        "WHERE tenant_id = 't01' AND snapshot_type = 'pipelines' AND seq = 2",
    )
    assert red(captured) == {"pipelines counts_match": {"t01"}, "pipelines intact": {"t01"}}


def test_altered_bytes_are_found(captured: Product) -> None:
    with psycopg.connect(captured.superuser_url) as connection:
        connection.execute("ALTER TABLE ghl.entity DROP CONSTRAINT entity_check")
    alter(
        captured,
        "entity",
        "UPDATE ghl.entity SET body = body || ' ' WHERE tenant_id = 't02' AND endpoint = '/workflows/'",
    )
    assert red(captured)["workflows intact"] == {"t02"}


def test_a_foreign_location_is_found(captured: Product) -> None:
    alter(
        captured,
        "entity",
        "UPDATE ghl.entity SET location_id = 'elsewhere' "
        "WHERE tenant_id = 't00' AND endpoint = '/workflows/'",
    )
    assert red(captured) == {"workflows locations_belong": {"t00"}}


def test_a_weekly_capture_that_nothing_confirms_is_found(captured: Product) -> None:
    whole = list(captured.location("t01").entities["pipelines"])
    captured.location("t01").entities["pipelines"].reverse()
    capture_now(composed, ["t00", "t01"], [SnapshotType.PIPELINES], reason="test")
    alter(
        captured,
        "snapshot",
        "UPDATE ghl.snapshot SET correlation_id = 'scheduled_weekly_1' "
        "WHERE snapshot_type = 'pipelines' AND seq = 3",
    )
    captured.location("t01").entities["pipelines"] = whole
    capture_now(composed, ["t00", "t01"], [SnapshotType.PIPELINES], reason="test")
    assert red(captured)["pipelines no_silent_drift"] == {"t01"}


def test_schedules_that_were_not_kept_are_found(captured: Product) -> None:
    with psycopg.connect(captured.superuser_url) as connection:
        connection.execute(
            "UPDATE ghl.tenant SET created_at = created_at - interval '4 hours' WHERE tenant_id = 't00'"
        )
    assert red(captured) == {
        "pipelines schedules_kept": {"t00"},
        "workflows schedules_kept": {"t00"},
    }


def test_a_guard_that_was_taken_away_is_found(captured: Product) -> None:
    with psycopg.connect(captured.superuser_url) as connection:
        connection.execute("ALTER TABLE ghl.snapshot DISABLE TRIGGER append_only")
    assert red(captured) == {f"{kind} guarded": {"all"} for kind in SnapshotType}


def test_every_check_says_what_a_red_one_means() -> None:
    assert all("**Red:**" in check.description for check in CHECKS)
    assert len({check.name for check in CHECKS}) == len(CHECKS)
