"""Times of repeated work, and tables that put two designs beside each other."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import Connection
from rich import box
from rich.console import Console
from rich.table import Table


class Timer:
    """Milliseconds that pieces of work took."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Time what is done inside."""
        start = time.perf_counter()
        yield
        self.taken.append((time.perf_counter() - start) * 1000)

    @property
    def median(self) -> float:
        """The median in milliseconds."""
        return statistics.median(self.taken)

    @property
    def per_second(self) -> str:
        """How many pieces fit into a second, one after the other."""
        return f"{1000 / statistics.mean(self.taken):,.0f}"

    def __str__(self) -> str:
        """The median, and what 95 % stay below."""
        ordered = sorted(self.taken)
        if len(ordered) == 1:
            return f"{ordered[0]:.2f} ms"
        return f"{statistics.median(ordered):.2f} ms (95 %: {ordered[int(len(ordered) * 0.95)]:.2f})"


def timed(work: Callable[[], Any], repeat: int = 20) -> Timer:
    """Do the work again and again."""
    timer = Timer()
    for _ in range(repeat):
        with timer():
            work()
    return timer


def size(connection: Connection, *tables: str) -> int:
    """The bytes of tables on disk with all that belongs to them."""
    connection.execute("CHECKPOINT")
    found = connection.execute(
        "SELECT sum(pg_total_relation_size(to_regclass(name))) FROM unnest(%s::text[]) AS name",
        [list(tables)],
    ).fetchone()
    return int(found[0] or 0) if found else 0


class Comparison:
    """A table of measurements of the ledger beside those of another design."""

    def __init__(self, title: str, *designs: str, markdown: bool = False) -> None:
        self._table = Table(title=title, title_justify="left")
        if markdown:
            self._table = Table(box=box.MARKDOWN)
        self._table.add_column("")
        for design in designs:
            self._table.add_column(design, justify="right")

    def row(self, what: str, *values: object) -> None:
        """Add a measurement."""
        self._table.add_row(what, *(str(value) for value in values))

    def print(self) -> None:
        """Show what was measured."""
        Console(width=120).print(self._table)
