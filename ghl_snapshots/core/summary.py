"""Captures told to a person: one line a snapshot, the causes of failures below it, and the totals."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ghl_snapshots.core.model import Snapshot, Status

_HEADINGS = ("tenant", "type", "status", "records", "calls", "seconds", "checksum")
_MOST_ERRORS = 5


def heading(tenant_ids: Iterable[str]) -> str:
    """The headings of the columns that `line` fills."""
    return _row(_width(tenant_ids), *_HEADINGS)


def line(snapshot: Snapshot, tenant_ids: Iterable[str]) -> str:
    """One snapshot: whose, what, how it ended, its size and cost, and the checksum's first 12 digits."""
    return _row(
        _width(tenant_ids),
        snapshot.tenant_id,
        snapshot.snapshot_type.value,
        snapshot.status.value,
        f"{snapshot.record_count:,}",
        f"{snapshot.api_calls:,}",
        f"{snapshot.duration_ms / 1000:.2f}",
        snapshot.checksum[:12],
    )


def causes(snapshot: Snapshot) -> list[str]:
    """A line for each part that is missing, bounded, with the number of those left out."""
    errors = snapshot.metadata["errors"]
    lines = [f"  {cause(error)}" for error in errors[:_MOST_ERRORS]]
    if len(errors) > _MOST_ERRORS:
        more = len(errors) - _MOST_ERRORS
        lines.append(f"  ... and {more} more; `ghl-snapshots show {snapshot.snapshot_id}` lists all.")
    return lines


def totals(snapshots: Sequence[Snapshot], *, seconds: float, new_bytes: int) -> str:
    """What came of the run: snapshots by status, records, calls, time, and what the ledger grew by."""
    by_status = Counter(snapshot.status for snapshot in snapshots)
    statuses = ", ".join(f"{by_status[status]} {status.value}" for status in Status if by_status[status])
    tenants = len({snapshot.tenant_id for snapshot in snapshots})
    records = sum(snapshot.record_count for snapshot in snapshots)
    calls = sum(snapshot.api_calls for snapshot in snapshots)
    return (
        f"{counted(len(snapshots), 'snapshot')} of {counted(tenants, 'tenant')}: {statuses or 'none'}; "
        f"{counted(records, 'record')}, {counted(calls, 'API call')}, {seconds:.1f} s, "
        f"{new_bytes:,} bytes of new entities"
    )


def counted(number: int, noun: str) -> str:
    """So many of something, such as `1 record` or `2,000 records`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def cause(error: Mapping[str, str | None]) -> str:
    """One missing part, as a snapshot's metadata records it: the endpoint, the location and why."""
    location = f" of location {error['locationId']}" if error["locationId"] else ""
    return f"{error['endpoint']}{location}: {error['message']}"


def columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The rows with their cells below each other, whole however narrow the terminal is."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _width(tenant_ids: Iterable[str]) -> int:
    return max((len(tenant_id) for tenant_id in tenant_ids), default=6)


def _row(width: int, *cells: str) -> str:
    tenant, kind, status, records, calls, seconds, checksum = cells
    name = tenant.ljust(max(width, len(_HEADINGS[0])))
    return f"{name}  {kind:<10}  {status:<15}  {records:>7}  {calls:>5}  {seconds:>7}  {checksum}"
