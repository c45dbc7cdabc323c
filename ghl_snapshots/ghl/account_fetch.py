"""All fetches of one snapshot type of one account, run in parallel and put into a fixed order."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeAlias

from ghl_snapshots.core.errors import ConfigurationError, CredentialError, ErrorKind, GhlError
from ghl_snapshots.core.model import AccountKind, Entity, LeftOut, LeftOutReason, SnapshotType, Tenant
from ghl_snapshots.ghl.bounded_executor import BoundedExecutor, TaskQueue
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.client import GhlClient
from ghl_snapshots.ghl.credentials import AccountCredentials
from ghl_snapshots.ghl.endpoint_fetch import (
    EndpointFetch,
    as_ghl_error,
    failed_fetch,
    fetch_endpoint,
    skipped_fetch,
)
from ghl_snapshots.ghl.endpoints import INSTALLED_LOCATIONS, LOCATION_SEARCH, Endpoint, Paging, endpoints_of
from ghl_snapshots.ghl.fetch_target import FetchTarget
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

_FINAL_KINDS: Final = frozenset(
    {
        ErrorKind.INVALID_CREDENTIAL,
        ErrorKind.FORBIDDEN_LOCATION,
        ErrorKind.SUSPENDED,
        ErrorKind.NOT_INSTALLED,
    }
)
"""Words that are of the token or of the location, and not of the call that they answer."""
_LEFT_OUT: Final[Mapping[ErrorKind, LeftOutReason]] = {
    ErrorKind.NOT_INSTALLED: LeftOutReason.NOT_INSTALLED,
    ErrorKind.SUSPENDED: LeftOutReason.SUSPENDED,
}
"""What leaves an agency's location out of a capture, which is complete without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountResult:
    """What fetching an account came to, in payload order, whichever thread was first."""

    listing: EndpointFetch | None
    """The fetch that lists a company's locations."""
    fetches: Sequence[EndpointFetch]
    left_out: Sequence[LeftOut]
    location_ids: Sequence[str] | None
    """The locations that GHL lists; None for a single location."""


