"""All parts of one snapshot type of one account: which there are, read at once, put into a fixed order."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias

from ghl_snapshots.core.errors import ErrorKind, GhlError
from ghl_snapshots.core.model import AccountKind, CaptureError, Entity, SnapshotType, Tenant
from ghl_snapshots.ghl.bounded_executor import Crew, Line
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.client import GhlClient
from ghl_snapshots.ghl.credentials import AccountCredentials
from ghl_snapshots.ghl.endpoint_fetch import Part, Subject, failed_part, read_part, unread_part
from ghl_snapshots.ghl.endpoints import LOCATION_SEARCH, Endpoint, Paging, endpoints_of
from ghl_snapshots.ghl.token_source import TokenSource

_Place: TypeAlias = tuple[int, int, int]
"""Where a part stands in a payload: its location's, its endpoint's and its parent entity's turn."""

_AGENCY_ONLY: Final = (
    "not asked: an agency's Private Integration Token opens the agency's own endpoints only, and this one "
    "takes a location's token. Give the tenant the credential oauth, or add its locations as tenants "
    "themselves"
)

_OPENINGS_OF_WIDTH: Final = 4
"""One in so many of a capture's requests under way may be for a location's token."""

_WHOLE: Final = None
"""Stands for the whole account where a location's id would stand for that location."""


