"""The memory of a process that captures and appends does not grow with what an account holds."""

import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psutil

from ghl_snapshots.capture.composition import capture_engine
from ghl_snapshots.core.model import SnapshotType, Source, Status
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.capture.test_location_tokens import Deployment, deployed
from ghl_snapshots_tests.ghl.rig import tenant_of

MEGABYTE = 1_000_000


@contextmanager
def resident() -> Iterator[list[int]]:
    """The memory that this process has resident, in bytes, looked at all the time."""
    process, ended = psutil.Process(), threading.Event()
    found = [process.memory_info().rss]

    def watch() -> None:
        while not ended.wait(0.01):
            found.append(process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def captured(deployment: Deployment) -> tuple[Status, int, int]:
    """Capture and append something small, then what is large: status, new bytes, by what memory grew."""
    settings = deployment.settings().model_copy(update={"concurrency": 2})
    with Database(deployment.database_url) as database, capture_engine(settings, database) as engine:
        for snapshot_type in (SnapshotType.PIPELINES, SnapshotType.AI_WORKERS):
            with resident() as found:
                capture = engine.capture(
                    deployment.tenant, snapshot_type, source=Source.MANUAL, correlation_id=str(snapshot_type)
                )
                appended = Ledger(database).append(capture)
    return capture.status, appended.new_bytes, max(found) - found[0]


def test_memory_does_not_grow_with_the_bytes_that_are_captured(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    """More than 100 MB of studio agents: all of them in memory would be above the bound."""
    accounts = generated_accounts(1, tenants=1, sizes={"agent_studio_agents": 24})
    [location] = accounts.locations.values()
    location.least_bytes["agent_studio_details"] = 5 * MEGABYTE
    token, url = tmp_path / "token", postgres.url(f"large_{uuid4().hex}")
    token.write_text(location.private_integration_token)
    migrate(url)
    tenant = tenant_of(location, credential=f"file:{token}")
    with Database(url) as database:
        TenantRegistry(database).add(tenant)
    with (
        Simulator(accounts) as simulator,
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool,
    ):
        status, new_bytes, grown = pool.submit(captured, deployed(simulator, url, tenant)).result()
    assert status is Status.SUCCESS
    assert new_bytes > 100 * MEGABYTE
    assert grown < 80 * MEGABYTE
