"""At most one capture of a tenant and snapshot type at a time, whichever process, schedule or person asks.

A capture holds a lock in the database from before its first request until it is stored. Who finds it taken
goes on with other tenants, then waits, and captures after all: every trigger gets a snapshot of its own.
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing

from ghl_snapshots.capture.engine import CaptureEngine
from ghl_snapshots.core.model import Capture, SnapshotType, Source, Tenant
from ghl_snapshots.ledger.session_locks import SessionLocks


class Turns:
    """Captures each of which waits for its turn, for `patience_seconds` in all where others hold them up."""

    def __init__(
        self,
        engine: CaptureEngine,
        locks: SessionLocks,
        *,
        patience_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._locks = locks
        self._patience_seconds = patience_seconds
        self._monotonic = monotonic

    def captures(
        self,
        tenants: Iterable[Tenant],
        snapshot_type: SnapshotType,
        *,
        source: Source,
        correlation_id: str,
        given_up: Callable[[Tenant], None],
    ) -> Generator[Capture]:
        """Capture one type of many tenants; asking for the next one says that the one before is stored.

        `given_up` is told of the tenants whose turn did not come in time.

        Raises:
            LedgerError: the database that holds the locks does not answer.
        """
        waiting, patience_ends = list(tenants), None
        while waiting:
            busy: list[Tenant] = []
            free = self._free(waiting, snapshot_type, busy)
            with closing(
                self._engine.captures(free, snapshot_type, source=source, correlation_id=correlation_id)
            ) as captures:
                for capture in captures:
                    yield capture
                    self._locks.unlock(_turn(capture.tenant_id, snapshot_type))
            waiting = busy
            if busy:
                # Only now, with no lock in hand, may we wait without two runs waiting for each other.
                patience_ends = patience_ends or self._monotonic() + self._patience_seconds
                seconds = patience_ends - self._monotonic()
                if not self._locks.wait_for(_turn(busy[0].tenant_id, snapshot_type), seconds=seconds):
                    given_up(waiting.pop(0))

    def _free(
        self, tenants: Iterable[Tenant], snapshot_type: SnapshotType, busy: list[Tenant]
    ) -> Iterator[Tenant]:
        """The tenants whose turn it is as they are asked for; the others are put down as busy."""
        for tenant in tenants:
            if self._locks.try_lock(_turn(tenant.tenant_id, snapshot_type)):
                yield tenant
            else:
                busy.append(tenant)


def _turn(tenant_id: str, snapshot_type: SnapshotType) -> str:
    return f"capture {tenant_id} {snapshot_type}"
