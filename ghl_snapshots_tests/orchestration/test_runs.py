"""One run, many tenants, each with its own result."""

import logging
import threading
from collections.abc import Collection, Mapping

import dagster as dg
import pytest

from ghl_snapshots.core.model import Snapshot, SnapshotType, Status
from ghl_snapshots.definitions import all_definitions
from ghl_snapshots.orchestration import dagster_tags
from ghl_snapshots.orchestration.launch import LaunchResult, capture_now
from ghl_snapshots.orchestration.partitions import TenantRange, add_partitions, tenants
from ghl_snapshots.simulator.faults import Fault
from ghl_snapshots_tests.held_answers import HoldBack
from ghl_snapshots_tests.orchestration.product import Product

pytestmark = pytest.mark.slow

PLOTTED = (dg.IntMetadataValue, dg.FloatMetadataValue)
"""What the UI draws over time."""
CRITICAL = (SnapshotType.PIPELINES, SnapshotType.WORKFLOWS)


def captured(product: Product, *tenant_ids: str, types: Collection[SnapshotType] = CRITICAL) -> LaunchResult:
    launched = capture_now(all_definitions(), tenant_ids or product.tenant_ids, types, reason="test")
    for failure in launched.failures:
        print(failure)  # noqa: T201 (pytest shows it if the test fails)
    return launched


def statuses(product: Product, snapshot_type: SnapshotType) -> Mapping[str, str]:
    """What the UI shows of each partition."""
    with product.instance() as instance:
        partitions = instance.get_dynamic_partitions(tenants.name or "")
        found = instance.get_status_by_partition(dg.AssetKey(snapshot_type.value), partitions, tenants) or {}
    return {partition: status.value if status else "never" for partition, status in found.items()}


def events(product: Product, snapshot_type: SnapshotType) -> Mapping[str, list[dg.AssetMaterialization]]:
    """The materializations of each partition."""
    by_partition: dict[str, list[dg.AssetMaterialization]] = {}
    with product.instance() as instance:
        for record in instance.fetch_materializations(dg.AssetKey(snapshot_type.value), limit=1000).records:
            assert record.asset_materialization
            by_partition.setdefault(record.partition_key or "", []).append(record.asset_materialization)
    return by_partition


def test_one_run_captures_a_range_of_tenants(product: Product) -> None:
    launched = captured(product, types=tuple(SnapshotType))
    assert launched.success
    assert len(launched.run_ids) == 1
    stored = {(snapshot.tenant_id, snapshot.snapshot_type) for snapshot in launched.snapshots}
    assert stored == {(tenant, kind) for tenant in product.tenant_ids for kind in SnapshotType}
    assert {snapshot.status for snapshot in launched.snapshots} == {Status.SUCCESS}
    for kind in SnapshotType:
        assert statuses(product, kind) == dict.fromkeys(product.tenant_ids, "MATERIALIZED")


def test_a_materialization_tells_all_about_its_snapshot(product: Product) -> None:
    launched = captured(product, "t00", types=[SnapshotType.WORKFLOWS])
    [snapshot] = launched.snapshots
    [event] = events(product, SnapshotType.WORKFLOWS)["t00"]
    values = {name: value.value for name, value in event.metadata.items()}
    assert (
        values
        | {
            "record_count": snapshot.record_count,
            "status": "success",
            "checksum": snapshot.checksum,
            "duration_seconds": snapshot.duration_ms / 1000,
            "api_calls": 1,
            "new_entities": snapshot.record_count,
            "new_bytes": launched.new_bytes,
            "snapshot_id": snapshot.snapshot_id,
            "correlation_id": snapshot.correlation_id,
        }
        == values
    )
    plotted = {name for name, value in event.metadata.items() if isinstance(value, PLOTTED)}
    assert plotted == {
        "record_count",
        "dagster/row_count",
        "duration_seconds",
        "api_calls",
        "new_entities",
        "new_bytes",
        "missing_parts",
        "left_out",
        "duplicates",
    }
    assert (event.tags or {})["dagster/data_version"] == snapshot.checksum
    assert f"ghl-snapshots show {snapshot.snapshot_id}" in str(values["read_it"])
    [row] = product.rows(str(values["read_it"]).split("`")[3])
    assert row["payload"]


