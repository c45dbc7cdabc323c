"""A process that captures every tenant and says of each snapshot that it was acknowledged.

The worker of benchmarks.chaos. It tries again while the database is away, and ends when all is stored.
"""

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from ghl_snapshots.capture.composition import capture_engine, open_database
from ghl_snapshots.core.errors import LedgerError, SnapshotRefusedError
from ghl_snapshots.core.model import SnapshotType, Source
from ghl_snapshots.core.settings import load_settings
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.tenants import TenantRegistry

_Result = TypeVar("_Result")
REFUSED = "refused"
_PAUSE_SECONDS = 0.03
"""Between two tenants, so that there is time for trouble."""


def until_stored(work: Callable[[], _Result]) -> _Result:
    """Do the work, again and again while the database is in trouble."""
    while True:
        try:
            return work()
        except SnapshotRefusedError:
            raise
        except LedgerError:
            time.sleep(0.1)


def main(correlation_id: str, days_ahead: int) -> None:
    """Capture every tenant for the trigger, by a clock that is so many days ahead."""
    settings = load_settings()
    with open_database(settings) as database, capture_engine(settings, database) as engine:
        ledger = Ledger(database)
        for tenant in until_stored(TenantRegistry(database).list):
            capture = engine.capture(
                tenant,
                SnapshotType.WORKFLOWS,
                source=Source.SCHEDULED,
                correlation_id=correlation_id,
                cancelled=threading.Event(),
            )
            dated = replace(capture, captured_at=capture.captured_at + timedelta(days=days_ahead))
            try:
                stored = until_stored(lambda dated=dated: ledger.append(dated))  # type: ignore[misc]  # bound now
            except SnapshotRefusedError:
                print(tenant.tenant_id, REFUSED, flush=True)  # noqa: T201 - its output
            else:
                print(tenant.tenant_id, stored.snapshot.snapshot_id, flush=True)  # noqa: T201 - its output
            time.sleep(_PAUSE_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
