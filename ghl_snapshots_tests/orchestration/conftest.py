"""What the tests of the Dagster shell share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots_tests.orchestration.product import Product, running_product

# Dagster 1.13 asks pydantic for the fields of a resource that has none by their old name.
_OLD_NAME = "ignore:The `__fields__` attribute is deprecated:pydantic.warnings.PydanticDeprecatedSince20"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let that one warning pass in the tests of this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(_OLD_NAME))


@pytest.fixture
def product(postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[Product]:
    """The product with five tenants."""
    with running_product(postgres, tmp_path, tenants=5) as running:
        yield running