class AccountReading:
    """One capture's reading of an account: breadth first over its locations, on a pool that others share.

    A location whose token may have to be asked for is opened first, on threads apart, since the company's
    rate limit may hold that up; the others' parts are read meanwhile. Not more than `width` parts and
    openings are under way at once, so that a large account leaves room for the captures beside it.
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
        openings: ThreadPoolExecutor,
        width: int,
    ) -> None:
        self._tenant = tenant
        self._endpoints = endpoints_of(snapshot_type)
        self._access = access
        self._client = client
        self._budget = budget
        self._openings = Line(openings, most=max(1, width // _OPENINGS_OF_WIDTH))
        self._calls = Line(pool, most=width)
        self._crew = Crew(self._openings, self._calls, width=width)
        self._bearers: dict[str, TokenSource] = {}
        self._turns: dict[str, int] = {}
        self._endings: dict[str | None, CaptureError] = {}
        self._listing = Part(subject=Subject(endpoint=LOCATION_SEARCH))
        self._parts: dict[_Place, Part] = {}
        self._held: defaultdict[str, list[tuple[_Place, Subject]]] = defaultdict(list)
        """The parts of locations that are to be opened first."""

    def read(self) -> tuple[Part, list[Part]]:
        """The part that told which locations there are, and what every endpoint tells of each, in order."""
        self._client.limiter.read_quotas([self._tenant.ghl_account_id])
        if self._tenant.account_kind is AccountKind.LOCATION:
            self._add_location(self._tenant.ghl_account_id, self._access.account)
            self._ask_about([self._tenant.ghl_account_id])
        elif self._readable():
            self._crew.add(self._calls, [self._list_locations])
        try:
            self._crew.wait()
        finally:
            self._client.limiter.note_quotas()
        return self._listing, [*(self._parts[place] for place in sorted(self._parts)), *self._closed()]

    def _list_locations(self) -> None:
        """List a company's locations; those of a page are read while the next page is asked for."""
        subject = Subject(endpoint=LOCATION_SEARCH, company_id=self._tenant.ghl_account_id)
        part = self._read(subject, self._access.account, self._add_locations)
        if part.error is None and any(entity.entity_id is None for entity in part.entities):
            nameless = GhlError(ErrorKind.MALFORMED_RESPONSE, "GHL lists a location without an id")
            part = replace(part, error=part.subject.error(nameless))
        self._listing = part

    def _add_locations(self, found: Sequence[Entity]) -> None:
        """Take up the locations of a page, but for those known from a listing that was begun anew."""
        named = [
            entity.entity_id
            for entity in found
            if entity.entity_id is not None and entity.entity_id not in self._turns
        ]
        self._client.limiter.read_quotas(named)
        for location_id in named:
            self._add_location(location_id, self._access.location(location_id))
        self._ask_about(named)

    def _add_location(self, location_id: str, bearer: TokenSource) -> None:
        self._bearers[location_id] = bearer
        self._turns[location_id] = len(self._turns)

    def _ask_about(self, location_ids: Sequence[str]) -> None:
        """Line up the locations, those endpoints first that take several requests one after the other."""
        parts: list[tuple[_Place, Subject]] = []
        for turn, endpoint in sorted(self._readable(), key=lambda item: self._is_short(item[1])):
            for location_id in location_ids:
                place = (self._turns[location_id], turn, 0)
                of_location = parts if self._is_open(location_id) else self._held[location_id]
                of_location.append((place, Subject(endpoint=endpoint, location_id=location_id)))
        self._line_up(parts)
        unopened = (location_id for location_id in location_ids if not self._is_open(location_id))
        self._crew.add(self._openings, [partial(self._open, location_id) for location_id in unopened])

    def _line_up(self, parts: Iterable[tuple[_Place, Subject]]) -> None:
        """Have parts read."""
        self._crew.add(self._calls, [partial(self._read_one, *part) for part in parts])

    def _is_open(self, location_id: str) -> bool:
        """Whether the token for the account itself is the location's too."""
        return self._bearers[location_id] is self._access.account

    def _open(self, location_id: str) -> None:
        """Ask for the location's token, unless it is known, and go on to the location's parts.

        The first of them has failed if the location could not be opened.
        """
        failure = self._failure_to_open(location_id)
        parts = self._held.pop(location_id)
        if failure is not None:
            place, subject = parts.pop(0)
            self._parts[place] = failed = failed_part(subject, failure)
            self._note_ending(failed, self._bearers[location_id])
        self._line_up(parts)

    def _failure_to_open(self, location_id: str) -> Exception | None:
        if self._ending(location_id) is not None:
            return None
        try:
            self._budget.deadline.check()
            self._bearers[location_id].token()
        except Exception as failure:  # noqa: BLE001 (recorded as an error of the capture)
            return failure
        return None

    def _is_short(self, endpoint: Endpoint) -> bool:
        """Whether one request is all that the endpoint takes."""
        is_parent = any(other.parent == endpoint.path for other in self._endpoints)
        return endpoint.paging is Paging.NONE and not is_parent

    def _readable(self) -> Sequence[tuple[int, Endpoint]]:
        """The endpoints that the credential can open, with their turns, those with a parent left out."""
        return [
            (turn, endpoint)
            for turn, endpoint in enumerate(self._endpoints)
            if endpoint.parent is None and (endpoint.agency_token or not self._access.agency_only)
        ]

    def _children(self, place: _Place, part: Part) -> Iterator[tuple[_Place, Subject]]:
        """What is to be asked for each entity of a part."""
        for turn, endpoint in enumerate(self._endpoints):
            if endpoint.parent != part.subject.endpoint.path:
                continue
            for number, entity in enumerate(part.entities):
                yield (
                    (place[0], turn, number),
                    Subject(
                        endpoint=endpoint,
                        location_id=part.subject.location_id,
                        parent_id=entity.entity_id or "",
                    ),
                )

    def _closed(self) -> Iterator[Part]:
        """The error for each endpoint that is not asked, because the credential could not open it."""
        readable = {endpoint for _, endpoint in self._readable()}
        for endpoint in self._endpoints:
            if endpoint.parent is None and endpoint not in readable:
                yield unread_part(Subject(endpoint=endpoint), ErrorKind.MISSING_SCOPE, _AGENCY_ONLY)

    def _read_one(self, place: _Place, subject: Subject) -> None:
        """Read a part, and know by it what more there is to read."""
        part = self._parts[place] = self._read(subject, self._bearers[subject.location_id or ""])
        self._line_up(self._children(place, part))

    def _read(
        self, subject: Subject, bearer: TokenSource, tell: Callable[[Sequence[Entity]], None] | None = None
    ) -> Part:
        """Read a part, unless what became of another one tells that it would fail alike."""
        ending = self._ending(subject.location_id)
        if ending is not None:
            why = f"not asked, because {ending.endpoint} failed: {ending.message}"
            return unread_part(subject, ending.kind, why)
        part = read_part(subject, bearer, self._client, self._budget, tell=tell)
        self._note_ending(part, bearer)
        return part

    def _ending(self, location_id: str | None) -> CaptureError | None:
        return self._endings.get(_WHOLE) or self._endings.get(location_id)

    def _is_of_account(self, bearer: TokenSource) -> bool:
        """Whether what GHL refuses of the bearer, it refuses of the account itself."""
        return bearer.resource_id == self._tenant.ghl_account_id or self._access.lost

    def _note_ending(self, part: Part, bearer: TokenSource) -> None:
        """Remember an error that every further call for the tenant, or for the location, would meet.

        What GHL forbids of the list of locations says nothing of those that are known already.
        """
        error = part.error
        if error is None:
            return
        if error.kind.ends_tenant and self._is_of_account(bearer):
            self._endings.setdefault(_WHOLE, error)
        elif error.location_id is not None and (
            error.kind.ends_tenant or error.kind is ErrorKind.FORBIDDEN_LOCATION
        ):
            self._endings.setdefault(error.location_id, error)
