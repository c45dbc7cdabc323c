"""The UI's way through the whole product: the real webserver, the real daemon, real runs."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.definitions import all_definitions
from ghl_snapshots.ghl.endpoints import endpoints_of
from ghl_snapshots.orchestration.checks import CHECKS
from ghl_snapshots.orchestration.failures import failures_of_run
from ghl_snapshots.orchestration.launch import capture_now
from ghl_snapshots.orchestration.partitions import TenantRange
from ghl_snapshots_tests.end_to_end import graphql
from ghl_snapshots_tests.end_to_end.conftest import Stack

# Another run of the same tenants would show their partitions as under way, whatever their result was before.
pytestmark = pytest.mark.usefixtures("idle")


def caused_by(trigger: str, events: Sequence[Any]) -> Sequence[Any]:
    """The events of one trigger; the stack's other tests and its daemon capture the same tenants."""
    return [event for event in events if event["correlation_id"] == trigger]


def red_and_green(stack: Stack, asset_name: str, tenants: Sequence[str]) -> tuple[list[str], list[str]]:
    """Which of the tenants' partitions the UI shows as red, and which as green."""
    statuses = graphql.assets(stack.webserver)[asset_name]["assetPartitionStatuses"]
    red, green = statuses["failedPartitions"], statuses["materializedPartitions"]
    return [one for one in tenants if one in red], [one for one in tenants if one in green]


def test_the_ui_lists_every_asset_with_its_description_and_group(stack: Stack) -> None:
    assets = graphql.assets(stack.webserver)
    assert set(assets) == {*SnapshotType, *(f"ledger/{kind}" for kind in SnapshotType)}
    for asset in (assets[kind] for kind in SnapshotType):
        assert "GHL call" in asset["description"]
        assert asset["groupName"] == "ghl_snapshots"
        assert "full_snapshot" in asset["jobNames"]


def test_one_tenant_materialized_by_hand_is_captured_and_shown(stack: Stack) -> None:
    run_id = graphql.launch(stack.webserver, ["calendars"], {"dagster/partition": "t05"})
    assert graphql.finished_run(stack.webserver, run_id)["status"] == "SUCCESS"
    [event] = caused_by(f"manual_{run_id}", graphql.materializations(stack.webserver, "calendars", ["t05"]))
    [row] = stack.product.rows("SELECT * FROM ghl_snapshot WHERE correlation_id = %s", f"manual_{run_id}")
    assert (row["tenant_id"], row["snapshot_type"], row["source"]) == ("t05", "calendars", "manual")
    assert event["snapshot_id"] == row["snapshot_id"]
    assert event["record_count"] == row["record_count"]
    assert event["checksum"] == row["checksum"]
    assert event["status"] == "success"


def test_a_backfill_over_some_tenants_shows_which_of_them_failed(
    stack: Stack, without_scopes: Callable[..., None]
) -> None:
    """Two of the tenants in the middle lack all scopes of a type; otherwise green, one event each."""
    scopes = {endpoint.scope for endpoint in endpoints_of(SnapshotType.AI_WORKERS)}
    for tenant in ("t02", "t04"):
        without_scopes(tenant, *scopes)
    tenants = stack.product.tenant_ids[:7]
    backfill_id = graphql.launch_backfill(stack.webserver, ["ai_workers", "locations"], tenants)
    backfill = graphql.finished_backfill(stack.webserver, backfill_id)
    assert backfill["status"] == "COMPLETED_FAILED"
    assert len(backfill["runs"]) == 1
    red, green = red_and_green(stack, "ai_workers", tenants)
    assert (red, green) == (["t02", "t04"], ["t00", "t01", "t03", "t05", "t06"])
    assert red_and_green(stack, "locations", tenants) == ([], tenants)
    trigger = f"manual_{backfill_id}"
    events = caused_by(trigger, graphql.materializations(stack.webserver, "ai_workers", tenants))
    assert sorted(event["partition"] for event in events) == green
    rows = stack.product.rows(
        "SELECT tenant_id, status FROM ghl_snapshot WHERE snapshot_type = 'ai_workers' "
        "AND correlation_id = %s ORDER BY tenant_id",
        trigger,
    )
    assert [row["tenant_id"] for row in rows] == tenants
    assert [row["tenant_id"] for row in rows if row["status"] == "failed"] == ["t02", "t04"]


