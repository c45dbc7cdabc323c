"""A tick asks for one run per batch of tenants."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import takewhile

import dagster as dg
import pytest

from ghl_snapshots.core.settings import Settings
from ghl_snapshots.definitions import definitions
from ghl_snapshots.orchestration.partitions import TenantRange, add_partitions
from ghl_snapshots.orchestration.schedules import (
    DAILY,
    HOURLY,
    WEEKLY,
    ScheduleSpec,
    scheduled_trigger,
    snapshot_schedule,
)
from ghl_snapshots_tests.orchestration.product import Product

NOW = datetime.now(UTC).replace(microsecond=0)


def tick(
    product: Product, spec: ScheduleSpec = DAILY, *, at: datetime = NOW, tenants_per_run: int = 2
) -> tuple[Sequence[dg.RunRequest], str]:
    """What a tick asks for, and what it says if that is nothing."""
    schedule = snapshot_schedule(spec, Settings(tenants_per_run=tenants_per_run))
    resources = definitions().resources or {}
    with (
        product.instance() as instance,
        dg.build_schedule_context(
            instance=instance, scheduled_execution_time=at, resources={"database": resources["database"]}
        ) as context,
    ):
        data = schedule.evaluate_tick(context)
    return data.run_requests or [], data.skip_message or ""


def asked(product: Product, spec: ScheduleSpec = DAILY) -> Sequence[dg.RunRequest]:
    with product.instance() as instance:
        add_partitions(instance, product.tenant_ids)
    return tick(product, spec)[0]


def test_a_correlation_id_names_the_schedule_and_the_tick() -> None:
    moment = datetime.fromtimestamp(1703123456.789, UTC)
    assert scheduled_trigger("daily", moment).correlation_id == "scheduled_daily_1703123456789"


def test_a_tick_asks_for_one_run_per_batch_under_one_correlation_id(product: Product) -> None:
    requests = asked(product)
    batches = [TenantRange(first=a, last=b) for a, b in (("t00", "t01"), ("t02", "t03"), ("t04", "t04"))]
    assert all(
        request.tags.items() >= batch.tags().items() for request, batch in zip(requests, batches, strict=True)
    )
    expected = f"scheduled_daily_{round(NOW.timestamp() * 1000)}"
    assert {request.tags["dagster/ghl_snapshots_correlation_id"] for request in requests} == {expected}
    assert {request.tags["dagster/ghl_snapshots_source"] for request in requests} == {"scheduled"}


def test_a_tick_evaluated_twice_asks_by_the_same_run_keys(product: Product) -> None:
    first, second = ([request.run_key for request in asked(product)] for _ in range(2))
    assert first == second
    assert len(set(first)) == len(first)


def test_a_disabled_tenant_is_left_out_at_once(product: Product) -> None:
    """Also while its partition is still there."""
    with product.registry() as registry:
        registry.set_enabled("t01", enabled=False)
    ranges = [request.tags["dagster/asset_partition_range_start"] for request in asked(product)]
    assert ranges == ["t00", "t02", "t04"]


def test_without_partitions_a_tick_says_why_nothing_is_to_be_done(product: Product) -> None:
    requests, said = tick(product)
    assert not requests
    assert "tenant_partitions" in said


@pytest.mark.parametrize("spec", [HOURLY, DAILY, WEEKLY], ids=lambda spec: spec.name)
def test_a_tick_that_is_late_by_a_whole_period_is_not_made_up_for(
    product: Product, spec: ScheduleSpec
) -> None:
    """After a weekend without a daemon the next hour's capture is worth more than sixty that are due."""
    with product.instance() as instance:
        add_partitions(instance, product.tenant_ids)
    cron = spec.cron(Settings())
    now = datetime.now(UTC)
    *_, missed, latest = takewhile(lambda due: due <= now, cron.ticks(now - timedelta(days=15)))
    assert not tick(product, spec, at=missed)[0]
    assert tick(product, spec, at=latest)[0]


def test_the_schedules_run_by_default_at_the_times_that_were_agreed() -> None:
    schedules = [one for one in definitions().schedules or [] if isinstance(one, dg.ScheduleDefinition)]
    assert {schedule.name: schedule.cron_schedule for schedule in schedules} == {
        "hourly_critical": "0 * * * *",
        "daily_full": "0 2 * * *",
        "weekly_validation": "0 3 * * 0",
        "daily_run_history": "30 4 * * *",
    }
    assert {schedule.default_status for schedule in schedules} == {dg.DefaultScheduleStatus.RUNNING}


def test_the_schedules_follow_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GHL_SNAPSHOTS_HOURLY_CRON", "15 8-18 * * 1-5")
    monkeypatch.setenv("GHL_SNAPSHOTS_TIMEZONE", "America/Chicago")
    monkeypatch.setenv("GHL_SNAPSHOTS_TENANTS_PER_RUN", "7")
    defined = definitions()
    schedules = [one for one in defined.schedules or [] if isinstance(one, dg.ScheduleDefinition)]
    assert {schedule.execution_timezone for schedule in schedules} == {"America/Chicago"}
    assert schedules[0].cron_schedule == "15 8-18 * * 1-5"
    of_captures = [each for each in schedules if each.name != "daily_run_history"]
    assert all("every 7 tenants" in (schedule.description or "") for schedule in of_captures)
    [policy] = {
        asset.backfill_policy for asset in defined.assets or [] if isinstance(asset, dg.AssetsDefinition)
    }
    assert policy == dg.BackfillPolicy.multi_run(max_partitions_per_run=7)
