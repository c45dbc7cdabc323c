"""A request that waits in the database becomes one run, in the order of its priority."""

from datetime import UTC, datetime

import dagster as dg

from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.model import Priority, SnapshotType
from ghl_snapshots.core.snapshot_requests import RequestStatus, SnapshotRequest
from ghl_snapshots.definitions import all_definitions, definitions
from ghl_snapshots.ledger.snapshot_requests import NewRequest, SnapshotRequests
from ghl_snapshots.orchestration.partitions import add_partitions
from ghl_snapshots.orchestration.request_sensor import api_requests
from ghl_snapshots_tests.orchestration.product import Product
from ghl_snapshots_tests.orchestration.sensing import evaluated

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def asked(product: Product, tenant: str = "t01", priority: Priority = Priority.NORMAL) -> SnapshotRequest:
    """An accepted request for a tenant's pipelines and workflows."""
    new_request = NewRequest(
        tenant_id=tenant,
        ghl_account_id=product.tenants[tenant].ghl_account_id,
        snapshot_types=(SnapshotType.WORKFLOWS, SnapshotType.PIPELINES),
        priority=priority,
        reason="before a migration",
    )
    with open_database(product.settings) as database:
        return SnapshotRequests(database).accept(new_request, now=datetime.now(UTC), limit=10)


def seen(product: Product, request: SnapshotRequest) -> SnapshotRequest:
    with open_database(product.settings) as database:
        return SnapshotRequests(database).get(request.request_id)


def requested(product: Product) -> list[dg.RunRequest]:
    return list(evaluated(product, api_requests).run_requests or [])


def test_without_requests_nothing_is_asked_for(product: Product) -> None:
    assert requested(product) == []


def test_a_request_becomes_a_run_that_carries_all_of_it(product: Product) -> None:
    request = asked(product, priority=Priority.HIGH)
    result = evaluated(product, api_requests)
    [run] = result.run_requests or []
    assert run.run_key == request.request_id
    assert {key.to_user_string() for key in run.asset_selection or []} == {"workflows", "pipelines"}
    assert run.tags["dagster/asset_partition_range_start"] == "t01"
    assert run.tags["dagster/ghl_snapshots_correlation_id"] == request.request_id
    assert run.tags["dagster/ghl_snapshots_source"] == "api"
    assert run.tags["reason"] == "before a migration"
    assert run.tags["dagster/priority"] == "10"
    [add] = result.dynamic_partitions_requests or []
    assert list(add.partition_keys) == ["t01"]


def test_the_most_urgent_request_comes_first(product: Product) -> None:
    ids = {priority: asked(product, priority=priority).request_id for priority in Priority}
    expected = [ids[Priority.HIGH], ids[Priority.NORMAL], ids[Priority.LOW]]
    assert [run.run_key for run in requested(product)] == expected


def test_a_request_is_followed_from_its_run_to_its_snapshots(product: Product) -> None:
    request = asked(product)
    [run_request] = requested(product)
    assert [again.run_key for again in requested(product)] == [request.request_id], "no run is known yet"
    with product.instance() as instance:
        add_partitions(instance, product.tenant_ids)
        job = all_definitions().resolve_job_def("full_snapshot")
        result = job.execute_in_process(
            instance=instance,
            asset_selection=run_request.asset_selection,
            tags=run_request.tags,
            run_config=QUIET,
        )
    followed = seen(product, request)
    assert followed.started_at is not None
    assert (followed.status, followed.run_id) == (RequestStatus.SUCCEEDED, result.run_id)
    assert requested(product) == []
    rows = product.rows("SELECT source, correlation_id FROM ghl_snapshot")
    assert [(row["source"], row["correlation_id"]) for row in rows] == [("api", request.request_id)] * 2


def test_a_run_that_waits_in_the_queue_is_known_to_its_request(product: Product) -> None:
    request = asked(product)
    [run_request] = requested(product)
    with product.instance() as instance:
        add_partitions(instance, product.tenant_ids)
        run = instance.create_run_for_job(
            definitions().resolve_job_def("full_snapshot"), tags=run_request.tags
        )
    assert requested(product) == []
    assert (seen(product, request).status, seen(product, request).run_id) == (
        RequestStatus.QUEUED,
        run.run_id,
    )


def test_a_tenant_that_was_disabled_meanwhile_ends_its_request(product: Product) -> None:
    request = asked(product)
    with product.registry() as registry:
        registry.set_enabled("t01", enabled=False)
    assert requested(product) == []
    assert seen(product, request).status is RequestStatus.FAILED
    assert "disabled" in (seen(product, request).error or "")
