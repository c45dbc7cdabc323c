"""What the assets work with; everything is configured by the environment, so no secret is in Dagster."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import PrivateAttr

from ghl_snapshots.capture.capture_lock import CaptureLock
from ghl_snapshots.capture.composition import capture_engine, open_database
from ghl_snapshots.capture.locked_captures import CaptureResult, LockedCaptures
from ghl_snapshots.core.model import Capture, SnapshotType, Tenant
from ghl_snapshots.core.settings import load_settings
from ghl_snapshots.core.signals import heeded_signals
from ghl_snapshots.ledger.append import Appended
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.migrations import check_schema
from ghl_snapshots.ledger.session_locks import SessionLocks
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.orchestration.trigger import Trigger


class DatabaseResource(dg.ConfigurableResource["DatabaseResource"]):
    """The product's database (`GHL_SNAPSHOTS_DATABASE_URL`): the tenants and the ledger."""

    _database: Database = PrivateAttr()
    _locks: SessionLocks = PrivateAttr()

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["DatabaseResource"]:
        """Keep the connections open while the run lasts, and a lock that shows that its process lives.

        Raises:
            SchemaError: the database is older or newer than this release.
            LedgerError: the server does not answer.
        """
        with open_database(load_settings()) as database, SessionLocks(database) as locks:
            check_schema(database)
            self._database, self._locks = database, locks
            if context.run is not None:
                locks.try_lock(run_lock(context.run.run_id))
            yield self

    @property
    def locks(self) -> SessionLocks:
        """The locks that this process holds in the database."""
        return self._locks

    @property
    def database(self) -> Database:
        """The open database."""
        return self._database

    @property
    def ledger(self) -> Ledger:
        """The ledger in this database."""
        return Ledger(self._database)

    @property
    def tenants(self) -> TenantRegistry:
        """The registry of tenants in this database."""
        return TenantRegistry(self._database)


class GhlResource(dg.ConfigurableResource["GhlResource"]):
    """The read-only GHL client (`GHL_BASE_URL`), which reads credentials by reference when it needs them."""

    database: DatabaseResource
    _captures: LockedCaptures = PrivateAttr()
    _failed: set[str] = PrivateAttr(default_factory=set)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["GhlResource"]:
        """Keep GHL's connections open while the run lasts."""
        settings, lock = load_settings(), CaptureLock(self.database.locks)
        # A capture of up to 1,000 calls ends within its timeout; this outlasts the one under way and one more
        # that waits for it.
        timeout_seconds = 2 * settings.capture_timeout_seconds
        with heeded_signals(), capture_engine(settings, self.database.database) as engine:
            self._captures = LockedCaptures(engine, lock, timeout_seconds=timeout_seconds)
            yield self

    @property
    def failed_tenants(self) -> set[str]:
        """Whom the run's steps could not capture so far, or not completely."""
        return self._failed

    def capture_all(
        self,
        tenants: Iterable[Tenant],
        snapshot_type: SnapshotType,
        trigger: Trigger,
        *,
        store: Callable[[Capture], Appended],
    ) -> Generator[CaptureResult]:
        """Capture and store one type of many tenants; see `LockedCaptures.capture_all`."""
        return self._captures.capture_all(
            tenants,
            snapshot_type,
            source=trigger.source,
            correlation_id=trigger.correlation_id,
            store=store,
        )


def run_lock(run_id: str) -> str:
    """The name of the lock that a run holds while its process lives."""
    return f"run {run_id}"
