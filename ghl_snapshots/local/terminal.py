"""The terminal that a command writes to: its width, and progress bars on it."""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ghl_snapshots.core.summary import columns


class Advance(Protocol):
    """Moves a bar."""

    def __call__(self, done: int, total: int, name: str = ...) -> None:
        """So much is done of the total; `name` is what is under way, unchanged by default."""


def width() -> int | None:
    """How many columns a line may have; None where it may have any, as in a pipe or a file."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS"):
        return shutil.get_terminal_size().columns
    return None


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The rows as lines for the terminal; see `columns`."""
    return columns(rows, width=width())


@contextmanager
def progress(name: str, *, console: Console | None = None) -> Iterator[Advance]:
    """A bar below the lines of `console`, or on standard error where only that is a terminal; else none.

    It shows that something goes on until it is told how much is done.
    """
    # Not as rich sees it, for which FORCE_COLOR makes a terminal of a pipe.
    console = console or Console()
    shown = console if sys.stdout.isatty() else Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns,
        console=shown,
        transient=True,
        redirect_stdout=shown is console,
        disable=not (sys.stdout.isatty() or sys.stderr.isatty()),
    ) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total, name=name: bar.update(task, completed=done, total=total, description=name)
