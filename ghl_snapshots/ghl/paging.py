"""GHL's ways of giving a list in pages, followed to the end and no further than that.

Bytes that GHL sent are never thrown away: an entity that comes twice is given twice, and flagged. What
threatens completeness is an error, raised after the page on which it was found. A list is complete when GHL
says so by a total or `hasMore`, or else by an empty page. A page that is merely short ends a list only where
GHL documents pages of the size that is asked for, because a server may give fewer than asked for.

A list can move under its pages, so that an entity slips from one to the other unseen. A total that changes
from page to page shows it. And where pages are asked for by position, the one after a full page has to
begin with that one's last entity. What stays unnoticed is a deletion where GHL fills no page and gives no
total, and one deleted and another one added between two pages that are asked for by number.

Where GHL documents no id for the entities, two equal ones are two.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from ghl_snapshots.core.errors import ErrorKind, GhlError, ListChangedError
from ghl_snapshots.core.model import Entity
from ghl_snapshots.ghl.endpoint import By, Endpoint
from ghl_snapshots.ghl.json_slices import Answer

MAX_PAGES: Final = 500


AnswerT = TypeVar("AnswerT", bound=Answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """What a page adds to the walk, and how the list seems to have changed before it."""

    new: tuple[Entity, ...]
    twice: tuple[Entity, ...]
    """Those of the new ones that the page itself has twice."""
    again: tuple[Entity, ...]
    """Those of the new ones that came on an earlier page."""
    change: ListChangedError | None
    """Why something may be missing before the page."""

    def check_unchanged(self) -> None:
        """Raise a ListChangedError if anything shows that the list changed."""
        if self.change is not None:
            raise self.change
        if self.again:
            raise ListChangedError(
                ErrorKind.PAGING, f"GHL gave {_named(_identity(self.again[0]))} again on a later page"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[AnswerT]):
    """One page of a list: the answer, what is new in it, and what of that GHL gave before."""

    answer: AnswerT
    new: tuple[Entity, ...]
    duplicates: tuple[Entity, ...]


def pages(
    endpoint: Endpoint,
    fetch: Callable[[Mapping[str, str]], AnswerT],
    *,
    is_repeated: bool = False,
    max_pages: int = MAX_PAGES,
) -> Iterator[Page[AnswerT]]:
    """Each page of a list as `fetch` gives it for the page's query parameters.

    `is_repeated` says that the list changed while it was followed before; it is then followed as far as it
    goes in spite of a change.

    Raises:
        ListChangedError: of kind PAGING, for an entity that comes again on a later page, or a total or a last
            entity that is not the one of the page before. Followed from its beginning, the list may be whole.
        GhlError: of kind PAGING, for a cursor that does not move, a list that ends before its total or never
            ends; or whatever `fetch` raises. Its `cursor` is that of the page that failed;
            the pages yielded before are good.
    """
    walk = _Walk(endpoint)
    for _ in range(max_pages):
        with _noting(walk.cursor):
            answer = fetch(walk.query())
            if walk.was_rounded(answer):
                continue
            page = walk.page(answer)
            if not is_repeated:
                page.check_unchanged()
        yield Page(answer=answer, new=page.new, duplicates=(*page.twice, *page.again))
        with _noting(walk.cursor):
            last = walk.move_on(answer, page)
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
        self._paging = endpoint.paging
        self._seen: set[str | bytes] = set()
        self._count = 0
        self._distinct = 0
        """Entities without those that came again on a later page."""
        self._page = 1
        self._first: Entity | None = None
        self._last: Entity | None = None
        self._overlap = 0
        """Entities of the page before with which the next one is to begin."""
        self._whole_pages = self._paging is None or self._paging.by is not By.POSITION
        """Whether pages begin at whole pages only, so that none can begin with the end of another."""
        self._total: int | None = None

    @property
    def cursor(self) -> str | None:
        """Where the next page goes on; None for the first page by cursor and for a list in one answer."""
        if self._paging is None:
            return None
        last = self._last.entity_id if self._last else None
        return {By.POSITION: str(self._count), By.PAGE: str(self._page), By.CURSOR: last}[self._paging.by]

    def query(self) -> dict[str, str]:
        """The query parameters of the next page."""
        if self._paging is None:
            return {}
        begin = self.cursor
        if self._paging.by is By.POSITION:
            begin = str(self._count - self._overlap)
        sent = {self._paging.start: begin, self._paging.limit: str(self._paging.size)}
        return {name: value for name, value in sent.items() if name and value is not None}

    def was_rounded(self, page: Answer) -> bool:
        """Whether the page before came again, which a server does that begins whole pages only.

        It is then to be asked where the next page begins.
        """
        first = _identity(page.entities[0]) if page.entities else None
        if not self._overlap or self._first is None or first != _identity(self._first):
            return False
        self._whole_pages, self._overlap = True, 0
        return True

    def page(self, answer: Answer) -> _Page:
        """The answer's entities but for those with which the page before ended."""
        changes = [self._changed_total(answer)]
        new = answer.entities
        if self._last is not None and self._overlap:
            if new and _identity(new[0]) == _identity(self._last):
                new = new[self._overlap :]
            else:
                changes.append(
                    "the list changed while its pages were read: "
                    f"{_named(_identity(self._last))}, with which a page ended, did not come again at the "
                    "same place"
                )
        change = next(filter(None, changes), None)
        twice: list[Entity] = []
        again: list[Entity] = []
        on_page: set[str | bytes] = set()
        for entity in new:
            identity = _identity(entity)
            if identity in self._seen:
                again.append(entity)
            elif identity in on_page:
                twice.append(entity)
            on_page.add(identity)
        if not self._endpoint.id:
            twice = [entity for entity in twice if entity.entity_id]
            # Different ones that all came before are a page that came before.
            if len(again) < len(new) or len(on_page) == 1:
                again = [entity for entity in again if entity.entity_id]
        return _Page(
            new=new,
            twice=tuple(twice),
            again=tuple(again),
            change=ListChangedError(ErrorKind.PAGING, change) if change else None,
        )

    def move_on(self, answer: Answer, page: _Page) -> bool:
        """Go past the page, and say whether it is the last one.

        Raises:
            ListChangedError: something may be missing before the page.
            GhlError: PAGING, when the list cannot be followed, or GHL gave fewer than it says there are.
        """
        self._total = self._total if answer.total is None else answer.total
        self._seen.update(_identity(entity) for entity in page.new)
        self._count += len(page.new)
        self._distinct += len(page.new) - len(page.again)
        self._page += 1
        if page.change is not None:
            raise page.change
        if page.new and len(page.again) == len(page.new):
            raise _paging("GHL gave a page again in the place of the next one")
        last = self._paging is None or self._is_last(answer, page.new)
        if last:
            self._check_complete(answer)
        else:
            self._follow(answer, page.new)
        return last

    def _changed_total(self, answer: Answer) -> str | None:
        if None in (self._total, answer.total) or answer.total == self._total:
            return None
        return (
            f"the list changed while its pages were read: GHL said there are {self._total} entities, and "
            f"on a later page that there are {answer.total}"
        )

    def _check_complete(self, answer: Answer) -> None:
        if self._paging is None and answer.has_more:
            raise _paging("GHL says that more follow in a list that it gives in one answer")
        if self._total is not None and len(self._seen) > self._total:
            raise _paging(f"GHL gave {len(self._seen)} entities, but says there are {self._total}")
        # What came again on a later page may stand in the place of something that did not come.
        if self._total is not None and self._distinct < self._total:
            raise _paging(
                f"the list ended after {self._distinct} entities, but GHL says there are {self._total}"
            )

    def _is_last(self, answer: Answer, new: tuple[Entity, ...]) -> bool:
        if not new and answer.has_more:
            raise _paging("GHL gave an empty page and says that more follow")
        if not answer.entities:
            return True
        if answer.has_more is not None:
            return not answer.has_more
        if self._paging is not None and self._paging.short_is_last:
            return len(answer.entities) < self._paging.size
        return self._total is not None and self._distinct >= self._total

    def _follow(self, answer: Answer, new: tuple[Entity, ...]) -> None:
        """Go on behind the last entity, or from it on if the page was full: then there may be more."""
        full = self._paging is not None and len(answer.entities) >= self._paging.size > 1
        self._overlap = int(full and bool(new) and not self._whole_pages)
        if new:
            self._first, self._last = answer.entities[0], new[-1]
        if self._paging is not None and self._paging.by is By.CURSOR and self.cursor is None:
            raise _paging("the last entity of the page has no id, by which the next page would be asked")


def _paging(message: str) -> GhlError:
    return GhlError(ErrorKind.PAGING, message)


def _identity(entity: Entity) -> str | bytes:
    """What identifies an entity in its list: its id or, without one, all of it."""
    return entity.entity_id or entity.digest


def _named(identity: str | bytes) -> str:
    return f"entity {identity!r}" if isinstance(identity, str) else "the same entity"
