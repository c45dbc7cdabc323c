"""The way of a capture: lock → fetch → Capture → append, for many tenants at once."""

import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import TypeAlias

from ghl_snapshots.capture.capture_lock import CaptureLock
from ghl_snapshots.capture.engine import CaptureEngine
from ghl_snapshots.core.errors import DatabaseLostError, GhlSnapshotsError, SpoolError
from ghl_snapshots.core.model import Capture, SnapshotType, Source, Tenant
from ghl_snapshots.ledger.append import Appended


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureFailure:
    """A tenant of whom a capture is missing or incomplete: in one word how it stands, and why."""

    tenant_id: str
    status: str
    cause: str


CaptureResult: TypeAlias = Appended | CaptureFailure


class LockedCaptures:
    """Captures that are stored before their lock is released.

    `timeout_seconds` limits the waiting for locks of one call in all.
    """

    def __init__(
        self,
        engine: CaptureEngine,
        lock: CaptureLock,
        *,
        timeout_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._lock = lock
        self._timeout_seconds = timeout_seconds
        self._monotonic = monotonic
        self._storing = threading.Lock()

    def capture_all(
        self,
        tenants: Iterable[Tenant],
        snapshot_type: SnapshotType,
        *,
        source: Source,
        correlation_id: str,
        store: Callable[[Capture], Appended],
    ) -> Generator[CaptureResult]:
        """Capture and store one type of many tenants; gives what was stored of each, or why it was not.

        Tenants that others are capturing come last, when no lock is held here. Closing the generator breaks
        off the captures under way, and what is not stored by then is not stored.

        Raises:
            DatabaseLostError: the database does not answer, or went away; what is not stored is not stored.
        """

        def capture_and_store(tenant: Tenant, cancelled: threading.Event) -> CaptureResult | Tenant:
            """The tenant itself if another capture holds its lock."""
            with self._lock.acquire(tenant.tenant_id, snapshot_type) as acquired:
                if not acquired:
                    return tenant
                try:
                    capture = self._engine.capture(
                        tenant,
                        snapshot_type,
                        source=source,
                        correlation_id=correlation_id,
                        cancelled=cancelled,
                    )
                except SpoolError as error:
                    return _not_stored(tenant.tenant_id, error)
                return self._stored(capture, store, cancelled)

        def capture_free(waiting: Iterable[Tenant]) -> Generator[CaptureResult, None, list[Tenant]]:
            """Capture those whose locks are free; returns the others."""
            busy = []
            with closing(self._engine.for_each(waiting, capture_and_store)) as results:
                for result in results:
                    if isinstance(result, Tenant):
                        busy.append(result)
                    else:
                        yield result
            return busy

        busy = yield from capture_free(tenants)
        timeout_at = self._monotonic() + self._timeout_seconds
        while busy:
            seconds = timeout_at - self._monotonic()
            with self._lock.acquire(busy[0].tenant_id, snapshot_type, timeout_seconds=seconds) as acquired:
                if acquired:
                    busy = yield from capture_free(busy)
                else:
                    yield _timed_out(busy.pop(0))

    def _stored(
        self, capture: Capture, store: Callable[[Capture], Appended], cancelled: threading.Event
    ) -> CaptureResult:
        """Store one capture at a time, so that a run needs one connection for it."""
        with self._storing:
            if cancelled.is_set():
                return CaptureFailure(tenant_id=capture.tenant_id, status="cancelled", cause="the run ends")
            try:
                self._lock.check(capture.tenant_id, capture.snapshot_type)
                return store(capture)
            except DatabaseLostError:
                raise
            except GhlSnapshotsError as error:
                return _not_stored(capture.tenant_id, error)


def _not_stored(tenant_id: str, error: GhlSnapshotsError) -> CaptureFailure:
    return CaptureFailure(tenant_id=tenant_id, status="not stored", cause=str(error))


def _timed_out(tenant: Tenant) -> CaptureFailure:
    return CaptureFailure(
        tenant_id=tenant.tenant_id,
        status="busy",
        cause="another run was still capturing it; materialize it again",
    )
