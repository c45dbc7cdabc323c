"""Dagster's storage keeps its connections, and gives the retrying daemon what is settled."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import psycopg
from dagster import DagsterEvent, DagsterEventType, EventLogEntry
from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import event, text
from sqlalchemy.pool import Pool

from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.definitions import all_definitions
from ghl_snapshots.orchestration import dagster_storage
from ghl_snapshots.orchestration.dagster_storage import SETTLED_SECONDS
from ghl_snapshots.orchestration.launch import capture_now
from ghl_snapshots_tests.orchestration.product import Product
from ghl_snapshots_tests.waiting import eventually

OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


class DagstersDatabase:
    """Statistics of Dagster's database, read over one connection that is counted as well."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    def number(self, query: str) -> int:
        row = self._connection.execute(query.encode()).fetchone()
        assert row
        return int(row[0])

    def nobody_is_connected(self) -> bool:
        """The server takes a moment to notice that a connection was closed."""
        return self.number(f"SELECT count(*) {OTHERS}") == 0


@contextmanager
def dagsters_database() -> Iterator[DagstersDatabase]:
    url = os.environ["GHL_SNAPSHOTS_DAGSTER_DATABASE_URL"].replace("+psycopg2", "")
    with psycopg.connect(url, autocommit=True) as connection:
        yield DagstersDatabase(connection)


def of_dagsters_database(query: str) -> int:
    with dagsters_database() as database:
        return database.number(query)


def nobody_is_connected() -> bool:
    with dagsters_database() as database:
        return database.nobody_is_connected()


def sessions() -> int:
    """How many connections there have been; asking is one, however long it takes."""
    with dagsters_database() as database:
        eventually(database.nobody_is_connected, "all have gone and are counted")
        return database.number("SELECT sessions FROM pg_stat_database WHERE datname = current_database()")


def opened(tenants: list[str]) -> int:
    """How many connections a run over the tenants opens."""
    before = sessions()
    assert capture_now(all_definitions(), tenants, [SnapshotType.PIPELINES], reason="test").success
    return sessions() - before


def test_a_run_opens_no_connection_for_an_event(product: Product) -> None:
    """Opening them would take more of client and server than all the rest of a capture."""
    opened(["t00"])
    one, five = opened(["t00"]), opened(["t00", "t01", "t02", "t03", "t04"])
    assert five - one < 4, "a tenant has several events; threads that ask at once may need a connection more"


def test_an_instance_opens_one_connection(product: Product) -> None:
    """A code server makes one for each evaluation of a sensor; the first looks for Dagster's tables."""
    with product.instance() as instance:
        instance.get_runs_count()
    before = sessions()
    with product.instance() as instance:
        instance.get_runs_count()
    assert sessions() - before == 1 + 1, "and asking is one"


def test_a_connection_that_the_server_cut_is_replaced_before_it_is_used(product: Product) -> None:
    with product.instance() as instance:
        asset = dg.AssetKey("workflows")
        for tenant in ("t00", "t01"):
            instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=tenant))
            assert of_dagsters_database(f"SELECT count(pg_terminate_backend(pid)) {OTHERS}") > 0
        assert sorted(instance.get_materialized_partitions(asset)) == ["t00", "t01"]


def test_an_instance_takes_its_connections_along(product: Product) -> None:
    with product.instance() as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("workflows", partition="t00"))
        assert not nobody_is_connected()
    eventually(nobody_is_connected, "the connections are closed")


def failure(run_id: str, timestamp: float) -> EventLogEntry:
    kind = DagsterEventType.RUN_FAILURE
    event = DagsterEvent(event_type_value=kind.value, job_name="full_snapshot")
    return EventLogEntry(  # type: ignore[no-untyped-call]
        error_info=None, level=40, user_message="", run_id=run_id, timestamp=timestamp, dagster_event=event
    )


def test_a_failure_is_retried_only_when_the_status_of_its_run_is_written(product: Product) -> None:
    """Dagster stores the event before it, and would never look at the event again."""
    before, now = time.time() - 2 * SETTLED_SECONDS, time.time()
    with product.instance() as instance:
        log = instance.event_log_storage
        clock_ahead = now + 400 * 86_400
        for run_id, timestamp in (
            ("settled", before),
            ("wrong clock", clock_ahead),
            ("another", before),
            ("young", now),
            ("later", before),
        ):
            log.store_event(failure(run_id, timestamp))
        found = log.get_logs_for_all_runs_by_log_id(dagster_event_type=DagsterEventType.RUN_FAILURE)
    assert [event.run_id for event in found.values()] == ["settled", "wrong clock", "another"]


def commits_of(instance: dg.DagsterInstance) -> set[str]:
    """When a commit of runs and of events is acknowledged."""
    found = set()
    for storage in (instance.run_storage, instance.event_log_storage):
        assert isinstance(storage, PostgresRunStorage | PostgresEventLogStorage)
        connected = storage.connect() if isinstance(storage, PostgresRunStorage) else storage._connect()
        with connected as connection:
            found.add(str(connection.scalar(text("SHOW synchronous_commit"))))
    return found


def test_a_run_that_was_accepted_is_written_whatever_the_servers_default(product: Product) -> None:
    """Of the runs' connections and of the webserver's, which launches them."""
    name = conninfo_to_dict(product.superuser_url)["dbname"]
    with psycopg.connect(product.superuser_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name}_dagster SET synchronous_commit = off")
    try:
        with product.instance() as instance:
            assert commits_of(instance) == {"on"}
            instance.optimize_for_webserver(statement_timeout=5000, pool_recycle=3600, max_overflow=5)
            assert commits_of(instance) == {"on"}
    finally:
        event.remove(Pool, "checkout", dagster_storage._replace_if_broken)
        event.remove(Pool, "connect", dagster_storage._pin)
