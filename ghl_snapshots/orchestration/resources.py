"""What the assets work with; everything is configured by the environment, so no secret is in Dagster."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import PrivateAttr

from ghl_snapshots.capture import CaptureEngine
from ghl_snapshots.composition import capture_engine, open_database
from ghl_snapshots.ledger.appending import Appended
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.model import Capture, SnapshotType, Tenant
from ghl_snapshots.orchestration.trigger import Trigger
from ghl_snapshots.settings import load_settings

StoredListener = Callable[[Appended], None]


class DatabaseResource(dg.ConfigurableResource["DatabaseResource"]):
    """The product's database (`GHL_SNAPSHOTS_DATABASE_URL`): the tenants and the ledger."""

    _database: Database = PrivateAttr()

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["DatabaseResource"]:
        """Keep the connections open while the run lasts."""
        with open_database(load_settings()) as database:
            self._database = database
            yield self

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
    _engine: CaptureEngine = PrivateAttr()

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["GhlResource"]:
        """Keep GHL's connections open while the run lasts."""
        with capture_engine(load_settings(), self.database.database) as engine:
            self._engine = engine
            yield self

    def captures(
        self, tenants: Iterable[Tenant], snapshot_type: SnapshotType, trigger: Trigger
    ) -> Generator[Capture]:
        """Captures of the tenants as they are finished, several at once; closing breaks off the others."""
        yield from self._engine.captures(
            tenants, snapshot_type, source=trigger.source, correlation_id=trigger.correlation_id
        )


def unheard(appended: Appended) -> None:
    """Do nothing with a stored snapshot; a run that somebody watches has a listener in this one's place."""
