"""One webserver and one daemon for all the tests that need them; starting them costs seconds."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.accounts import Location
from ghl_snapshots_tests.end_to_end import graphql
from ghl_snapshots_tests.end_to_end.stack import Daemon, Webserver, running_stack
from ghl_snapshots_tests.ghl.rig import KEY
from ghl_snapshots_tests.orchestration.product import Product, running_product
from ghl_snapshots_tests.waiting import eventually


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder is slow."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@dataclass(frozen=True, slots=True)
class Stack:
    """The product with its webserver and daemon."""

    product: Product
    webserver: Webserver
    daemon: Daemon


@pytest.fixture(scope="package")
def stack(
    postgres: EmbeddedPostgres, empty_product: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Fifty tenants, a batch; the tests share them and what happens to them."""
    folder = tmp_path_factory.mktemp("stack")
    with (
        pytest.MonkeyPatch.context() as patch,
        running_product(postgres, empty_product, folder, tenants=50) as product,
    ):
        # No tick comes in between; test_unattended has some.
        for cadence in ("HOURLY", "DAILY", "WEEKLY"):
            patch.setenv(f"GHL_SNAPSHOTS_{cadence}_CRON", "0 0 1 1 *")
        accounts = product.simulator.accounts
        patch.setenv("GHL_OAUTH_CLIENT_ID", accounts.client_id)
        patch.setenv("GHL_OAUTH_CLIENT_SECRET", accounts.client_secret)
        patch.setenv("GHL_SNAPSHOTS_ENCRYPTION_KEYS", KEY)
        with running_stack(dict(os.environ), folder) as (webserver, daemon):
            yield Stack(product, webserver, daemon)


@pytest.fixture
def without_scopes(stack: Stack) -> Iterator[Callable[..., None]]:
    """A function that takes scopes away from a tenant's token; they are given back afterwards."""
    before: list[tuple[Location, set[str]]] = []

    def take(tenant: str, *scopes: str) -> None:
        location = stack.product.location(tenant)
        before.append((location, set(location.scopes)))
        location.scopes.difference_update(scopes)

    yield take
    for location, scopes in reversed(before):
        location.scopes = scopes


@pytest.fixture
def slow_ghl(stack: Stack) -> Iterator[None]:
    """Answers that take long enough for a run to be caught at a moment."""
    stack.product.simulator.latency_seconds = 0.3
    yield
    stack.product.simulator.latency_seconds = 0.0


@pytest.fixture(scope="package")
def partitions(stack: Stack) -> None:
    """Wait for the daemon's sensor to give every tenant its partition."""
    eventually(
        lambda: graphql.assets(stack.webserver)["workflows"]["partitionKeys"] == stack.product.tenant_ids,
        "the sensor has added a partition for each tenant",
    )


@pytest.fixture
def idle(stack: Stack, partitions: None) -> None:
    """Wait until no run works or waits, the tenants' first captures among them."""

    def over() -> bool:
        with stack.product.instance() as instance:
            runs = instance.get_runs()
        return bool(runs) and all(run.is_finished for run in runs)

    eventually(over, "all runs are over")
