"""GHL's ways of giving a list in pages, followed to the end and no further than that.

A list is complete when GHL says so by a total or `hasMore`, or else by an empty page. A page that is merely
short ends no list, because a server may give fewer than asked for.

A list can move under its pages, so that an entity slips from one to the other unseen. A total that changes
from page to page tells of it. And where pages are asked for by position, the one after a full page has to
begin with that one's last entity. What stays unnoticed is a deletion where GHL fills no page and tells no
total, and one deleted and another one added between two pages that are asked for by number.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TypeVar

from ghl_snapshots.core.errors import ErrorKind, GhlError, ListChangedError
from ghl_snapshots.core.model import Entity
from ghl_snapshots.ghl.endpoints import Endpoint, Paging
from ghl_snapshots.ghl.json_slices import Answer

MAX_PAGES: Final = 500
_BY_POSITION: Final = (Paging.SKIP, Paging.OFFSET)


PageT = TypeVar("PageT", bound=Answer)


def pages(
    endpoint: Endpoint, fetch: Callable[[Mapping[str, str]], PageT], *, max_pages: int = MAX_PAGES
) -> Iterator[tuple[PageT, tuple[Entity, ...]]]:
    """Each page of a list as `fetch` gives it for the page's query parameters, and what is new on it.

    Raises:
        ListChangedError: of kind PAGING, for an entity that comes again, or a total or a last entity that is
            not the one of the page before. Followed from its beginning, the list may be whole.
        GhlError: of kind PAGING, for a cursor that does not move, a list that ends before its total or never
            ends; or whatever `fetch` raises. Its `cursor` is that of the page that failed;
            the pages yielded before are good.
    """
    walk = _Walk(endpoint)
    for _ in range(max_pages):
        with _noting(walk.cursor):
            page = fetch(walk.query())
            if walk.was_rounded(page):
                continue
            new = walk.new(page)
            last = walk.take(page, new)
        yield page, new
        with _noting(walk.cursor):
            walk.check_total(page, last=last)
        if last:
            return
    with _noting(walk.cursor):
        raise _paging(f"the list did not end within {max_pages} pages")


@contextmanager
def _noting(cursor: str | None) -> Iterator[None]:
    """Note the cursor in an error that passes."""
    try:
        yield
    except GhlError as error:
        error.cursor = cursor
        raise


class _Walk:
    """How far a list has been followed."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._seen: set[str | bytes] = set()
        self._count = 0
        self._page = 1
        self._first: Entity | None = None
        self._last: Entity | None = None
        self._overlap = 0
        """Entities of the page before with which the next one is to begin."""
        self._whole_pages = self._endpoint.paging not in _BY_POSITION
        """Whether pages begin at whole pages only, so that none can begin with the end of another."""
        self._total: int | None = None

    @property
    def cursor(self) -> str | None:
        """Where the next page goes on; None for the first page by cursor and for a list in one answer."""
        return {
            Paging.NONE: None,
            Paging.SKIP: str(self._count),
            Paging.OFFSET: str(self._count),
            Paging.PAGE: str(self._page),
            Paging.CURSOR: self._last.entity_id if self._last else None,
        }[self._endpoint.paging]

    def query(self) -> dict[str, str]:
        """The query parameters of the next page."""
        size = str(self._endpoint.page_size)
        cursor = self.cursor or ""
        position = str(self._count - self._overlap)
        match self._endpoint.paging:
            case Paging.NONE:
                return {}
            case Paging.SKIP:
                return {"skip": position, "limit": size}
            case Paging.OFFSET:
                return {"offset": position, "limit": size}
            case Paging.PAGE:
                return {"page": cursor, "pageSize": size}
            case Paging.CURSOR:
                return {"startAfter": cursor, "limit": size} if cursor else {"limit": size}

    def was_rounded(self, page: Answer) -> bool:
        """Whether the page before came again, which a server does that begins whole pages only.

        It is then to be asked where the next page begins.
        """
        first = _identity(page.entities[0]) if page.entities else None
        if not self._overlap or self._first is None or first != _identity(self._first):
            return False
        self._whole_pages, self._overlap = True, 0
        return True

    def new(self, page: Answer) -> tuple[Entity, ...]:
        """The page's entities but for those with which the page before ended.

        Raises:
            ListChangedError: PAGING, when that one's last entity does not come again.
        """
        if self._last is None or not self._overlap:
            return page.entities
        first = _identity(page.entities[0]) if page.entities else None
        if first == _identity(self._last):
            return page.entities[self._overlap :]
        if first is not None and first in self._seen:
            raise ListChangedError(ErrorKind.PAGING, _again(first))
        raise ListChangedError(
            ErrorKind.PAGING,
            f"the list changed while its pages were read: {_named(_identity(self._last))}, with which a page "
            "ended, did not come again at the same place",
        )

    def take(self, page: Answer, new: tuple[Entity, ...]) -> bool:
        """Go past the page's new entities and tell whether it is the last page.

        Raises:
            GhlError: PAGING, when the page cannot be the one asked for; nothing of it is to be kept.
        """
        self._note_total(page)
        self._check_new(new)
        self._seen.update(_identity(entity) for entity in new)
        self._count += len(new)
        self._page += 1
        last = self._endpoint.paging is Paging.NONE or self._is_last(page, new)
        if not last:
            self._move_on(page, new)
        return last

    def check_total(self, page: Answer, *, last: bool) -> None:
        """See that the entities so far fit the list's total.

        Raises:
            GhlError: PAGING, when GHL gave fewer in all than it says there are, or more.
        """
        if last and page.has_more:
            raise _paging("GHL says that more follow in a list that it gives in one answer")
        if self._total is None:
            return
        if last and self._count < self._total:
            raise _paging(
                f"the list ended after {self._count} entities, but GHL says there are {self._total}"
            )
        if self._count > self._total:
            raise _paging(f"GHL gave {self._count} entities, but says there are {self._total}")

    def _note_total(self, page: Answer) -> None:
        if None not in (self._total, page.total) and page.total != self._total:
            raise ListChangedError(
                ErrorKind.PAGING,
                f"the list changed while its pages were read: GHL said there are {self._total} entities, and "
                f"on a later page that there are {page.total}",
            )
        self._total = self._total if page.total is None else page.total

    def _check_new(self, new: tuple[Entity, ...]) -> None:
        names = [_identity(entity) for entity in new]
        repeated = next((name for name in names if name in self._seen), None)
        if repeated is not None:
            raise ListChangedError(ErrorKind.PAGING, _again(repeated))
        if len(set(names)) < len(names):
            raise _paging("GHL gave the same entity twice on one page")

    def _is_last(self, page: Answer, new: tuple[Entity, ...]) -> bool:
        if not new and page.has_more:
            raise _paging("GHL gave an empty page and says that more follow")
        if not page.entities:
            return True
        if page.has_more is not None:
            return not page.has_more
        return self._total is not None and self._count >= self._total

    def _move_on(self, page: Answer, new: tuple[Entity, ...]) -> None:
        """Go on behind the last entity, or from it on if the page was full: then there may be more."""
        full = len(page.entities) >= self._endpoint.page_size > 1
        self._overlap = int(full and bool(new) and not self._whole_pages)
        if new:
            self._first, self._last = page.entities[0], new[-1]
        if self._endpoint.paging is Paging.CURSOR and self.cursor is None:
            raise _paging("the last entity of the page has no id, by which the next page would be asked")


def _paging(message: str) -> GhlError:
    return GhlError(ErrorKind.PAGING, message)


def _identity(entity: Entity) -> str | bytes:
    """What tells an entity from the others of its list: its id or, without one, all of it."""
    return entity.entity_id or entity.body


def _again(identity: str | bytes) -> str:
    return f"GHL gave {_named(identity)} again on a later page"


def _named(identity: str | bytes) -> str:
    return f"entity {identity!r}" if isinstance(identity, str) else "the same entity"
