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
from ghl_snapshots.ledger.failures import says_lost

_Result = TypeVar("_Result")
_PATIENCE_SECONDS = 300.0
"""A managed failover takes 20 to 60 seconds."""
_PAUSE_SECONDS = 1.0
_OPERATIONAL = (sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError, sqlalchemy.exc.InternalError)
_WITHOUT_CODE = {
    error.__name__ for error in (DagsterPostgresException, psycopg.OperationalError, *_OPERATIONAL)
}
_CODES: dict[str, str] = {
    name: error.sqlstate for name, error in vars(psycopg.errors).items() if getattr(error, "sqlstate", None)
}
"""An event of Dagster's has an error's class by name; psycopg2's class of a code is named like psycopg's."""


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
    """Whether it is a step's failure by a lost database, in whatever errors that is wrapped.

    An error with a code decides, since SQLAlchemy's around it says only that the server failed.
    """
    error = event.step_failure_data.error if event is not None and event.is_step_failure else None
    lost = False
    while error is not None:
        name = error.cls_name or ""
        if name == DatabaseLostError.__name__:
            return True
        if name in _CODES:
            return says_lost(_CODES[name], error.message)
        lost = lost or (name in _WITHOUT_CODE and says_lost(None, error.message))
        error = error.cause
    return lost


def _is_lost(error: DBAPIError | DagsterPostgresException) -> bool:
    """The same of an error at hand; Dagster's own says that it could not connect."""
    cause = error.__cause__ if isinstance(error, DagsterPostgresException) else error
    if not isinstance(cause, DBAPIError):
        return True
    return isinstance(cause, _OPERATIONAL) and says_lost(
        _CODES.get(type(cause.orig).__name__), str(cause.orig)
    )


def once_it_is_back(write: Callable[[], _Result]) -> _Result:
    """Write to Dagster's database, again and again for five minutes while that is away.

    A write whose answer was cut may have been made, and is made again: Dagster gives an event no key to find
    it by, and stores what it says of an asset after it. An event that is there twice is harmless, since all
    that reads them asks for the newest one, or makes sure itself that it acts once; one that is missing, or
    without what follows it, hides a materialization.
    """
    give_up_at = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return write()
        except (DBAPIError, DagsterPostgresException) as error:
            if not _is_lost(error) or time.monotonic() > give_up_at:
                raise
            time.sleep(_PAUSE_SECONDS)
