"""Runs on hosts of their own: a host may die, and what is canceled stays so."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import product as pairs

import pytest

from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.model import Priority, SnapshotType
from ghl_snapshots.ledger.verification import Verification
from ghl_snapshots.orchestration.partitions import TenantRange
from ghl_snapshots.orchestration.schedules import scheduled_trigger
from ghl_snapshots.orchestration.trigger import trigger_tags
from ghl_snapshots_tests.end_to_end import graphql
from ghl_snapshots_tests.end_to_end.exchanges import accounts_kept, exchanges, held_exchange
from ghl_snapshots_tests.end_to_end.hosts import WORKERS, Hosts, running_hosts, tcp_postgres
from ghl_snapshots_tests.ghl.rig import KEY
from ghl_snapshots_tests.held_answers import TIMEOUT_SECONDS
from ghl_snapshots_tests.orchestration.product import Product, product_template, running_product
from ghl_snapshots_tests.waiting import eventually

TENANTS = 12


@dataclass(frozen=True, slots=True)
class Deployment:
    """The product on its hosts."""

    product: Product
    hosts: Hosts


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("hosts")
    with pytest.MonkeyPatch.context() as patch, tcp_postgres(folder / "postgres") as server:
        for cadence in ("HOURLY", "DAILY", "WEEKLY"):
            patch.setenv(f"GHL_SNAPSHOTS_{cadence}_CRON", "0 0 1 1 *")
        template = product_template(server, folder / "product")
        with running_product(server, template, folder / "product", tenants=TENANTS) as product:
            accounts = product.simulator.accounts
            patch.setenv("GHL_OAUTH_CLIENT_ID", accounts.client_id)
            patch.setenv("GHL_OAUTH_CLIENT_SECRET", accounts.client_secret)
            patch.setenv("GHL_SNAPSHOTS_ENCRYPTION_KEYS", KEY)
            with running_hosts(dict(os.environ), folder) as hosts:
                yield Deployment(product, hosts)


@pytest.fixture
def partitions(deployment: Deployment) -> None:
    """Wait until the sensor's first captures are over."""

    def over() -> bool:
        with deployment.product.instance() as instance:
            runs = instance.get_runs()
        return bool(runs) and all(run.is_finished for run in runs)

    eventually(over, "the tenants' first captures are over")


@pytest.fixture
def slow_ghl(deployment: Deployment) -> Iterator[None]:
    deployment.product.simulator.latency_seconds = 0.3
    yield
    deployment.product.simulator.latency_seconds = 0.0


def stored(deployment: Deployment, correlation_id: str) -> list[tuple[object, object, object]]:
    rows = deployment.product.rows(
        "SELECT tenant_id, snapshot_type, status FROM ghl_snapshot WHERE correlation_id = %s ORDER BY 1, 2",
        correlation_id,
    )
    return [(row["tenant_id"], row["snapshot_type"], row["status"]) for row in rows]


def wait_until_begun(deployment: Deployment, run_id: str) -> None:
    webserver = deployment.hosts.webserver
    eventually(lambda: graphql.run_of(webserver, run_id)["status"] == "STARTED", "the run works")


def worker_of(deployment: Deployment, run_id: str) -> str:
    """The host that executes a run."""
    pid = graphql.worker_pid(deployment.hosts.webserver, run_id)
    return next(name for name in WORKERS if os.getpgid(pid) == deployment.hosts.running[name].pid)


@pytest.mark.usefixtures("partitions", "slow_ghl")
def test_what_a_host_leaves_undone_when_it_dies_another_one_does(deployment: Deployment) -> None:
    hosts, tenants = deployment.hosts, deployment.product.tenant_ids
    deployment.product.simulator.latency_seconds = 3.0  # neither has finished when both have begun
    trigger = scheduled_trigger("hosts", datetime.now(UTC))
    half = len(tenants) // 2
    runs = []
    for batch in (tenants[:half], tenants[half:]):
        tags = (
            trigger_tags(trigger, priority=Priority.LOW) | TenantRange(first=batch[0], last=batch[-1]).tags()
        )
        runs.append(graphql.launch(hosts.webserver, list(SnapshotType), tags))
    # One that has not begun when its host dies is only started again after three minutes.
    for run_id in runs:
        wait_until_begun(deployment, run_id)
    deployment.product.simulator.latency_seconds = 0.3
    victim = worker_of(deployment, runs[0])
    eventually(lambda: len(stored(deployment, trigger.correlation_id)) > 3, "it is time to kill")
    hosts.kill(victim)
    expected = [(tenant, kind, "success") for tenant, kind in pairs(tenants, sorted(SnapshotType))]
    eventually(lambda: stored(deployment, trigger.correlation_id) == expected, "everything is stored, once")
    [retry] = eventually(partial(graphql.retries, hosts.webserver, runs[0]), "the run is taken up again")
    assert graphql.finished_run(hosts.webserver, retry["runId"])["status"] == "SUCCESS"
    hosts.start(victim)
    with open_database(deployment.product.settings) as database:
        assert not list(Verification(database, deep=True))


@pytest.mark.usefixtures("partitions", "slow_ghl")
def test_a_run_that_is_canceled_stays_canceled(deployment: Deployment) -> None:
    hosts = deployment.hosts
    tags = TenantRange(first="t00", last="t11").tags()
    run_id = graphql.launch(hosts.webserver, list(SnapshotType), tags)
    wait_until_begun(deployment, run_id)
    graphql.cancel_run(hosts.webserver, run_id)
    run = graphql.finished_run(hosts.webserver, run_id)
    assert run["status"] == "CANCELED"
    assert not graphql.retries(hosts.webserver, run_id)


@pytest.mark.usefixtures("partitions")
def test_a_worker_that_is_stopped_and_a_run_that_is_canceled_finish_their_exchange(
    deployment: Deployment,
) -> None:
    hosts, product = deployment.hosts, deployment.product
    held = {tenant_id: held_exchange(product, tenant_id) for tenant_id in ("t03", "t07")}
    runs = {
        tenant_id: graphql.launch(
            hosts.webserver, [SnapshotType.WORKFLOWS], TenantRange(first=tenant_id, last=tenant_id).tags()
        )
        for tenant_id in held
    }
    for exchange in held.values():
        assert exchange.reached.wait(TIMEOUT_SECONDS)
    graphql.cancel_run(hosts.webserver, runs["t03"])
    stopped = worker_of(deployment, runs["t07"])
    hosts.running[stopped].terminate()
    for exchange in held.values():
        exchange.released.set()
    assert graphql.finished_run(hosts.webserver, runs["t03"])["status"] == "CANCELED"
    [retry] = eventually(partial(graphql.retries, hosts.webserver, runs["t07"]), "the run is taken up again")
    assert graphql.finished_run(hosts.webserver, retry["runId"])["status"] == "SUCCESS"
    assert accounts_kept(product, held)
    assert exchanges(product) == len(held)
    hosts.running[stopped].wait()
    hosts.start(stopped)