def test_failed_tenants_are_red_and_the_others_green_with_one_event_each(product: Product) -> None:
    for tenant in ("t01", "t03"):
        product.location(tenant).scopes.discard("workflows.readonly")
    launched = captured(product)
    assert statuses(product, SnapshotType.WORKFLOWS) == {
        "t00": "MATERIALIZED",
        "t01": "FAILED",
        "t02": "MATERIALIZED",
        "t03": "FAILED",
        "t04": "MATERIALIZED",
    }
    assert {tenant: len(found) for tenant, found in events(product, SnapshotType.WORKFLOWS).items()} == {
        "t00": 1,
        "t02": 1,
        "t04": 1,
    }
    assert statuses(product, SnapshotType.PIPELINES) == dict.fromkeys(product.tenant_ids, "MATERIALIZED")
    [failure] = launched.failures
    assert failure.startswith("workflows failed or is incomplete for 2 of 5 tenants.")
    assert "t01 (failed): /workflows/" in failure
    assert "workflows.readonly" in failure
    rows = product.rows(
        "SELECT tenant_id, status FROM ghl_snapshot WHERE snapshot_type = 'workflows' ORDER BY tenant_id"
    )
    assert [row["status"] for row in rows] == ["success", "failed", "success", "failed", "success"]


def test_one_cause_in_all_types_is_told_once_and_the_list_of_runs_says_how_many_failed(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_t01", "pit-refused")
    launched = captured(product)
    [failure] = launched.failures
    first, line = failure.splitlines()
    assert first == "1 tenant failed or incomplete."
    assert line.startswith("t01 (pipelines failed, workflows failed): /opportunities/pipelines of location ")
    assert line.count("GHL does not accept the token of env:TOKEN_t01") == 1
    with product.instance() as instance:
        [run] = [instance.get_run_by_id(run_id) for run_id in launched.run_ids]
    assert run is not None
    assert run.tags["tenants"] == "1 of 5 failed: t00 to t04"


def test_a_run_of_an_older_release_fails_before_it_asks_ghl_for_anything(product: Product) -> None:
    product.rows("INSERT INTO ghl.schema_version VALUES (99, sha256('')) RETURNING version")
    [failure] = captured(product).failures
    assert "newer than this release's" in failure
    assert "use a newer release" in failure
    assert not product.simulator.request_log


def test_a_partly_captured_tenant_is_green_and_named_in_the_failure(product: Product) -> None:
    product.location("t02").scopes.discard("calendars/groups.readonly")
    launched = captured(product, types=[SnapshotType.CALENDARS])
    assert set(statuses(product, SnapshotType.CALENDARS).values()) == {"MATERIALIZED"}
    [event] = events(product, SnapshotType.CALENDARS)["t02"]
    assert event.metadata["status"].value == "partial_failure"
    assert "t02 (partial_failure): /calendars/groups" in launched.failures[0]


def test_a_disabled_tenant_and_an_unknown_one_fail_alone(product: Product) -> None:
    with product.registry() as registry:
        registry.set_enabled("t01", enabled=False)
    launched = captured(product, *product.tenant_ids, "stranger", types=[SnapshotType.PIPELINES])
    assert statuses(product, SnapshotType.PIPELINES) == {
        **dict.fromkeys(product.tenant_ids, "MATERIALIZED"),
        "t01": "FAILED",
        "stranger": "FAILED",
    }
    assert "t01 (disabled)" in launched.failures[0]
    assert "stranger (unknown)" in launched.failures[0]


def test_the_runs_log_tells_the_story_of_each_tenant(product: Product) -> None:
    """One line each: the materialization's description, or an error where nothing was captured."""
    product.location("t01").scopes.discard("workflows.readonly")
    [run_id] = captured(product, types=[SnapshotType.WORKFLOWS]).run_ids
    with product.instance() as instance:
        log = instance.all_logs(run_id)
    events = {
        entry.dagster_event.partition: entry.dagster_event.step_materialization_data.materialization
        for entry in log
        if entry.dagster_event and entry.dagster_event.is_step_materialization
    }
    assert sorted(filter(None, events)) == ["t00", "t02", "t03", "t04"]
    for tenant, event in events.items():
        assert (event.description or "").startswith(f"{tenant}: workflows success, ")
    errors = [entry.user_message for entry in log if entry.level == logging.ERROR]
    [error] = [text for text in errors if text.startswith("t")]
    assert error.startswith("t01: workflows failed: /workflows/")


def test_tenants_apart_from_each_other_share_a_correlation_id_over_their_runs(product: Product) -> None:
    captured(product)
    launched = captured(product, "t00", "t01", "t04", types=[SnapshotType.PIPELINES])
    assert len(launched.run_ids) == 2
    assert {snapshot.correlation_id for snapshot in launched.snapshots} == {launched.correlation_id}
    assert {snapshot.tenant_id for snapshot in launched.snapshots} == {"t00", "t01", "t04"}


def test_an_unchanged_tenant_keeps_its_data_version(product: Product) -> None:
    for _ in range(2):
        captured(product, "t00", types=[SnapshotType.PIPELINES])
    first, second = events(product, SnapshotType.PIPELINES)["t00"]
    assert (first.tags or {})["dagster/data_version"] == (second.tags or {})["dagster/data_version"]
    assert {first.metadata["new_bytes"].value, second.metadata["new_bytes"].value} > {0}


def test_snapshots_are_handed_over_while_the_run_goes_on(product: Product) -> None:
    """The last tenant's answer is sent only when the others' snapshots have been handed over."""
    answer = HoldBack(threading.Event(), threading.Event())
    product.simulator.inject(
        Fault(
            effect=answer, route="/opportunities/pipelines", location_id=product.tenants["t04"].ghl_account_id
        )
    )
    handed_over: list[str] = []

    def on_snapshot(snapshot: Snapshot) -> None:
        handed_over.append(snapshot.tenant_id)
        if len(handed_over) == 4:
            answer.released.set()

    launched = capture_now(
        all_definitions(),
        product.tenant_ids,
        [SnapshotType.PIPELINES],
        reason="test",
        on_snapshot=on_snapshot,
    )
    assert launched.success
    assert sorted(handed_over) == product.tenant_ids
    assert handed_over[-1] == "t04"


def test_a_snapshot_that_holds_nothing_is_handed_over_too(product: Product) -> None:
    """Its event is an observation, since a materialization would make its partition green."""
    product.location("t01").scopes.discard("workflows.readonly")
    launched = captured(product, "t00", "t01", types=[SnapshotType.WORKFLOWS])
    assert {snapshot.tenant_id: snapshot.status for snapshot in launched.snapshots} == {
        "t00": Status.SUCCESS,
        "t01": Status.FAILED,
    }
    with product.instance() as instance:
        [record] = instance.fetch_observations(dg.AssetKey("workflows"), limit=10).records
    assert record.partition_key == "t01"


def test_a_launch_leaves_the_terminal_to_its_caller(
    product: Product, capfd: pytest.CaptureFixture[str]
) -> None:
    product.location("t01").scopes.discard("workflows.readonly")
    capture_now(all_definitions(), product.tenant_ids, CRITICAL, reason="test")
    assert capfd.readouterr() == ("", "")


def test_a_trigger_that_is_taken_up_again_captures_only_what_it_lacks(product: Product) -> None:
    """As after a crash; a failed capture counts as well, since it is that trigger's result."""
    product.location("t01").scopes.discard("workflows.readonly")
    first = captured(product, "t00", "t01", types=[SnapshotType.WORKFLOWS])
    product.simulator.clear_request_log()
    with product.instance() as instance:
        add_partitions(instance, product.tenant_ids)
        result = (
            all_definitions()
            .resolve_job_def("full_snapshot")
            .execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey("workflows")],
                tags={
                    dagster_tags.CORRELATION_ID: first.correlation_id,
                    **TenantRange(first="t00", last="t02").tags(),
                },
                raise_on_error=False,
            )
        )
    assert len(product.simulator.request_log) == 1, "t02 alone was lacking"
    assert not result.success, "t01 is still not captured"
    assert statuses(product, SnapshotType.WORKFLOWS) == {
        "t00": "MATERIALIZED",
        "t01": "FAILED",
        "t02": "MATERIALIZED",
        **dict.fromkeys(["t03", "t04"], "never"),
    }
    rows = product.rows("SELECT tenant_id FROM ghl_snapshot ORDER BY tenant_id")
    assert [row["tenant_id"] for row in rows] == ["t00", "t01", "t02"]
