"""One part of a capture: what one endpoint tells of one location, followed to its end or to its failure."""

import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ghl_snapshots.core.errors import (
    ConfigurationError,
    CredentialError,
    ErrorKind,
    GhlError,
    ListChangedError,
)
from ghl_snapshots.core.model import CaptureError, Entity, RequestRecord
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.client import Fetched, GhlClient
from ghl_snapshots.ghl.endpoints import Endpoint, Shape
from ghl_snapshots.ghl.json_slices import Slice
from ghl_snapshots.ghl.paging import pages
from ghl_snapshots.ghl.quoting import quoted
from ghl_snapshots.ghl.token_source import TokenSource

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What an endpoint is asked about; `location_id` is None for a company itself."""

    endpoint: Endpoint
    company_id: str | None = None
    location_id: str | None = None
    parent_id: str | None = None

    def path(self) -> str:
        """The path with the ids in their places.

        Raises:
            GhlError: REFUSED, when an id that GHL gave could lead to another path.
        """
        return self.endpoint.path.format_map(self._ids())

    def query(self) -> dict[str, str]:
        """The query parameters besides those of paging."""
        ids = self._ids()
        return {name: value.format_map(ids) for name, value in self.endpoint.query}

    def error(self, error: GhlError) -> CaptureError:
        """The error as a capture records it."""
        return CaptureError(
            endpoint=self.endpoint.name,
            location_id=self.location_id,
            parent_id=self.parent_id,
            kind=error.kind,
            status=error.status,
            message=error.message,
            attempts=error.attempts,
            cursor=error.cursor,
        )

    def _ids(self) -> Mapping[str, str]:
        named = {"locationId": self.location_id, "companyId": self.company_id, "agentId": self.parent_id}
        ids = {name: value for name, value in named.items() if value is not None}
        for value in ids.values():
            if not _ID.fullmatch(value):
                raise GhlError(
                    ErrorKind.REFUSED, f"{quoted(value)} is no id that could stand in a request", attempts=0
                )
        return ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What came of asking about a subject: the entities of every page before the error, if there was one.

    The requests' offsets count from the part's first entity.
    """

    subject: Subject
    entities: tuple[Entity, ...] = field(default=(), repr=False)
    requests: tuple[RequestRecord, ...] = field(default=(), repr=False)
    error: CaptureError | None = None


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the pages of one reading of a list gave so far."""

    entities: list[Entity] = field(default_factory=list)
    requests: list[RequestRecord] = field(default_factory=list)


def read_part(
    subject: Subject,
    bearer: TokenSource,
    client: GhlClient,
    budget: Budget,
    *,
    tell: Callable[[Sequence[Entity]], None] | None = None,
) -> Part:
    """Ask for every page of what the subject is; nothing that GHL or a credential does raises.

    A list that changes while it is read is read once more from its beginning; if that fails, the reading that
    got further is kept. `tell` is called with each page's entities before the next page is asked for.
    """

    def fetch(paging: Mapping[str, str]) -> Fetched:
        query = {**subject.query(), **paging}
        fetched = client.fetch(subject.endpoint, subject.path(), query, bearer=bearer, budget=budget)
        _check_location(subject, fetched)
        return fetched

    def follow(reading: _Reading) -> None:
        for page, new in pages(subject.endpoint, fetch):
            reading.requests.append(_record(subject, page, offset=len(reading.entities), count=len(new)))
            found = [_entity(subject, slice_) for slice_ in new]
            reading.entities.extend(found)
            if tell is not None:
                tell(found)

    error = None
    kept = first = _Reading()
    try:
        try:
            follow(first)
        except ListChangedError:
            kept = _Reading()
            follow(kept)
    except Exception as failure:  # noqa: BLE001 (one account's oddity must not cost another's capture)
        error = subject.error(_told(failure))
        # Of two that met a change the later one is nearer to what the list is.
        if not isinstance(failure, ListChangedError):
            kept = max(kept, first, key=lambda reading: len(reading.entities))
    return Part(subject=subject, entities=tuple(kept.entities), requests=tuple(kept.requests), error=error)


def failed_part(subject: Subject, failure: BaseException) -> Part:
    """A part that was not asked for, because what had to come before failed."""
    return Part(subject=subject, error=subject.error(_told(failure)))


def _told(failure: BaseException) -> GhlError:
    """Whatever was raised, as an error that a capture can record."""
    if isinstance(failure, GhlError):
        return failure
    if isinstance(failure, CredentialError | ConfigurationError):
        return GhlError(ErrorKind.INVALID_CREDENTIAL, str(failure), attempts=0)
    return defect(failure)


def defect(failure: BaseException) -> GhlError:
    """The error of a call that our own code fails at; its text might hold a token and is left out."""
    where = traceback.extract_tb(failure.__traceback__)[-1]
    place = f"{Path(where.filename).name}, line {where.lineno}"
    return GhlError(
        ErrorKind.INTERNAL,
        f"a defect of ghl_snapshots, not of GHL: {type(failure).__name__} in {place}; please report it",
        attempts=0,
    )


def unread_part(subject: Subject, kind: ErrorKind, why: str) -> Part:
    """A part for which nothing was asked."""
    return Part(subject=subject, error=subject.error(GhlError(kind, why, attempts=0)))


def _check_location(subject: Subject, fetched: Fetched) -> None:
    """Refuse what belongs to another location, lest it stand in the wrong account's snapshot."""
    if subject.location_id is None:
        return
    for found in fetched.slices:
        named = found.entity_id if subject.endpoint.shape is Shape.OBJECT else found.location_id
        if named is not None and named != subject.location_id:
            raise GhlError(
                ErrorKind.FORBIDDEN_LOCATION,
                f"GHL answered with something of location {quoted(named)} instead; nothing of the answer is "
                "kept. See that the credential is the one of the tenant's account",
                status=fetched.status,
                attempts=fetched.attempts,
            )


def _entity(subject: Subject, found: Slice) -> Entity:
    return Entity(
        body=found.body,
        endpoint=subject.endpoint.name,
        entity_id=found.entity_id,
        location_id=subject.location_id,
    )


def _record(subject: Subject, page: Fetched, *, offset: int, count: int) -> RequestRecord:
    return RequestRecord(
        endpoint=subject.endpoint.name,
        location_id=subject.location_id,
        parent_id=subject.parent_id,
        offset=offset,
        count=count,
        status=page.status,
        api_version=subject.endpoint.api_version,
        trace_id=page.answer.trace_id,
        requested_at=page.requested_at,
        duration_ms=page.duration_ms,
        attempts=page.attempts,
    )
