"""Nobody asks, and yet: a new tenant's first snapshots, a tick's captures, their checks and their audit."""

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import dagster as dg
import pytest

from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.orchestration import dagster_tags
from ghl_snapshots_tests.end_to_end import graphql
from ghl_snapshots_tests.end_to_end.conftest import Stack
from ghl_snapshots_tests.end_to_end.stack import running_stack
from ghl_snapshots_tests.orchestration.product import running_product
from ghl_snapshots_tests.waiting import eventually

START = timedelta(seconds=30)
"""What webserver and daemon take at most to start on a machine with other work."""
TIMEOUT_SECONDS = 300


@pytest.fixture(scope="module")
def unattended(
    postgres: EmbeddedPostgres, empty_product: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A stack whose weekly schedule is due soon; the last of its three tenants is not enabled yet."""
    folder = tmp_path_factory.mktemp("unattended")
    with (
        pytest.MonkeyPatch.context() as patch,
        running_product(postgres, empty_product, folder, tenants=3) as product,
    ):
        # In the minute that begins when the stack is up, and on a slow machine four minutes later.
        soon = datetime.now(UTC) + START + timedelta(minutes=1)
        patch.setenv("GHL_SNAPSHOTS_WEEKLY_CRON", f"{soon.minute % 4}-59/4 * * * *")
        patch.setenv("GHL_SNAPSHOTS_TENANTS_PER_RUN", "1")
        with product.registry() as registry:
            registry.set_enabled("t02", enabled=False)
        with running_stack(dict(os.environ), folder) as (webserver, daemon):
            yield Stack(product, webserver, daemon)


def is_captured(stack: Stack, correlation_id: str, tenant: str) -> bool:
    """Whether everything of a tenant is stored for triggers of this form."""
    rows = stack.product.rows(
        "SELECT DISTINCT snapshot_type FROM ghl_snapshot WHERE correlation_id LIKE %s AND tenant_id = %s "
        "AND status = 'success' AND source = 'scheduled' ORDER BY 1",
        correlation_id,
        tenant,
    )
    return [row["snapshot_type"] for row in rows] == sorted(SnapshotType)


def runs_of_ticks(stack: Stack) -> Sequence[tuple[str, str]]:
    """The tick and the batch of each run that the schedule has asked for; of runs taken up again, none."""
    with stack.product.instance() as instance:
        runs = instance.get_runs(dg.RunsFilter(tags={"dagster/schedule_name": "weekly_validation"}))
    return [
        (run.tags[dagster_tags.CORRELATION_ID], run.tags["dagster/asset_partition_range_start"])
        for run in runs
        if run.parent_run_id is None
    ]


def test_a_new_tenant_is_captured_without_being_asked_for(unattended: Stack) -> None:
    assert not is_captured(unattended, "%", "t02")
    with unattended.product.registry() as registry:
        registry.set_enabled("t02", enabled=True)
    eventually(
        partial(is_captured, unattended, "scheduled\\_first\\_%", "t02"),
        "the new tenant has its first snapshots",
        TIMEOUT_SECONDS,
    )
    assert "t02" in graphql.assets(unattended.webserver)["workflows"]["partitionKeys"]


def test_a_tick_leads_to_snapshots_their_checks_and_their_audit(unattended: Stack) -> None:
    eventually(partial(runs_of_ticks, unattended), "a tick has asked for runs", TIMEOUT_SECONDS)
    unattended.daemon.kill()
    unattended.daemon.start()
    for tenant in ("t00", "t01"):
        eventually(
            partial(is_captured, unattended, "scheduled\\_weekly\\_%", tenant),
            "the tick's captures are stored",
            TIMEOUT_SECONDS,
        )
    eventually(
        lambda: graphql.check_status(unattended.webserver, "ledger/locations", "guarded") == "SUCCEEDED",
        "all checks were run",
        TIMEOUT_SECONDS,
    )
    [tick] = unattended.product.rows(
        "SELECT min(correlation_id) AS id FROM ghl_snapshot WHERE correlation_id LIKE 'scheduled_weekly_%%'"
    )
    audited = eventually(
        lambda: unattended.product.rows(
            "SELECT DISTINCT tenant_id FROM ghl_snapshot_audit_event WHERE success "
            "AND event_type = 'ghl_snapshot_full_run' AND correlation_id = %s ORDER BY 1",
            tick["id"],
        ),
        "the tick is in the audit trail",
        TIMEOUT_SECONDS,
    )
    assert {"tenant_id": "t00"} in audited or {"tenant_id": "t01"} in audited
    asked = runs_of_ticks(unattended)
    assert len(set(asked)) == len(asked), "the daemon's successor asked for no run again"
