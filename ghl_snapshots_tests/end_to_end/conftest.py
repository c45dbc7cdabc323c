"""One webserver and one daemon for all the tests that need them; starting them costs seconds."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots_tests.end_to_end import graphql
from ghl_snapshots_tests.end_to_end.stack import Webserver, eventually, running_stack
from ghl_snapshots_tests.orchestration.product import Product, running_product


@dataclass(frozen=True, slots=True)
class Stack:
    """The product with its webserver and daemon."""

    product: Product
    webserver: Webserver


@pytest.fixture(scope="package")
def stack(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Seven tenants; the tests share them and what happens to them."""
    folder = tmp_path_factory.mktemp("stack")
    with (
        running_product(postgres, folder, tenants=7) as product,
        running_stack(dict(os.environ), folder) as webserver,
    ):
        yield Stack(product, webserver)


@pytest.fixture(scope="package")
def partitions(stack: Stack) -> None:
    """Wait for the daemon's sensor to give every tenant its partition."""
    eventually(
        lambda: graphql.assets(stack.webserver)["workflows"]["partitionKeys"] == stack.product.tenant_ids,
        "the sensor has added a partition for each tenant",
    )