def test_of_a_run_over_fifty_tenants_three_fail_alone(
    stack: Stack, without_scopes: Callable[..., None]
) -> None:
    """And for one type; its other 47 partitions and the other four assets are green, one event each."""
    poor = ["t07", "t25", "t49"]
    for tenant in poor:
        without_scopes(tenant, "opportunities.readonly")
    tenants = list(stack.product.tenant_ids)
    assert len(tenants) == 50
    whole = TenantRange(first=tenants[0], last=tenants[-1]).tags()
    run_id = graphql.launch(stack.webserver, list(SnapshotType), whole)
    assert graphql.finished_run(stack.webserver, run_id)["status"] == "FAILURE"
    for kind in SnapshotType:
        failed = poor if kind is SnapshotType.PIPELINES else []
        captured = [tenant for tenant in tenants if tenant not in failed]
        assert red_and_green(stack, kind, tenants) == (failed, captured)
        events = caused_by(f"manual_{run_id}", graphql.materializations(stack.webserver, kind, tenants))
        assert sorted(event["partition"] for event in events) == captured
    rows = stack.product.rows(
        "SELECT status, count(*) AS n FROM ghl_snapshot WHERE snapshot_type = 'pipelines' "
        "AND correlation_id = %s GROUP BY status ORDER BY status",
        f"manual_{run_id}",
    )
    assert [(row["status"], row["n"]) for row in rows] == [("failed", 3), ("success", 47)]
    with stack.product.instance() as instance:
        [failure] = failures_of_run(instance, run_id)
    assert failure.startswith("pipelines failed or is incomplete for 3 of 50 tenants.")
    assert all(f"{tenant} (failed): /opportunities/pipelines" in failure for tenant in poor)


def test_a_check_can_be_run_by_hand(stack: Stack) -> None:
    """Over all tenants, without choosing a partition."""
    run_id = graphql.launch(stack.webserver, [], {}, [("ledger/workflows", "counts_match")])
    assert graphql.finished_run(stack.webserver, run_id)["status"] == "SUCCESS"
    assert graphql.check_status(stack.webserver, "ledger/workflows", "counts_match") == "SUCCEEDED"


def test_no_run_on_demand_hides_the_last_check_results(
    stack: Stack, without_scopes: Callable[..., None]
) -> None:
    """Not one by the button on an asset's page, of a tenant that fails, or of a backfill that is ended."""
    run_id = graphql.launch_job(stack.webserver, "weekly_checks")
    assert graphql.finished_run(stack.webserver, run_id)["status"] == "SUCCESS"
    before = {kind: graphql.check_statuses(stack.webserver, f"ledger/{kind}") for kind in SnapshotType}
    for kind, results in before.items():
        assert set(results) == {check.name for check in CHECKS if kind in check.types}
    assert "NEVER" not in {status for results in before.values() for status in results.values()}
    without_scopes("t07", "opportunities.readonly")
    whole = TenantRange(first="t06", last="t07").tags()
    run_id = graphql.launch(stack.webserver, ["pipelines", "workflows"], whole)
    assert graphql.finished_run(stack.webserver, run_id)["status"] == "FAILURE"
    again = graphql.reexecute(stack.webserver, run_id)
    assert graphql.finished_run(stack.webserver, again)["status"] == "FAILURE"
    backfill_id = graphql.launch_backfill(stack.webserver, list(SnapshotType), ["t06", "t07"])
    graphql.cancel_backfill(stack.webserver, backfill_id)
    graphql.finished_backfill(stack.webserver, backfill_id)
    after = {kind: graphql.check_statuses(stack.webserver, f"ledger/{kind}") for kind in SnapshotType}
    assert after == before


def test_from_failure_captures_what_failed_though_the_last_tenant_was_disabled_since(
    stack: Stack, without_scopes: Callable[..., None]
) -> None:
    """Of a run of the command line; of the tags the list of runs shows one, outside of Dagster's prefix."""
    without_scopes("t48", "opportunities.readonly")
    critical = [SnapshotType.PIPELINES, SnapshotType.WORKFLOWS]
    [run_id] = capture_now(all_definitions(), ["t47", "t48", "t49"], critical, reason="test").run_ids
    stack.product.location("t48").scopes.add("opportunities.readonly")
    with stack.product.registry() as registry, stack.product.instance() as instance:
        registry.set_enabled("t49", enabled=False)
        try:
            instance.delete_dynamic_partition("tenants", "t49")
            again = graphql.reexecute(stack.webserver, run_id, "FROM_FAILURE")
            run = graphql.finished_run(stack.webserver, again)
        finally:
            registry.set_enabled("t49", enabled=True)
            instance.add_dynamic_partitions("tenants", ["t49"])
    assert run["status"] == "SUCCESS"
    shown = {tag["key"]: tag["value"] for tag in run["tags"]}
    assert {key: value for key, value in shown.items() if not key.startswith("dagster/")} == {
        "tenants": "t47 to t48"
    }
    trigger = shown["dagster/ghl_snapshots_correlation_id"]
    rows = stack.product.rows(
        "SELECT tenant_id, snapshot_type FROM ghl_snapshot WHERE correlation_id = %s", trigger
    )
    assert [(row["tenant_id"], row["snapshot_type"]) for row in rows] == [("t48", "pipelines")]


def test_the_captured_assets_have_no_checks_that_a_launch_could_select(stack: Stack) -> None:
    assert all(not graphql.check_statuses(stack.webserver, kind) for kind in SnapshotType)
