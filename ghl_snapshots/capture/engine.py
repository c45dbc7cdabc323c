"""The capture engine: a tenant and a snapshot type in, a capture out, whatever GHL does meanwhile."""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Self, TypeVar

from ghl_snapshots.core.capture_settings import CaptureSettings
from ghl_snapshots.core.errors import ConfigurationError, ErrorKind, GhlError
from ghl_snapshots.core.model import (
    AccountKind,
    Capture,
    CaptureError,
    Entity,
    RequestRecord,
    SnapshotType,
    Source,
    Status,
    Tenant,
)
from ghl_snapshots.ghl.account_fetch import AccountFetch, AccountResult
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.client import GhlClient
from ghl_snapshots.ghl.credentials import Credentials
from ghl_snapshots.ghl.deadline import Deadline
from ghl_snapshots.ghl.endpoint_fetch import EndpointFetch, failed_fetch
from ghl_snapshots.ghl.endpoints import endpoints_of
from ghl_snapshots.ghl.exchange_thread import wait_for_exchanges
from ghl_snapshots.ghl.fetch_target import FetchTarget

_COMPANIES_AT_ONCE = 4

Result = TypeVar("Result")


class CaptureEngine:
    """Captures tenants; all its captures share one pool of `concurrency` requests under way.

    As many more may ask for locations' tokens, for which a company's rate limit often makes them wait; one
    capture takes no more than half of these, so that a company that makes it wait for long holds up no other.
    A context manager: closing it closes the connections to GHL.
    """

    def __init__(
        self,
        client: GhlClient,
        credentials: Credentials,
        *,
        concurrency: int,
        settings: Callable[[Tenant], CaptureSettings],
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._credentials = credentials
        self._concurrency = concurrency
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._requests = ThreadPoolExecutor(concurrency, thread_name_prefix="ghl-request")
        self._prefetch = ThreadPoolExecutor(max(2, concurrency), thread_name_prefix="ghl-prefetch")

    def __enter__(self) -> Self:
        """Be ready to capture."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Close the connections, once the requests under way have ended."""
        self._prefetch.shutdown()
        self._requests.shutdown()
        wait_for_exchanges()
        self._client.close()

    def capture(
        self,
        tenant: Tenant,
        snapshot_type: SnapshotType,
        *,
        source: Source,
        correlation_id: str,
        cancelled: threading.Event | None = None,
    ) -> Capture:
        """Capture one type of one tenant; what GHL or the credential refuses is in the capture's errors.

        Setting `cancelled` leaves the capture no more time. The entities' bytes are on disk for as long as
        anything refers to them.

        Raises:
            SpoolError: the disk has no room for them.
            DatabaseLostError: the database that holds the tenant's tokens is away.
        """
        captured_at, started = self._clock(), self._monotonic()
        settings, problem = self._settings_of(tenant)
        deadline = Deadline(settings.capture_timeout_seconds, cancelled=cancelled)
        budget = Budget(deadline=deadline, settings=settings)
        result = (
            self._fetch(tenant, snapshot_type, budget) if problem is None else _unread(snapshot_type, problem)
        )
        entities, requests = _joined(result.fetches)
        every = (*result.listing, *result.fetches)
        errors = tuple(fetch.error for fetch in every if fetch.error is not None)
        return Capture(
            tenant_id=tenant.tenant_id,
            ghl_account_id=tenant.ghl_account_id,
            snapshot_type=snapshot_type,
            captured_at=captured_at,
            duration_ms=round((self._monotonic() - started) * 1000),
            status=_status(requests, errors),
            entities=entities,
            requests=(*_without_entities(result.listing), *requests),
            errors=errors,
            api_calls=budget.calls(),
            api_version=endpoints_of(snapshot_type)[0].api_version,
            source=source,
            correlation_id=correlation_id,
            left_out=tuple(result.left_out),
            duplicates=tuple(duplicate for fetch in every for duplicate in fetch.duplicates),
            location_ids=None if result.location_ids is None else tuple(result.location_ids),
        )

    def for_each(
        self, tenants: Iterable[Tenant], capture: Callable[[Tenant, threading.Event], Result]
    ) -> Generator[Result]:
        """Call `capture` for many tenants in threads, several at once; gives each result as it is there.

        Tenants are taken up only as far ahead as keeps the requests busy, so what is held in memory does not
        grow with their number. Closing the generator sets the event, and waits for the calls under way.
        """
        waiting, cancelled = iter(tenants), threading.Event()
        running: dict[Future[Result], Tenant] = {}
        with ThreadPoolExecutor(self._concurrency, thread_name_prefix="ghl-capture") as threads:
            try:
                while True:
                    while self._has_room(running.values()) and (tenant := next(waiting, None)) is not None:
                        running[threads.submit(capture, tenant, cancelled)] = tenant
                    if not running:
                        return
                    for finished in wait(running, return_when=FIRST_COMPLETED).done:
                        del running[finished]
                        yield finished.result()
            finally:
                cancelled.set()

    def _has_room(self, running: Iterable[Tenant]) -> bool:
        """Whether another tenant may be taken up; a company counts for several, because it may be large."""
        heavy = max(1, self._concurrency // _COMPANIES_AT_ONCE)
        load = sum(heavy if tenant.account_kind is AccountKind.COMPANY else 1 for tenant in running)
        return load < self._concurrency

    def _settings_of(self, tenant: Tenant) -> tuple[CaptureSettings, ConfigurationError | None]:
        """The tenant's settings, or why they cannot be used."""
        try:
            return self._settings(tenant), None
        except ConfigurationError as problem:
            return CaptureSettings(), problem

    def _fetch(self, tenant: Tenant, snapshot_type: SnapshotType, budget: Budget) -> AccountResult:
        own = budget.settings.concurrency
        try:
            fetch = AccountFetch(
                tenant,
                snapshot_type,
                access=self._credentials.open(tenant, budget),
                client=self._client,
                budget=budget,
                pool=self._requests,
                prefetch_pool=self._prefetch,
                max_concurrency=own if own < self._concurrency else 2 * self._concurrency,
            )
            return fetch.run()
        except BaseException:
            budget.deadline.cancel()
            raise


def _unread(snapshot_type: SnapshotType, problem: ConfigurationError) -> AccountResult:
    target = FetchTarget(endpoint=endpoints_of(snapshot_type)[0])
    fetch = failed_fetch(target, GhlError(ErrorKind.CONFIGURATION, str(problem), attempts=0))
    return AccountResult(listing=[], fetches=[fetch], left_out=[], location_ids=None)


def _joined(fetches: Sequence[EndpointFetch]) -> tuple[tuple[Entity, ...], tuple[RequestRecord, ...]]:
    """The entities of all fetches in order, and the requests with their offsets among these."""
    entities: list[Entity] = []
    requests: list[RequestRecord] = []
    for fetch in fetches:
        start = len(entities)
        requests += (replace(request, offset=start + request.offset) for request in fetch.requests)
        entities += fetch.entities
    return tuple(entities), tuple(requests)


def _without_entities(listing: Sequence[EndpointFetch]) -> Iterator[RequestRecord]:
    """The requests that list the locations; they contribute no entity to a payload."""
    return (replace(request, offset=0, count=0) for fetch in listing for request in fetch.requests)


def _status(requests: Sequence[RequestRecord], errors: Sequence[CaptureError]) -> Status:
    """Without an error all was captured; with one, all of it or a part is missing."""
    if not errors:
        return Status.SUCCESS
    return Status.PARTIAL_FAILURE if requests else Status.FAILED
