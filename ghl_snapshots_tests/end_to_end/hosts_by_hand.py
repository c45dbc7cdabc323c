"""The long test of several hosts, which `make hosts` runs: the ticks of a day while what they need dies.

A hundred tenants and an agency. In the hourly tick the daemon is replaced while it creates the runs, a worker
dies, and the broker dies with all that it holds; the daily tick is left alone.
"""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import dagster as dg
import pytest

from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.core.tokens import StoredTokens
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.ledger.verification import Verification
from ghl_snapshots.orchestration import dagster_tags
from ghl_snapshots.orchestration.schedules import DAILY, HOURLY, ScheduleSpec
from ghl_snapshots_tests.end_to_end.hosts import running_hosts, tcp_postgres
from ghl_snapshots_tests.end_to_end.test_hosts import Deployment
from ghl_snapshots_tests.ghl.rig import KEY, tenant_of
from ghl_snapshots_tests.orchestration.product import product_template, running_product
from ghl_snapshots_tests.waiting import eventually

TENANTS = 100
TIMEOUT_SECONDS = 600


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("hosts")
    with pytest.MonkeyPatch.context() as patch, tcp_postgres(folder / "postgres") as server:
        template = product_template(server, folder / "product")
        hourly = datetime.now(UTC) + timedelta(minutes=3)
        daily = hourly + timedelta(minutes=4)
        patch.setenv("GHL_SNAPSHOTS_HOURLY_CRON", f"{hourly.minute} {hourly.hour} * * *")
        patch.setenv("GHL_SNAPSHOTS_DAILY_CRON", f"{daily.minute} {daily.hour} * * *")
        patch.setenv("GHL_SNAPSHOTS_WEEKLY_CRON", "0 0 1 1 *")
        patch.setenv("GHL_SNAPSHOTS_TENANTS_PER_RUN", "10")
        patch.setenv("GHL_SNAPSHOTS_ENCRYPTION_KEYS", KEY)
        with running_product(
            server, template, folder / "product", tenants=TENANTS, agency_locations=10
        ) as product:
            accounts = product.simulator.accounts
            [agency] = accounts.agencies.values()
            patch.setenv("GHL_OAUTH_CLIENT_ID", accounts.client_id)
            patch.setenv("GHL_OAUTH_CLIENT_SECRET", accounts.client_secret)
            tenant = tenant_of(agency, credential="oauth")
            with open_database(product.settings) as database, product.registry() as registry:
                registry.add(tenant)
                with OAuthTokens(database, KEY).locked(tenant.tenant_id) as locked:
                    locked.install(StoredTokens(refresh_token=agency.refresh_token))
            with running_hosts(dict(os.environ), folder) as hosts:
                yield Deployment(product, hosts)


def runs_of(deployment: Deployment, spec: ScheduleSpec) -> list[dg.DagsterRun]:
    """All runs of the schedule's tick, those that were started in another's place included."""
    with deployment.product.instance() as instance:
        runs = instance.get_runs(dg.RunsFilter(tags={"dagster/schedule_name": spec.schedule_name}))
    return list(runs)


def batches(deployment: Deployment, spec: ScheduleSpec) -> dict[str, list[dg.DagsterRun]]:
    """The tick's runs by the first tenant of their batch, the newest first."""
    found: dict[str, list[dg.DagsterRun]] = {}
    for run in runs_of(deployment, spec):
        if dagster_tags.RANGE_START in run.tags:
            found.setdefault(run.tags[dagster_tags.RANGE_START], []).append(run)
    return found


def captured(deployment: Deployment, spec: ScheduleSpec) -> list[tuple[object, object, object, object]]:
    rows = deployment.product.rows(
        "SELECT tenant_id, snapshot_type, status, count(*) AS times FROM ghl_snapshot "
        "WHERE correlation_id LIKE %s GROUP BY 1, 2, 3 ORDER BY 1, 2",
        f"scheduled\\_{spec.name}\\_%",
    )
    return [(row["tenant_id"], row["snapshot_type"], row["status"], row["times"]) for row in rows]


def expected(deployment: Deployment, spec: ScheduleSpec) -> list[tuple[object, object, object, object]]:
    with deployment.product.registry() as registry:
        tenants = sorted(tenant.tenant_id for tenant in registry.list())
    kinds = sorted(spec.snapshot_types)
    return [(tenant, kind.value, "success", 1) for tenant in tenants for kind in kinds]


def is_over(deployment: Deployment, spec: ScheduleSpec) -> bool:
    """Whether all batches are captured, by runs whose last one ended well."""
    newest = [runs[0] for runs in batches(deployment, spec).values()]
    return len(newest) >= 11 and all(run.status is dg.DagsterRunStatus.SUCCESS for run in newest)


def test_a_tick_is_captured_once_whatever_dies_meanwhile(deployment: Deployment) -> None:
    hosts, simulator = deployment.hosts, deployment.product.simulator
    eventually(lambda: batches(deployment, HOURLY), "the tick has asked for a run", TIMEOUT_SECONDS)
    hosts.kill("daemon")
    hosts.start("daemon")
    simulator.latency_seconds = 0.2
    eventually(lambda: len(captured(deployment, HOURLY)) > 10, "runs work", TIMEOUT_SECONDS)
    hosts.kill("worker-1")
    hosts.broker.stop()
    time.sleep(10)  # an outage that the workers and the daemon notice
    hosts.broker.start()
    hosts.start("worker-1")
    simulator.latency_seconds = 0.0
    eventually(partial(is_over, deployment, HOURLY), "the tick's runs ended well", TIMEOUT_SECONDS)
    assert captured(deployment, HOURLY) == expected(deployment, HOURLY)


def test_the_next_tick_is_as_if_nothing_had_happened(deployment: Deployment) -> None:
    eventually(partial(is_over, deployment, DAILY), "the tick's runs ended well", TIMEOUT_SECONDS)
    assert captured(deployment, DAILY) == expected(deployment, DAILY)
    assert {SnapshotType(str(row[1])) for row in captured(deployment, DAILY)} == set(SnapshotType)
    requests = deployment.product.simulator.request_log
    assert [request.route for request in requests].count("/oauth/token") == 1
    with open_database(deployment.product.settings) as database:
        assert not list(Verification(database, deep=True))
