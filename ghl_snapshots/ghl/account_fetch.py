"""All fetches of one snapshot type of one account, run in parallel and put into a fixed order."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias

from ghl_snapshots.core.errors import ErrorKind, GhlError
from ghl_snapshots.core.model import AccountKind, CaptureError, Entity, SnapshotType, Tenant
from ghl_snapshots.ghl.bounded_executor import BoundedExecutor, TaskQueue
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.client import GhlClient
from ghl_snapshots.ghl.credentials import AccountCredentials
from ghl_snapshots.ghl.endpoint_fetch import (
    EndpointFetch,
    FetchTarget,
    failed_fetch,
    fetch_endpoint,
    skipped_fetch,
)
from ghl_snapshots.ghl.endpoints import LOCATION_SEARCH, Endpoint, Paging, endpoints_of
from ghl_snapshots.ghl.token_source import TokenSource

_Position: TypeAlias = tuple[int, int, int]
"""Where a fetch stands in a payload: the numbers of its location, its endpoint and its parent entity."""

_AGENCY_ONLY: Final = (
    "not asked: an agency's Private Integration Token opens the agency's own endpoints only, and this one "
    "takes a location's token. Give the tenant the credential oauth, or add its locations as tenants "
    "themselves"
)

_PREFETCH_SHARE: Final = 4
"""One in so many of a capture's requests in flight may be for a location's token."""

_WHOLE: Final = None
"""Stands for the whole account where a location's id would stand for that location."""


