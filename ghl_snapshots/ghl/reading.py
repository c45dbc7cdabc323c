"""All parts of one snapshot type of one account: which there are, read at once, put into a fixed order."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from queue import SimpleQueue
from typing import Final, TypeAlias

from ghl_snapshots.errors import ErrorKind, GhlError
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.client import Bearer, GhlClient
from ghl_snapshots.ghl.credentials import Access
from ghl_snapshots.ghl.endpoints import LOCATION_SEARCH, Endpoint, endpoints_of
from ghl_snapshots.ghl.part import Part, Subject, read_part, unread_part
from ghl_snapshots.model import AccountKind, CaptureError, SnapshotType, Tenant

_Place: TypeAlias = tuple[int, int, int]
"""Where a part stands in a payload: its location's, its endpoint's and its parent entity's turn."""

_AGENCY_ONLY: Final = (
    "not asked: an agency's Private Integration Token opens the agency's own endpoints only, and this one "
    "takes a location's token. Give the tenant the credential oauth, or add its locations as tenants "
    "themselves"
)

_WHOLE: Final = None
"""Stands for the whole account where a location's id would stand for that location."""


class AccountReading:
    """One capture's reading of an account: breadth first over its locations, on a pool that others share.

    Not more than `width` of its parts are handed to the pool at once, so that a large account leaves room for
    the captures beside it.
    """

    def __init__(
        self,
        tenant: Tenant,
        snapshot_type: SnapshotType,
        *,
        access: Access,
        client: GhlClient,
        budget: Budget,
        pool: ThreadPoolExecutor,
        width: int,
    ) -> None:
        self._tenant = tenant
        self._endpoints = endpoints_of(snapshot_type)
        self._access = access
        self._client = client
        self._budget = budget
        self._pool = pool
        self._width = width
        self._bearers: dict[str, Bearer] = {}
        self._endings: dict[str | None, CaptureError] = {}

    def locations(self) -> Part:
        """The locations that the account has, as GHL lists them; the account itself if it is one."""
        if self._tenant.account_kind is AccountKind.LOCATION:
            self._bearers = {self._tenant.ghl_account_id: self._access.account}
            return Part(subject=Subject(endpoint=LOCATION_SEARCH))
        subject = Subject(endpoint=LOCATION_SEARCH, company_id=self._tenant.ghl_account_id)
        if not self._readable():
            return Part(subject=subject)
        part = self._pool.submit(self._read, subject, self._access.account).result()
        named = [entity.entity_id for entity in part.entities if entity.entity_id is not None]
        self._bearers = {location_id: self._access.location(location_id) for location_id in named}
        if len(named) < len(part.entities) and part.error is None:
            nameless = GhlError(ErrorKind.MALFORMED_RESPONSE, "GHL lists a location without an id")
            return replace(part, error=subject.error(nameless))
        return part

    def parts(self) -> list[Part]:
        """What every endpoint tells of every location that `locations` found, in payload order."""
        parts: dict[_Place, Part] = {}
        done: SimpleQueue[tuple[_Place, Future[Part]]] = SimpleQueue()
        waiting = deque(self._first_subjects())
        running = 0
        while waiting or running:
            while waiting and running < self._width:
                self._submit(*waiting.popleft(), done)
                running += 1
            place, future = done.get()
            running -= 1
            parts[place] = future.result()
            waiting.extend(self._children(place, parts[place]))
        return [parts[place] for place in sorted(parts)] + list(self._closed())

    def _readable(self) -> Sequence[tuple[int, Endpoint]]:
        """The endpoints that the credential can open, with their turns, those with a parent left out."""
        return [
            (turn, endpoint)
            for turn, endpoint in enumerate(self._endpoints)
            if endpoint.parent is None and (endpoint.agency_token or not self._access.agency_only)
        ]

    def _first_subjects(self) -> Iterator[tuple[_Place, Subject]]:
        for turn, endpoint in self._readable():
            for place, location_id in enumerate(self._bearers):
                yield (place, turn, 0), Subject(endpoint=endpoint, location_id=location_id)

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

    def _submit(
        self, place: _Place, subject: Subject, done: "SimpleQueue[tuple[_Place, Future[Part]]]"
    ) -> None:
        bearer = self._bearers[subject.location_id or ""]
        future = self._pool.submit(self._read, subject, bearer)
        future.add_done_callback(lambda finished: done.put((place, finished)))

    def _read(self, subject: Subject, bearer: Bearer) -> Part:
        """Read a part, unless what became of another one tells that it would fail alike."""
        ending = self._endings.get(_WHOLE) or self._endings.get(subject.location_id)
        if ending is not None:
            why = f"not asked, because {ending.endpoint} failed: {ending.message}"
            return unread_part(subject, ending.kind, why)
        part = read_part(subject, bearer, self._client, self._budget)
        if part.error is not None:
            self._note_ending(part.error, bearer)
        return part

    def _note_ending(self, error: CaptureError, bearer: Bearer) -> None:
        """Remember an error that every further call for the tenant, or for the location, would meet."""
        if error.kind.ends_tenant and bearer.resource_id == self._tenant.ghl_account_id:
            self._endings.setdefault(_WHOLE, error)
        elif error.kind.ends_tenant or error.kind is ErrorKind.FORBIDDEN_LOCATION:
            self._endings.setdefault(error.location_id, error)
