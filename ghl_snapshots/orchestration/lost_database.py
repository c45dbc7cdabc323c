"""A run that loses the database is started again, as one whose process died.

Dagster does not start a run again that a step failed, unless a tag of the run says so. The tag is stored
where the database was lost, so the step waits with its failure until that is back. If it stays away, the
run's process ends, and the sensor orphaned_runs finds the run.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import dagster as dg
from dagster_postgres.utils import DagsterPostgresException
from sqlalchemy.exc import DBAPIError

from ghl_snapshots.core.errors import DatabaseLostError
from ghl_snapshots.orchestration import dagster_tags

_Result = TypeVar("_Result")
_PATIENCE_SECONDS = 300.0
"""A managed failover takes 20 to 60 seconds."""
_PAUSE_SECONDS = 1.0


@contextmanager
def retried_if_database_is_lost(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Have the run started again if the block loses the database.

    Raises:
        dagster.Failure: in place of the DatabaseLostError, once the database is back.
    """
    try:
        yield
    except DatabaseLostError as error:
        tags = {dagster_tags.RETRY_ON_FAILURE: "true"}
        once_it_is_back(lambda: context.instance.add_run_tags(context.run.run_id, tags))
        raise dg.Failure(
            f"{error} The run is started again, and captures what is missing.", allow_retries=False
        ) from error


def once_it_is_back(write: Callable[[], _Result]) -> _Result:
    """Write to Dagster's database, again and again for five minutes while that is away."""
    give_up_at = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return write()
        except (DBAPIError, DagsterPostgresException):
            if time.monotonic() > give_up_at:
                raise
            time.sleep(_PAUSE_SECONDS)
