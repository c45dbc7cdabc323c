"""Captures on demand from the command line, told to a person as they are stored."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ghl_snapshots.core import summary
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.ledger.append import Appended


def capture(tenant_ids: Sequence[str], snapshot_types: Sequence[SnapshotType], *, reason: str) -> int:
    """Capture the tenants as a Dagster run, printing a line a snapshot; 0 if all are complete, else 1."""
    # Dagster takes a second to import, which no other command should wait for.
    from ghl_snapshots.definitions import composed
    from ghl_snapshots.orchestration.launch import capture_now

    console = _Lines(soft_wrap=True, highlight=False)
    console.print(summary.heading(tenant_ids), style="bold")
    began = time.monotonic()
    with _progress(console, len(tenant_ids) * len(snapshot_types)) as advance:

        def told(appended: Appended) -> None:
            console.print(summary.line(appended.snapshot, tenant_ids), markup=False)
            for cause in summary.causes(appended.snapshot):
                console.print(cause, style="red", markup=False)
            advance()

        launched = capture_now(composed, tenant_ids, snapshot_types, reason=reason, on_stored=told)
    console.print(
        summary.totals(
            [appended.snapshot for appended in launched.stored],
            seconds=time.monotonic() - began,
            new_bytes=sum(appended.new_bytes for appended in launched.stored),
        )
    )
    for failure in launched.failures if not launched.stored else ():
        console.print(failure, style="red", markup=False)
    return 0 if launched.success else 1


class _Lines(Console):
    """A console whose reader may have had enough (`| head`); the captures go on."""

    def on_broken_pipe(self) -> None:
        """Say no more, in the place of ending the program."""
        self.quiet = True
        # What is still buffered would fail again when the program ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _progress(console: Console, total: int) -> Iterator[Callable[[], None]]:
    """A bar below the lines on a terminal; elsewhere the lines are progress enough."""
    columns = (TextColumn("capturing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("capturing", total=total)
        yield lambda: progress.advance(task)
