"""GHL's ways of giving a list in pages, followed to the end and no further than that.

A list is complete when GHL says so by a total or `hasMore`, or else by an empty page. A page that is merely
short ends no list, because a server may give fewer than asked for. A total that changes from page to page
tells that the list has moved under the pages, so that an entity may have slipped from one to the other
unseen; a list of which GHL tells no total can move unnoticed.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar

from ghl_snapshots.errors import ErrorKind, GhlError, ListChangedError
from ghl_snapshots.ghl.endpoints import Endpoint, Paging
from ghl_snapshots.ghl.entities import Slice

MOST_PAGES: Final = 500


class Listed(Protocol):
    """An answer as far as paging looks at it; see `entities.Answer`."""

    @property
    def slices(self) -> tuple[Slice, ...]:
        """The page's entities."""

    @property
    def total(self) -> int | None:
        """How many entities the whole list has, if GHL says."""

    @property
    def has_more(self) -> bool | None:
        """Whether another page follows, if GHL says."""


ListedT = TypeVar("ListedT", bound=Listed)


def pages(
    endpoint: Endpoint, fetch: Callable[[Mapping[str, str]], ListedT], *, most_pages: int = MOST_PAGES
) -> Iterator[ListedT]:
    """Each page of a list as `fetch` gives it for the page's query parameters.

    Raises:
        ListChangedError: of kind PAGING, for a total that is not the one of the page before. Followed from
            its beginning, the list may be whole.
        GhlError: of kind PAGING, for a repeated entity, a cursor that does not move, a list that ends before
            its total or never ends; or whatever `fetch` raises. Its `cursor` is that of the page that failed;
            the pages yielded before are good.
    """
    walk = _Walk(endpoint)
    for _ in range(most_pages):
        with _noting(walk.cursor):
            page = fetch(walk.query())
            last = walk.take(page)
        yield page
        with _noting(walk.cursor):
            walk.check_total(page, last=last)
        if last:
            return
    with _noting(walk.cursor):
        raise _paging(f"the list did not end within {most_pages} pages")


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
        self._last_id: str | None = None
        self._total: int | None = None

    @property
    def cursor(self) -> str | None:
        """What the next page is asked by; None for the first page by cursor and for a list in one answer."""
        return {
            Paging.NONE: None,
            Paging.SKIP: str(self._count),
            Paging.OFFSET: str(self._count),
            Paging.PAGE: str(self._page),
            Paging.CURSOR: self._last_id,
        }[self._endpoint.paging]

    def query(self) -> dict[str, str]:
        """The query parameters of the next page."""
        size = str(self._endpoint.page_size)
        cursor = self.cursor or ""
        match self._endpoint.paging:
            case Paging.NONE:
                return {}
            case Paging.SKIP:
                return {"skip": cursor, "limit": size}
            case Paging.OFFSET:
                return {"offset": cursor, "limit": size}
            case Paging.PAGE:
                return {"page": cursor, "pageSize": size}
            case Paging.CURSOR:
                return {"startAfter": cursor, "limit": size} if cursor else {"limit": size}

    def take(self, page: Listed) -> bool:
        """Go past the page's entities and tell whether it is the last page.

        Raises:
            GhlError: PAGING, when the page cannot be the one asked for; nothing of it is to be kept.
        """
        self._note_total(page)
        self._check_new(page)
        self._seen.update(entity.identity for entity in page.slices)
        self._count += len(page.slices)
        self._page += 1
        last = self._endpoint.paging is Paging.NONE or self._is_last(page)
        if not last:
            self._move_cursor(page)
        return last

    def check_total(self, page: Listed, *, last: bool) -> None:
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

    def _note_total(self, page: Listed) -> None:
        if None not in (self._total, page.total) and page.total != self._total:
            raise ListChangedError(
                ErrorKind.PAGING,
                f"the list changed while its pages were read: GHL said there are {self._total} entities, and "
                f"on a later page that there are {page.total}",
            )
        self._total = self._total if page.total is None else page.total

    def _check_new(self, page: Listed) -> None:
        names = [entity.identity for entity in page.slices]
        repeated = next((name for name in names if name in self._seen), None)
        if repeated is not None:
            raise _paging(f"GHL gave {_named(repeated)} again on a later page")
        if len(set(names)) < len(names):
            raise _paging("GHL gave the same entity twice on one page")

    def _is_last(self, page: Listed) -> bool:
        if not page.slices:
            if page.has_more:
                raise _paging("GHL gave an empty page and says that more follow")
            return True
        if page.has_more is not None:
            return not page.has_more
        return self._total is not None and self._count >= self._total

    def _move_cursor(self, page: Listed) -> None:
        if self._endpoint.paging is not Paging.CURSOR:
            return
        following = page.slices[-1].entity_id
        if following is None:
            raise _paging("the last entity of the page has no id, by which the next page would be asked")
        self._last_id = following


def _paging(message: str) -> GhlError:
    return GhlError(ErrorKind.PAGING, message)


def _named(identity: str | bytes) -> str:
    return f"entity {identity!r}" if isinstance(identity, str) else "the same entity"
