"""PostgreSQL goes away for seconds, as for a restart or a failover: what was under way is taken up again."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import dagster as dg
import psycopg
import pytest
from dagster_postgres.utils import DagsterPostgresException
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import DiskFull
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.pool import NullPool, Pool

from ghl_snapshots.definitions import all_definitions
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.orchestration import dagster_storage, dagster_tags
from ghl_snapshots.orchestration.lost_database import once_it_is_back
from ghl_snapshots.orchestration.partitions import TenantRange, add_partitions
from ghl_snapshots.orchestration.result_events import describe_tenants
from ghl_snapshots.simulator.faults import Fault, Hang
from ghl_snapshots_tests.orchestration.product import Product
from ghl_snapshots_tests.waiting import eventually

pytestmark = pytest.mark.slow


@contextmanager
def away(postgres: EmbeddedPostgres, product: Product, suffix: str = "") -> Iterator[None]:
    """The product's database, or Dagster's beside it, takes no connection, and has cut all it had."""
    name = f"{conninfo_to_dict(product.superuser_url)['dbname']}{suffix}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        try:
            yield
        finally:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def stored(product: Product) -> int:
    return len(product.rows("SELECT FROM ghl_snapshot"))


def run(product: Product) -> dg.DagsterRun:
    """A run over all tenants, as it ended."""
    with product.instance() as instance:
        add_partitions(instance, product.tenant_ids)
        result = (
            all_definitions()
            .resolve_job_def("full_snapshot")
            .execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey("workflows")],
                tags={dagster_tags.CORRELATION_ID: "lost", **TenantRange(first="t00", last="t04").tags()},
                raise_on_error=False,
            )
        )
        ended = instance.get_run_by_id(result.run_id)
    assert ended
    return ended


def without_pauses(monkeypatch: pytest.MonkeyPatch) -> Sequence[None]:
    """Have Dagster connect again without its pauses; a list that grows by one with each."""
    pauses: list[None] = []

    def no_pause(*_: object, **__: object) -> float:
        pauses.append(None)
        return 0.0

    monkeypatch.setattr("dagster_postgres.utils.calculate_delay", no_pause)
    return pauses


def test_a_run_that_lost_the_database_is_started_again(
    postgres: EmbeddedPostgres, product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ghl_snapshots.ledger.database._WAIT_SECONDS", 0.5)
    last = product.tenants["t04"].ghl_account_id
    product.simulator.inject(Fault(effect=Hang(seconds=5), route="/workflows/", location_id=last, times=1))
    with ThreadPoolExecutor(1) as threads, ExitStack() as outage:
        running = threads.submit(run, product)
        eventually(lambda: stored(product) == 4, "all others are stored")
        outage.enter_context(away(postgres, product))
        lost = running.result()
    assert (lost.status, lost.tags[dagster_tags.WILL_RETRY]) == (dg.DagsterRunStatus.FAILURE, "true")
    again = run(product)
    assert (again.status, stored(product)) == (dg.DagsterRunStatus.SUCCESS, 5)


def test_a_run_is_started_again_whose_step_lost_the_database_in_a_read_of_dagsters(
    postgres: EmbeddedPostgres, product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step describes its tenants for the run's tags, and asks Dagster which tags the run has."""
    tries = without_pauses(monkeypatch)
    outage = ExitStack()

    def describe_when_it_is_away(tenant_ids: Sequence[str], failed: int) -> str:
        outage.enter_context(away(postgres, product, "_dagster"))
        return describe_tenants(tenant_ids, failed)

    monkeypatch.setattr("ghl_snapshots.orchestration.assets.describe_tenants", describe_when_it_is_away)
    with ThreadPoolExecutor(1) as threads, outage:
        running = threads.submit(run, product)
        eventually(lambda: len(tries) > 12 or running.done(), "the read and a write have failed")
        outage.close()
        lost = running.result()
    assert (lost.status, lost.tags[dagster_tags.WILL_RETRY]) == (dg.DagsterRunStatus.FAILURE, "true")


def test_a_run_that_finds_no_database_when_it_starts_is_started_again(
    postgres: EmbeddedPostgres, product: Product
) -> None:
    """Nothing of ours marks it: to Dagster it is a run that never came up, which the daemon retries."""
    with away(postgres, product):
        lost = run(product)
    assert (lost.status, lost.tags[dagster_tags.WILL_RETRY]) == (dg.DagsterRunStatus.FAILURE, "true")


def test_what_dagster_gave_up_to_write_is_written_once_its_database_is_back() -> None:
    """Its own patience is some ten seconds, a failover's length up to sixty."""
    tries = iter((DagsterPostgresException("too many retries"), OperationalError("", {}, Exception()), None))

    def write() -> str:
        if problem := next(tries):
            raise problem
        return "written"

    assert once_it_is_back(write) == "written"


@pytest.mark.parametrize(
    "problem", [ProgrammingError("", {}, Exception()), OperationalError("", {}, DiskFull())]
)
def test_what_dagsters_database_refuses_is_not_written_again(problem: DBAPIError) -> None:
    tries = iter((problem, None))

    def write() -> None:
        if each := next(tries):
            raise each

    with pytest.raises(DBAPIError):
        once_it_is_back(write)


@pytest.mark.parametrize(("code", "lost"), [("57P01", "true"), ("53100", None), ("57014", None)])
def test_only_a_step_that_lost_the_database_has_its_run_started_again(
    product: Product, code: str, lost: str | None
) -> None:
    """By a query of Dagster's own, which is by way of SQLAlchemy and psycopg2."""

    @dg.op
    def fail() -> None:
        with create_engine(url, poolclass=NullPool).connect() as connection:
            connection.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{code}'; END $$"))

    @dg.job
    def failing() -> None:
        fail()

    url = product.superuser_url.replace("postgresql:", "postgresql+psycopg2:")
    with product.instance() as instance:
        result = failing.execute_in_process(instance=instance, raise_on_error=False)
        run_ = instance.get_run_by_id(result.run_id)
    assert run_
    assert run_.tags.get(dagster_tags.RETRY_ON_FAILURE) == lost


def test_an_event_is_stored_once_dagsters_database_is_back(
    postgres: EmbeddedPostgres, product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster tries six times, here without pauses, and gives up."""
    tries = without_pauses(monkeypatch)
    materialization = dg.AssetMaterialization("workflows", partition="t00")
    with product.instance() as instance, ThreadPoolExecutor(1) as threads:
        with away(postgres, product, "_dagster"):
            stored_ = threads.submit(instance.report_runless_asset_event, materialization)
            eventually(lambda: len(tries) > 5 or stored_.done(), "Dagster has given up")
        stored_.result()
        assert instance.get_materialized_partitions(dg.AssetKey("workflows")) == {"t00"}


def test_the_webservers_next_request_is_answered(postgres: EmbeddedPostgres, product: Product) -> None:
    """It has one connection open for each of Dagster's storages."""
    try:
        with product.instance() as instance:
            instance.optimize_for_webserver(statement_timeout=5000, pool_recycle=3600, max_overflow=5)
            for _ in range(2):
                assert instance.get_runs() == []
                assert instance.all_instigator_state() == []
                assert instance.get_latest_materialization_event(dg.AssetKey("workflows")) is None
                with away(postgres, product, "_dagster"):
                    pass
    finally:
        event.remove(Pool, "checkout", dagster_storage._replace_if_broken)
        event.remove(Pool, "connect", dagster_storage._pin)
