"""At most one capture of a tenant and snapshot type at a time, in all processes."""

from collections.abc import Iterator
from contextlib import contextmanager

from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.ledger.session_locks import SessionLocks


class CaptureLock:
    """The lock in the database that a capture holds from before its first request until it is stored."""

    def __init__(self, locks: SessionLocks) -> None:
        self._locks = locks

    @contextmanager
    def acquire(
        self, tenant_id: str, snapshot_type: SnapshotType, *, timeout_seconds: float = 0.0
    ) -> Iterator[bool]:
        """Hold the lock during the block; False if another capture held it for longer than the timeout.

        Wait only with no other lock in hand, or two runs may wait for each other. A lock that this process
        holds already is acquired at once, and whichever block ends first releases it.

        Raises:
            LedgerError: the database that holds the locks does not answer.
        """
        name = _name(tenant_id, snapshot_type)
        acquired = self._locks.wait_for(name, seconds=timeout_seconds)
        try:
            yield acquired
        finally:
            if acquired:
                self._locks.unlock(name)

    def check(self, tenant_id: str, snapshot_type: SnapshotType) -> None:
        """Make sure that a lock that was acquired is ours still; raises DatabaseLostError if it is not."""
        self._locks.check(_name(tenant_id, snapshot_type))


def _name(tenant_id: str, snapshot_type: SnapshotType) -> str:
    return f"capture {tenant_id} {snapshot_type}"
