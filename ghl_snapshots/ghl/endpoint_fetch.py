"""One endpoint of one location, fetched page by page to its end or to its failure."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ghl_snapshots.core.errors import (
    ConfigurationError,
    CredentialError,
    DatabaseLostError,
    ErrorKind,
    ForeignAnswerError,
    GhlError,
    ListChangedError,
    SpoolError,
)
from ghl_snapshots.core.model import CaptureError, Duplicate, Entity, LeftOut, LeftOutReason, RequestRecord
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.client import Fetched, GhlClient
from ghl_snapshots.ghl.fetch_target import FetchTarget
from ghl_snapshots.ghl.paging import pages
from ghl_snapshots.ghl.quoting import quoted
from ghl_snapshots.ghl.spool import Spool
from ghl_snapshots.ghl.token_source import TokenSource

_LASTING: Final = frozenset({ErrorKind.FORBIDDEN, ErrorKind.NOT_FOUND, ErrorKind.INVALID_REQUEST})
"""Refusals of a call that the next capture will meet too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointFetch:
    """What fetching a target came to: the entities of every page before the error, if there was one.

    The requests' offsets count from the fetch's first entity.
    """

    target: FetchTarget
    entities: tuple[Entity, ...] = field(default=(), repr=False)
    requests: tuple[RequestRecord, ...] = field(default=(), repr=False)
    duplicates: tuple[Duplicate, ...] = ()
    failure: GhlError | None = None
    """What ended it before its end."""

    @property
    def kind(self) -> ErrorKind | None:
        """What sort of failure ended it."""
        return self.failure.kind if self.failure is not None else None

    @property
    def error(self) -> CaptureError | None:
        """The failure as an error of the capture, if it is one."""
        if self.failure is None or self.left_out is not None:
            return None
        return self.target.error(self.failure)

    @property
    def left_out(self) -> LeftOut | None:
        """The failure as something that the capture is complete without, if it is."""
        reason = self._left_out_reason
        # What GHL has given a part of is incomplete without the rest.
        if self.failure is None or reason is None or self.requests:
            return None
        return self.target.left_out(reason, self.failure.message)

    @property
    def _left_out_reason(self) -> LeftOutReason | None:
        endpoint = self.target.endpoint
        if self.kind is ErrorKind.NOT_IN_PLAN:
            return LeftOutReason.NOT_IN_PLAN
        if self.kind is ErrorKind.MISSING_SCOPE and not endpoint.must:
            return LeftOutReason.NOT_GRANTED
        status = self.failure.status if self.failure is not None else None
        if self.kind is ErrorKind.NOT_FOUND and status in endpoint.absent:
            return LeftOutReason.ABSENT
        # Without a status it is not this call that was refused, but the token for it.
        if self.kind in _LASTING and status is not None and not endpoint.must:
            return LeftOutReason.REFUSED
        return None

    @property
    def is_foreign(self) -> bool:
        """Whether it was answered with another account's entities."""
        return isinstance(self.failure, ForeignAnswerError)


@dataclass(frozen=True, slots=True)
class _Pass:
    """What the pages of a list gave so far, followed from its beginning."""

    entities: list[Entity] = field(default_factory=list)
    requests: list[RequestRecord] = field(default_factory=list)
    duplicates: list[Duplicate] = field(default_factory=list)


def fetch_endpoint(
    target: FetchTarget,
    token_source: TokenSource,
    client: GhlClient,
    budget: Budget,
    spool: Spool,
    *,
    on_page: Callable[[Sequence[Entity]], None] | None = None,
) -> EndpointFetch:
    """Fetch every page of the target, its bytes into the spool; nothing that GHL or a credential does raises.

    A list that changes meanwhile is fetched once more from its beginning; if that fails, the pass that got
    further counts. `on_page` is called with each page's entities before the next page is asked for.

    Raises:
        SpoolError: the disk has no room for what GHL answered.
        DatabaseLostError: the database that holds the tokens is away.
    """

    def fetch(paging: Mapping[str, str]) -> Fetched:
        fetched = client.fetch(target, paging, token_source=token_source, budget=budget)
        _check_account(target, fetched)
        return fetched

    def follow(current: _Pass, *, is_repeated: bool) -> None:
        for page in pages(target.endpoint, fetch, is_repeated=is_repeated):
            current.requests.append(
                _record(target, page.answer, offset=len(current.entities), count=len(page.new))
            )
            current.entities.extend(spool.keep(page.new))
            current.duplicates.extend(_duplicate(target, entity) for entity in page.duplicates)
            if on_page is not None:
                on_page(page.new)

    failure: Exception | None = None
    best = first = _Pass()
    try:
        try:
            follow(first, is_repeated=False)
        except ListChangedError:
            best = _Pass()
            follow(best, is_repeated=True)
    except (SpoolError, DatabaseLostError):
        raise  # they say nothing about GHL
    except Exception as raised:  # noqa: BLE001 (one account's oddity must not cost another's capture)
        failure = raised
        # Of two that met a change the later one is nearer to what the list is.
        if not isinstance(raised, ListChangedError):
            best = max(best, first, key=lambda each: len(each.entities))
    return EndpointFetch(
        target=target,
        entities=tuple(best.entities),
        requests=tuple(best.requests),
        duplicates=tuple(best.duplicates),
        failure=as_ghl_error(failure) if failure is not None else None,
    )


def failed_fetch(target: FetchTarget, failure: BaseException) -> EndpointFetch:
    """A fetch of which nothing is kept, or for which nothing was asked."""
    return EndpointFetch(target=target, failure=as_ghl_error(failure))


def as_ghl_error(failure: BaseException) -> GhlError:
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


def _check_account(target: FetchTarget, fetched: Fetched) -> None:
    """Refuse what belongs to another account, so that it cannot stand in the wrong account's snapshot."""
    account_id = target.location_id or target.company_id
    named = fetched.named_locations if target.location_id else fetched.named_companies
    foreign = named - {account_id}
    if foreign:
        raise ForeignAnswerError(
            f"GHL answered with something of {quoted(min(foreign))} instead of {account_id}; nothing of the "
            "answer is stored. See that the credential is the one of the tenant's account",
            status=fetched.status,
            attempts=fetched.attempts,
        )


def _duplicate(target: FetchTarget, entity: Entity) -> Duplicate:
    return Duplicate(
        endpoint=target.endpoint.name, location_id=target.location_id, entity_id=entity.entity_id
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