class AccountFetch:
    """One capture's fetches of an account: breadth first over its locations, on pools that captures share.

    Tokens of locations are fetched ahead, on threads of their own, because the company's rate limit may hold
    that up; fetches of a location are pending until its token is there, and those of others go on meanwhile.
    At most `max_concurrency` of both run at once, so that a large account leaves room for other captures.
    """

    def __init__(
        self,
        tenant: Tenant,
        snapshot_type: SnapshotType,
        *,
        access: AccountCredentials,
        client: GhlClient,
        budget: Budget,
        pool: ThreadPoolExecutor,
        prefetch_pool: ThreadPoolExecutor,
        max_concurrency: int,
    ) -> None:
        self._tenant = tenant
        self._endpoints = endpoints_of(snapshot_type)
        self._access = access
        self._client = client
        self._budget = budget
        self._prefetch = TaskQueue(prefetch_pool, max_concurrency=max(1, max_concurrency // _PREFETCH_SHARE))
        self._requests = TaskQueue(pool, max_concurrency=max_concurrency)
        self._executor = BoundedExecutor(self._prefetch, self._requests, max_concurrency=max_concurrency)
        self._token_sources: dict[str, TokenSource] = {}
        self._numbers: dict[str, int] = {}
        self._final_errors: dict[str | None, CaptureError] = {}
        self._listing = EndpointFetch(target=FetchTarget(endpoint=LOCATION_SEARCH))
        self._fetches: dict[_Position, EndpointFetch] = {}
        self._pending: defaultdict[str, list[tuple[_Position, FetchTarget]]] = defaultdict(list)
        """The fetches of locations whose tokens are still to come."""

    def run(self) -> tuple[EndpointFetch, list[EndpointFetch]]:
        """The fetch that lists the locations, and those of every endpoint for each of them, in order."""
        self._client.limiter.read_quotas([self._tenant.ghl_account_id])
        if self._tenant.account_kind is AccountKind.LOCATION:
            self._add_location(self._tenant.ghl_account_id, self._access.account)
            self._enqueue_locations([self._tenant.ghl_account_id])
        elif self._fetchable():
            self._executor.add(self._requests, [self._list_locations])
        try:
            self._executor.wait()
        finally:
            self._client.limiter.note_quotas()
        return self._listing, [
            *(self._fetches[position] for position in sorted(self._fetches)),
            *self._skipped(),
        ]

    def _list_locations(self) -> None:
        """List a company's locations; those of a page are fetched while the next page is asked for."""
        target = FetchTarget(endpoint=LOCATION_SEARCH, company_id=self._tenant.ghl_account_id)
        fetch = self._fetch(target, self._access.account, self._add_locations)
        if fetch.error is None and any(entity.entity_id is None for entity in fetch.entities):
            nameless = GhlError(ErrorKind.MALFORMED_RESPONSE, "GHL lists a location without an id")
            fetch = replace(fetch, error=fetch.target.error(nameless))
        self._listing = fetch

    def _add_locations(self, found: Sequence[Entity]) -> None:
        """Add the locations of a page, without those known from a listing that was begun anew."""
        named = [
            entity.entity_id
            for entity in found
            if entity.entity_id is not None and entity.entity_id not in self._numbers
        ]
        self._client.limiter.read_quotas(named)
        for location_id in named:
            self._add_location(location_id, self._access.location(location_id))
        self._enqueue_locations(named)

    def _add_location(self, location_id: str, token_source: TokenSource) -> None:
        self._token_sources[location_id] = token_source
        self._numbers[location_id] = len(self._numbers)

    def _enqueue_locations(self, location_ids: Sequence[str]) -> None:
        """Queue the locations' fetches, those first that take several requests one after the other."""
        fetches: list[tuple[_Position, FetchTarget]] = []
        for number, endpoint in sorted(self._fetchable(), key=lambda item: self._is_short(item[1])):
            for location_id in location_ids:
                position = (self._numbers[location_id], number, 0)
                of_location = fetches if self._needs_no_token(location_id) else self._pending[location_id]
                of_location.append((position, FetchTarget(endpoint=endpoint, location_id=location_id)))
        self._enqueue(fetches)
        without_token = (location_id for location_id in location_ids if not self._needs_no_token(location_id))
        self._executor.add(
            self._prefetch, [partial(self._prefetch_token, location_id) for location_id in without_token]
        )

    def _enqueue(self, fetches: Iterable[tuple[_Position, FetchTarget]]) -> None:
        """Queue fetches."""
        self._executor.add(self._requests, [partial(self._fetch_one, *fetch) for fetch in fetches])

    def _needs_no_token(self, location_id: str) -> bool:
        """Whether the token for the account itself is the location's too."""
        return self._token_sources[location_id] is self._access.account

    def _prefetch_token(self, location_id: str) -> None:
        """Get the location's token and queue the location's fetches.

        The first of them has failed if there is no token.
        """
        failure = self._token_failure(location_id)
        fetches = self._pending.pop(location_id)
        if failure is not None:
            position, target = fetches.pop(0)
            self._fetches[position] = failed = failed_fetch(target, failure)
            self._note_final_error(failed, self._token_sources[location_id])
        self._enqueue(fetches)

    def _token_failure(self, location_id: str) -> Exception | None:
        if self._final_error(location_id) is not None:
            return None
        try:
            self._budget.deadline.check()
            self._token_sources[location_id].token()
        except Exception as failure:  # noqa: BLE001 (recorded as an error of the capture)
            return failure
        return None

    def _is_short(self, endpoint: Endpoint) -> bool:
        """Whether one request is all that the endpoint takes."""
        is_parent = any(other.parent == endpoint.path for other in self._endpoints)
        return endpoint.paging is Paging.NONE and not is_parent

    def _fetchable(self) -> Sequence[tuple[int, Endpoint]]:
        """The endpoints that the credential can open, with their numbers, those with a parent left out."""
        return [
            (number, endpoint)
            for number, endpoint in enumerate(self._endpoints)
            if endpoint.parent is None and (endpoint.agency_token or not self._access.agency_only)
        ]

    def _children(self, position: _Position, fetch: EndpointFetch) -> Iterator[tuple[_Position, FetchTarget]]:
        """The fetches for each entity of a fetch."""
        for number, endpoint in enumerate(self._endpoints):
            if endpoint.parent != fetch.target.endpoint.path:
                continue
            for index, entity in enumerate(fetch.entities):
                yield (
                    (position[0], number, index),
                    FetchTarget(
                        endpoint=endpoint,
                        location_id=fetch.target.location_id,
                        parent_id=entity.entity_id or "",
                    ),
                )

    def _skipped(self) -> Iterator[EndpointFetch]:
        """The error for each endpoint that is not asked, because the credential could not open it."""
        readable = {endpoint for _, endpoint in self._fetchable()}
        for endpoint in self._endpoints:
            if endpoint.parent is None and endpoint not in readable:
                yield skipped_fetch(FetchTarget(endpoint=endpoint), ErrorKind.MISSING_SCOPE, _AGENCY_ONLY)

    def _fetch_one(self, position: _Position, target: FetchTarget) -> None:
        """Fetch, and queue what is to be fetched for each entity of it."""
        fetch = self._fetches[position] = self._fetch(target, self._token_sources[target.location_id or ""])
        self._enqueue(self._children(position, fetch))

    def _fetch(
        self,
        target: FetchTarget,
        token_source: TokenSource,
        on_page: Callable[[Sequence[Entity]], None] | None = None,
    ) -> EndpointFetch:
        """Fetch, unless another fetch's error says that this one would fail alike."""
        final = self._final_error(target.location_id)
        if final is not None:
            why = f"not asked, because {final.endpoint} failed: {final.message}"
            return skipped_fetch(target, final.kind, why)
        fetch = fetch_endpoint(target, token_source, self._client, self._budget, on_page=on_page)
        self._note_final_error(fetch, token_source)
        return fetch

    def _final_error(self, location_id: str | None) -> CaptureError | None:
        return self._final_errors.get(_WHOLE) or self._final_errors.get(location_id)

    def _is_of_account(self, token_source: TokenSource) -> bool:
        """Whether what GHL refuses of the token_source, it refuses of the account itself."""
        return token_source.resource_id == self._tenant.ghl_account_id or self._access.lost

    def _note_final_error(self, fetch: EndpointFetch, token_source: TokenSource) -> None:
        """Remember an error that every further call for the tenant, or for the location, would meet.

        That GHL forbids the list of locations says nothing of those that are known already.
        """
        error = fetch.error
        if error is None:
            return
        if error.kind.ends_tenant and self._is_of_account(token_source):
            self._final_errors.setdefault(_WHOLE, error)
        elif error.location_id is not None and (
            error.kind.ends_tenant or error.kind is ErrorKind.FORBIDDEN_LOCATION
        ):
            self._final_errors.setdefault(error.location_id, error)
