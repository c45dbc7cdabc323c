"""What the tests of run launchers stand on."""

from collections.abc import Iterator

import dagster as dg
import pytest


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Dagster's, in memory."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance
