"""One endpoint of one location, fetched page by page to its end or to its failure."""

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
from ghl_snapshots.ghl.endpoints import Endpoint
from ghl_snapshots.ghl.paging import pages
from ghl_snapshots.ghl.quoting import quoted
from ghl_snapshots.ghl.token_source import TokenSource

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchTarget:
    """The endpoint to fetch, and the ids that it is for; `location_id` is None for a company itself."""

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
class EndpointFetch:
    """What fetching a target came to: the entities of every page before the error, if there was one.

    The requests' offsets count from the fetch's first entity.
    """

    target: FetchTarget
    entities: tuple[Entity, ...] = field(default=(), repr=False)
    requests: tuple[RequestRecord, ...] = field(default=(), repr=False)
    error: CaptureError | None = None


@dataclass(frozen=True, slots=True)
class _Pass:
    """What the pages of a list gave so far, followed from its beginning."""

    entities: list[Entity] = field(default_factory=list)
    requests: list[RequestRecord] = field(default_factory=list)


def fetch_endpoint(
    target: FetchTarget,
    token_source: TokenSource,
    client: GhlClient,
    budget: Budget,
    *,
    on_page: Callable[[Sequence[Entity]], None] | None = None,
) -> EndpointFetch:
    """Fetch every page of the target; nothing that GHL or a credential does raises.

    A list that changes meanwhile is fetched once more from its beginning; if that fails, the pass that got
    further counts. `on_page` is called with each page's entities before the next page is asked for.
    """

    def fetch(paging: Mapping[str, str]) -> Fetched:
        query = {**target.query(), **paging}
        fetched = client.fetch(
            target.endpoint,
            target.path(),
            query,
            location_id=target.location_id,
            token_source=token_source,
            budget=budget,
        )
        _check_location(target, fetched)
        return fetched

    def follow(current: _Pass) -> None:
        for page, new in pages(target.endpoint, fetch):
            current.requests.append(_record(target, page, offset=len(current.entities), count=len(new)))
            current.entities.extend(new)
            if on_page is not None:
                on_page(new)

    error = None
    best = first = _Pass()
    try:
        try:
            follow(first)
        except ListChangedError:
            best = _Pass()
            follow(best)
    except Exception as failure:  # noqa: BLE001 (one account's oddity must not cost another's capture)
        error = target.error(_as_ghl_error(failure))
        # Of two that met a change the later one is nearer to what the list is.
        if not isinstance(failure, ListChangedError):
            best = max(best, first, key=lambda each: len(each.entities))
    return EndpointFetch(
        target=target, entities=tuple(best.entities), requests=tuple(best.requests), error=error
    )


def failed_fetch(target: FetchTarget, failure: BaseException) -> EndpointFetch:
    """A fetch that was not begun, because what had to come before failed."""
    return EndpointFetch(target=target, error=target.error(_as_ghl_error(failure)))


def _as_ghl_error(failure: BaseException) -> GhlError:
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


def skipped_fetch(target: FetchTarget, kind: ErrorKind, why: str) -> EndpointFetch:
    """A fetch for which nothing was asked."""
    return EndpointFetch(target=target, error=target.error(GhlError(kind, why, attempts=0)))


def _check_location(target: FetchTarget, fetched: Fetched) -> None:
    """Refuse what belongs to another location, so that it cannot stand in the wrong account's snapshot."""
    foreign = fetched.named_locations - {target.location_id}
    if target.location_id is not None and foreign:
        raise GhlError(
            ErrorKind.FORBIDDEN_LOCATION,
            f"GHL answered with something of location {quoted(min(foreign))} instead; nothing of the answer "
            "is kept. See that the credential is the one of the tenant's account",
            status=fetched.status,
            attempts=fetched.attempts,
        )


def _record(target: FetchTarget, page: Fetched, *, offset: int, count: int) -> RequestRecord:
    return RequestRecord(
        endpoint=target.endpoint.name,
        location_id=target.location_id,
        parent_id=target.parent_id,
        offset=offset,
        count=count,
        status=page.status,
        api_version=target.endpoint.api_version,
        trace_id=page.trace_id,
        requested_at=page.requested_at,
        duration_ms=page.duration_ms,
        attempts=page.attempts,
    )
