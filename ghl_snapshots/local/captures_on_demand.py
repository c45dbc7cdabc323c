"""Captures that a person asks for in a terminal: a line for each snapshot as it is stored."""

import os
import sys
import time
from collections import defaultdict
from collections.abc import Sequence

from rich.console import Console

from ghl_snapshots.core import summary
from ghl_snapshots.core.model import Snapshot, SnapshotType
from ghl_snapshots.local.terminal import progress, width


def capture(tenant_ids: Sequence[str], snapshot_types: Sequence[SnapshotType], *, reason: str) -> int:
    """Capture the tenants in a Dagster run and print each snapshot; the exit code, 0 if all are complete.

    Raises:
        KeyboardInterrupt: Ctrl-C; says how many snapshots are stored.
    """
    # Dagster takes a second to import, which no other command should wait for.
    from ghl_snapshots.definitions import all_definitions
    from ghl_snapshots.orchestration.launch import capture_now

    console = _Console(soft_wrap=True, highlight=False)
    console.print(summary.heading(tenant_ids, width=width()), style="bold")
    began = time.monotonic()
    stored, total = 0, len(tenant_ids) * len(snapshot_types)
    seen: dict[tuple[str, str], Snapshot] = {}
    said: dict[str, set[str]] = defaultdict(set)
    with progress("capturing", console=console) as advance:
        advance(0, total)

        def print_row(snapshot: Snapshot) -> None:
            nonlocal stored
            console.print(summary.row(snapshot, tenant_ids, width=width()), markup=False)
            for error in summary.describe_errors(snapshot):
                earlier = seen.setdefault((snapshot.tenant_id, summary.cause_key(error)), snapshot)
                line = error if earlier is snapshot else f"for the same reason as {earlier.snapshot_type}"
                console.print(f"  {line}", style="red", markup=False)
            # A location in which the app is not installed is so for each type.
            left_out = summary.describe_left_out(snapshot, said=said[snapshot.tenant_id])
            for line in left_out:
                console.print(f"  {line}", style="yellow", markup=False)
            said[snapshot.tenant_id].update(left_out)
            stored += 1
            advance(stored, total)

        try:
            result = capture_now(
                all_definitions(), tenant_ids, snapshot_types, reason=reason, on_snapshot=print_row
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"{stored:,} of {total:,} snapshots were captured and stored") from None
    seconds = time.monotonic() - began
    console.print(summary.totals(result.snapshots, seconds=seconds, new_bytes=result.new_bytes))
    for failure in result.failures if not result.snapshots else ():
        console.print(failure, style="red", markup=False)
    return 0 if result.success else 1


class _Console(Console):
    """A console whose reader may stop early (`| head`), which ends the output but not the captures."""

    def on_broken_pipe(self) -> None:
        """Print nothing more; rich would end the program here."""
        self.quiet = True
        # What is still buffered would fail again when the program ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