class AccountFetch:
    """One capture's fetches of an account: breadth first over its locations, on pools that captures share.

    Tokens of locations are fetched ahead, on threads of their own, because the company's rate limit may hold
    that up; fetches of a location are pending until its token is there, and those of others go on meanwhile.
    At most `max_concurrency` of both run at once, so that a large account leaves room for other captures.

    An answer is a verdict on its own call. A whole location is ended only by the words for it (or for its
    token) in two independent answers, and what came of it then does not count, in whatever order it came.
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
        self._max_concurrency = max_concurrency
        self._prefetch = TaskQueue(prefetch_pool, max_concurrency=max(1, max_concurrency // _PREFETCH_SHARE))
        self._requests = TaskQueue(pool, max_concurrency=max_concurrency)
        self._executor = BoundedExecutor(self._prefetch, self._requests, max_concurrency=max_concurrency)
        self._token_sources: dict[str, TokenSource] = {}
        self._numbers: dict[str, int] = {}
        self._final_errors: dict[str, GhlError] = {}
        """What ends all calls for a location."""
        self._installed: set[str] = set()
        self._not_installed: dict[str, str] = {}
        """The locations without the app, with GHL's words."""
        self._not_granted: list[LeftOut] = []
        self._listing: EndpointFetch | None = None
        self._fetches: dict[_Position, EndpointFetch] = {}
        self._of_location: dict[str, list[EndpointFetch]] = {}
        """The fetches of each location in payload order, once all are there."""
        self._pending: defaultdict[str, list[tuple[_Position, FetchTarget]]] = defaultdict(list)
        """The fetches of locations whose tokens are still to come."""

    def run(self) -> AccountResult:
        """Fetch everything that the credential opens."""
        self._client.limiter.read_quotas([self._tenant.ghl_account_id])
        if self._tenant.account_kind is AccountKind.LOCATION:
            self._add_location(self._tenant.ghl_account_id, self._access.account)
            self._enqueue_locations([self._tenant.ghl_account_id])
        elif self._fetchable():
            self._executor.add(self._requests, [self._list_locations])
        try:
            self._executor.wait()
            self._group_by_location()
            self._prove()
        finally:
            self._client.limiter.note_quotas()
        return self._result()

    def _list_locations(self) -> None:
        """List a company's locations; those of a page are fetched while the next page is asked for."""
        self._list_installations()
        target = FetchTarget(endpoint=LOCATION_SEARCH, company_id=self._tenant.ghl_account_id)
        listing = fetch_endpoint(
            target, self._access.account, self._client, self._budget, on_page=self._add_locations
        )
        if listing.error is None and any(entity.entity_id is None for entity in listing.entities):
            nameless = GhlError(ErrorKind.MALFORMED_RESPONSE, "GHL lists a location without an id")
            listing = replace(listing, error=listing.target.error(nameless))
        self._listing = listing

    def _list_installations(self) -> None:
        """Ask in which locations the app is installed; where GHL does not say, refused tokens show it."""
        if self._access.app_id is None:
            return
        target = FetchTarget(
            endpoint=INSTALLED_LOCATIONS, company_id=self._tenant.ghl_account_id, app_id=self._access.app_id
        )
        installations = fetch_endpoint(target, self._access.account, self._client, self._budget)
        for entity in installations.entities:
            if entity.entity_id is None:
                continue
            if json.loads(entity.body).get("isInstalled") is True:
                self._installed.add(entity.entity_id)
            else:
                self._not_installed[entity.entity_id] = (
                    "the app is not installed in the location; install it to capture it (GHL lists it so)"
                )
        error = installations.error
        if error is not None and error.kind is ErrorKind.MISSING_SCOPE:
            self._not_granted.append(target.left_out(LeftOutReason.NOT_GRANTED, error.message))

    def _add_locations(self, found: Sequence[Entity]) -> None:
        """Add the locations of a page, each once however often GHL lists it."""
        added = list(
            dict.fromkeys(
                entity.entity_id
                for entity in found
                if entity.entity_id is not None and entity.entity_id not in self._numbers
            )
        )
        self._client.limiter.read_quotas(added)
        for location_id in added:
            token_source = self._access.location(location_id, is_installed=location_id in self._installed)
            self._add_location(location_id, token_source)
        self._enqueue_locations([each for each in added if each not in self._not_installed])

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
        """Get the location's token and queue the location's fetches; without one all of them fail alike."""
        try:
            self._budget.deadline.check()
            self._token_sources[location_id].token()
        except Exception as failure:  # noqa: BLE001 (recorded as an error of the capture)
            self._final_errors[location_id] = as_ghl_error(failure)
        self._enqueue(self._pending.pop(location_id))

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
        """The fetches for each entity of a fetch, one for those that GHL gave twice."""
        parent_ids = list(dict.fromkeys(entity.entity_id or "" for entity in fetch.entities))
        for number, endpoint in enumerate(self._endpoints):
            if endpoint.parent != fetch.target.endpoint.path:
                continue
            for index, parent_id in enumerate(parent_ids):
                yield (
                    (position[0], number, index),
                    FetchTarget(endpoint=endpoint, location_id=fetch.target.location_id, parent_id=parent_id),
                )

    def _fetch_one(self, position: _Position, target: FetchTarget) -> None:
        """Fetch, unless the location is ended, and queue what is to be fetched for each entity of it."""
        location_id = target.location_id or ""
        final = self._final_errors.get(location_id)
        # What a token of another account is answered without naming a location shows whose it is.
        shows_account = not target.names_location and target.parent_id is None
        if final is not None and not (final.kind is ErrorKind.FORBIDDEN_LOCATION and shows_account):
            return
        token_source = self._token_sources[location_id]
        fetch = self._fetches[position] = fetch_endpoint(target, token_source, self._client, self._budget)
        if fetch.error is not None and fetch.error.kind in _FINAL_KINDS:
            second = self._second_answer(location_id)
            if second is not None and second.kind is fetch.error.kind:
                self._final_errors.setdefault(location_id, second)
        self._enqueue(self._children(position, fetch))

    def _second_answer(self, location_id: str) -> GhlError | None:
        """What an independent call for the location is answered; None if it proves the token to be its."""
        token_source = self._token_sources[location_id]
        try:
            return self._client.second_answer(token_source.token(), token_source, self._budget)
        except (GhlError, CredentialError, ConfigurationError) as failure:
            return as_ghl_error(failure)

    def _group_by_location(self) -> None:
        by_number: defaultdict[int, list[EndpointFetch]] = defaultdict(list)
        for position in sorted(self._fetches):
            by_number[position[0]].append(self._fetches[position])
        self._of_location = {location_id: by_number[number] for location_id, number in self._numbers.items()}

    def _prove(self) -> None:
        """See that what came without naming its location is the location's."""
        unproven = [
            location_id
            for location_id in self._numbers
            if location_id not in self._final_errors and not self._is_proven(location_id)
        ]
        executor = BoundedExecutor(self._requests, max_concurrency=self._max_concurrency)
        executor.add(self._requests, [partial(self._prove_one, location_id) for location_id in unproven])
        executor.wait()

    def _is_proven(self, location_id: str) -> bool:
        fetches = self._of_location[location_id]
        is_doubtful = any(
            not fetch.target.names_location and (fetch.entities or fetch.foreign_account_id)
            for fetch in fetches
        )
        is_named = any(fetch.target.names_location and fetch.entities for fetch in fetches)
        return not is_doubtful or is_named or self._token_sources[location_id].names_location

    def _prove_one(self, location_id: str) -> None:
        second = self._second_answer(location_id)
        if second is None:
            return
        fetches = self._of_location[location_id]
        kinds = {fetch.error.kind for fetch in fetches if fetch.error and fetch.target.names_location}
        if ErrorKind.FORBIDDEN_LOCATION in kinds | {second.kind}:
            words = GhlError(ErrorKind.FORBIDDEN_LOCATION, second.message, status=second.status)
            self._final_errors[location_id] = words
        else:
            error = _unproven(location_id, second)
            self._of_location[location_id] = [
                fetch
                if fetch.target.names_location or not fetch.entities
                else EndpointFetch(target=fetch.target, error=fetch.target.error(error))
                for fetch in fetches
            ]

    def _foreign_token(self, location_id: str, refusal: GhlError) -> GhlError:
        """The error that names both accounts, as far as GHL's answers name the other one."""
        named = (fetch.foreign_account_id for fetch in self._of_location[location_id])
        other = next(filter(None, named), None)
        reference = self._token_sources[location_id].reference
        return GhlError(
            ErrorKind.FORBIDDEN_LOCATION,
            f"the token of {reference} opens {f'the account {other}' if other else 'another account'}, not "
            f"{location_id}: give the tenant its own token, or correct its account. {refusal.message}",
            status=refusal.status,
        )

    def _result(self) -> AccountResult:
        fetches: list[EndpointFetch] = []
        left_out = list(self._not_granted)
        for location_id, of_location in self._of_location.items():
            outside = self._left_out(location_id)
            if outside is not None:
                left_out.append(outside)
            elif location_id in self._final_errors:
                fetches += self._ended(location_id)
            else:
                fetches += of_location
        fetches += self._skipped()
        is_company = self._tenant.account_kind is AccountKind.COMPANY
        return AccountResult(
            listing=self._listing,
            fetches=fetches,
            left_out=[*left_out, *(fetch.left_out for fetch in fetches if fetch.left_out is not None)],
            location_ids=list(self._numbers) if is_company else None,
        )

    def _left_out(self, location_id: str) -> LeftOut | None:
        """What leaves an agency's location out of the capture."""
        if location_id in self._not_installed:
            reason, message = LeftOutReason.NOT_INSTALLED, self._not_installed[location_id]
        else:
            error = self._final_errors.get(location_id)
            if error is None or error.kind not in _LEFT_OUT or location_id == self._tenant.ghl_account_id:
                return None
            reason, message = _LEFT_OUT[error.kind], error.message
        return LeftOut(endpoint=None, location_id=location_id, reason=reason, message=message)

    def _ended(self, location_id: str) -> Iterator[EndpointFetch]:
        """The fetches of a location that was ended: the first one failed, and the others were not asked."""
        error = self._final_errors[location_id]
        if error.kind is ErrorKind.FORBIDDEN_LOCATION:
            error = self._foreign_token(location_id, error)
        targets = [
            FetchTarget(endpoint=endpoint, location_id=location_id) for _, endpoint in self._fetchable()
        ]
        yield failed_fetch(targets[0], error)
        for target in targets[1:]:
            why = f"not asked, because {targets[0].endpoint.name} failed: {error.message}"
            yield skipped_fetch(target, error.kind, why)

    def _skipped(self) -> Iterator[EndpointFetch]:
        """The error for each endpoint that is not asked, because the credential could not open it."""
        fetchable = {endpoint for _, endpoint in self._fetchable()}
        for endpoint in self._endpoints:
            if endpoint.parent is None and endpoint not in fetchable:
                yield skipped_fetch(FetchTarget(endpoint=endpoint), ErrorKind.MISSING_SCOPE, _AGENCY_ONLY)


def _unproven(location_id: str, second: GhlError) -> GhlError:
    return GhlError(
        ErrorKind.UNPROVEN,
        f"the answer names no location, and nothing proves that the token is that of {location_id}; nothing "
        f"of the answer is stored. GET /locations/{{locationId}} would prove it: {second.message}",
        status=second.status,
    )
