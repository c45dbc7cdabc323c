"""A run that loses the database is started again, as one whose process died.

Dagster does not start a run again that a step failed, unless a tag of the run says so. Dagster's storage sets
the tag before it stores the failure of a step that lost the database, by a query of ours or by one of
Dagster's own, which reads tags and partitions in the middle of a step. Both wait until the database is back.
If it stays away, the run's process ends, and the sensor orphaned_runs finds the run.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import dagster as dg
import psycopg
import sqlalchemy.exc
from dagster_postgres.utils import DagsterPostgresException
from sqlalchemy.exc import DBAPIError

from ghl_snapshots.core.errors import DatabaseLostError

_Result = TypeVar("_Result")
_PATIENCE_SECONDS = 300.0
"""A managed failover takes 20 to 60 seconds."""
_PAUSE_SECONDS = 1.0
_LOST = {
    error.__name__
    for error in (
        DatabaseLostError,
        DagsterPostgresException,
        psycopg.OperationalError,  # and psycopg2's, by the name
        sqlalchemy.exc.OperationalError,
        sqlalchemy.exc.InterfaceError,
    )
}
"""An event of Dagster's has an error's class by name; a full disk and the like have other names."""


@contextmanager
def told_if_database_is_lost() -> Iterator[None]:
    """Say what happens to the run if the block loses the database.

    Raises:
        dagster.Failure: in place of the DatabaseLostError.
    """
    try:
        yield
    except DatabaseLostError as error:
        raise dg.Failure(
            f"{error} The run is started again, and captures what is missing.", allow_retries=False
        ) from error


def lost_the_database(event: dg.DagsterEvent | None) -> bool:
    """Whether it is a step's failure by a lost database, in whatever errors that is wrapped."""
    error = event.step_failure_data.error if event is not None and event.is_step_failure else None
    while error is not None:
        if error.cls_name in _LOST:
            return True
        error = error.cause
    return False


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
