"""Dagster's own storage in PostgreSQL over a pool of connections, as dagster.yaml names it.

dagster-postgres opens a connection for each of its statements and closes it again, which takes client and
server more time than all the rest: a hundred a second while nothing happens, several for each event of a run.
Only its webserver reuses one. Here runs, events and schedules share a pool, whose connections are closed with
the instance.

And the daemon that retries failed runs is given an event only when it is settled. Dagster stores a run's
failure first and the run's new status after it; a daemon that looks in between finds a run that has not
failed, goes on to the next event and never retries that one.

And a run that is executed again is created with tags of its own where those of the run before do not fit; see
reexecution.py.

Dagster's own commands (`dg check defs`, `dagster definitions validate`) read the dagster.yaml of the folder
that they are started in and open its storage, also in a fresh clone and in CI, where there is no database.
Only where no DAGSTER_HOME says that this is an installation do they get a temporary one.
"""

import atexit
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from itertools import takewhile
from typing import Any

import psycopg2  # type: ignore[import-untyped]  # it has no types
from dagster import DagsterEventType, DagsterRun, EventLogEntry
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage, PostgresRunStorage
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import Pool

from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.orchestration import dagster_tags
from ghl_snapshots.orchestration.lost_database import lost_the_database, once_it_is_back
from ghl_snapshots.orchestration.reexecution import put_right

# Threads of a process that ask at once; one more gets a connection that is closed behind it.
_POOL_SIZE = 5

_with_tables: set[str] = set()
"""The databases in which this process has looked for Dagster's tables, and made those that were missing.

A code server opens an instance for each evaluation of a sensor. It is to be started again when the
database was dropped and made anew.
"""

_FOLDER = "GHL_SNAPSHOTS_TEMPORARY_STORAGE"
_HOW = "`ghl-snapshots dagster ...` runs any command of Dagster's on the product's instance"

SETTLED_SECONDS = 5.0
"""How old an event is when whatever Dagster writes along with it has been written."""


class Storage(DagsterPostgresStorage):
    """Dagster's runs, events and schedules over one pool."""

    def __init__(
        self,
        postgres_url: str,
        inst_data: Any = None,  # noqa: ANN401 (its type is private to Dagster)
    ) -> None:
        super().__init__(postgres_url, postgres_url not in _with_tables, inst_data)
        _with_tables.add(postgres_url)
        # pool_pre_ping replaces a connection that a restarted server has cut before it is used.
        engine = create_engine(
            postgres_url,
            isolation_level="AUTOCOMMIT",
            pool_size=_POOL_SIZE,
            max_overflow=-1,
            pool_pre_ping=True,
        )
        event.listen(engine, "connect", _pin)
        self._event_log_storage = EventLog(postgres_url, engine)
        self._run_storage = Runs(postgres_url, engine)
        self._schedule_storage._engine = engine

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """The one value that dagster.yaml gives: the environment variable with the database's URL."""
        return {"variable": str}

    @classmethod
    def from_config_value(
        cls,
        inst_data: Any,  # noqa: ANN401 (its type is private to Dagster)
        config_value: Mapping[str, Any],
    ) -> Any:  # noqa: ANN401 (likewise; Dagster takes any of its storages)
        """The storage in the database that the environment names.

        Raises:
            ConfigurationError: DAGSTER_HOME names an installation, and no variable its database.
        """
        variable = config_value["variable"]
        if url := os.environ.get(variable):
            return cls(url, inst_data)
        if "DAGSTER_HOME" in os.environ:
            raise ConfigurationError(
                f"DAGSTER_HOME is set and {variable} is not, so that Dagster has no database. {_HOW}; "
                "docs/operations.md says how to set both."
            )
        # Dagster's storage in files has no public name; a dagster.yaml would name it in the same way.
        in_files = inst_data._replace(
            module_name="dagster._core.storage.sqlite_storage",
            class_name="DagsterSqliteStorage",
            config_yaml=f"base_dir: {json.dumps(_temporary_folder())}\n",
        )
        return in_files.rehydrate(as_type=object)


class Runs(PostgresRunStorage):
    """Dagster's runs."""

    def __init__(self, postgres_url: str, engine: Engine) -> None:
        super().__init__(postgres_url, should_autocreate_tables=False)
        self._engine = engine

    def add_run(self, dagster_run: DagsterRun) -> DagsterRun:
        """Store a new run; Dagster goes on with the one that this returns."""
        return super().add_run(put_right(dagster_run, self._instance))


class EventLog(PostgresEventLogStorage):
    """Dagster's events; it closes the pool, since the instance closes it."""

    def __init__(self, postgres_url: str, engine: Engine) -> None:
        super().__init__(postgres_url, should_autocreate_tables=False)
        self._engine = engine

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event once the database answers; a run goes on where it waited for that."""
        if lost_the_database(event.dagster_event):
            tags = {dagster_tags.RETRY_ON_FAILURE: "true"}
            once_it_is_back(lambda: self._instance.add_run_tags(event.run_id, tags))
        once_it_is_back(lambda: super(EventLog, self).store_event(event))

    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:
        """Prepare for the webserver, where each of Dagster's storages has an open connection."""
        super().optimize_for_webserver(statement_timeout, pool_recycle, max_overflow)
        # Of all storages: a restarted server has cut it, and the next request would be answered with that.
        event.listen(Pool, "checkout", _replace_if_broken)
        event.listen(Pool, "connect", _pin)
        # Until somebody has looked at a run's raw output, the page of the deployment's configuration would
        # not say where it is kept.
        _ = self._instance.compute_log_manager

    def get_logs_for_all_runs_by_log_id(
        self,
        after_cursor: int = -1,
        dagster_event_type: DagsterEventType | set[DagsterEventType] | None = None,
        limit: int | None = None,
    ) -> Mapping[int, EventLogEntry]:
        """The next events by id, up to the first that is not settled; only the retrying daemon asks.

        One that is far in the future is of a machine whose clock is wrong, and nothing waits for it.
        """
        now = time.time()
        events = super().get_logs_for_all_runs_by_log_id(after_cursor, dagster_event_type, limit)
        return dict(takewhile(lambda item: abs(now - item[1].timestamp) >= SETTLED_SECONDS, events.items()))

    def dispose(self) -> None:
        """Close the connections."""
        super().dispose()
        self._engine.dispose()


def _pin(connection: DBAPIConnection, *_: object) -> None:
    """Have the server write what it acknowledges, launched runs above all, whatever its defaults."""
    if isinstance(connection, psycopg2.extensions.connection):  # of the process's other pools, nothing
        with closing(connection.cursor()) as cursor:
            cursor.execute("SET synchronous_commit = on")
        connection.commit()


def _replace_if_broken(connection: DBAPIConnection, *_: object) -> None:
    try:
        with closing(connection.cursor()) as cursor:
            cursor.execute("SELECT 1")
    except psycopg2.OperationalError as error:
        raise DisconnectionError from error  # by which SQLAlchemy connects anew


def _temporary_folder() -> str:
    """A folder for this process and those that it starts, removed at its end."""
    if folder := os.environ.get(_FOLDER):
        return folder
    folder = os.environ[_FOLDER] = tempfile.mkdtemp(prefix="ghl_snapshots_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    sys.stderr.write(f"No database is named, so what Dagster notes here is temporary. {_HOW}.\n")
    return folder
