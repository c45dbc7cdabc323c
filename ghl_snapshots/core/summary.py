"""Snapshots as lines of text: a row for each, what is missing in it and why, and the totals."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from ghl_snapshots.core.model import Snapshot, Status

Item = TypeVar("Item")
_HEADINGS = ("tenant", "type", "status", "records", "calls", "seconds", "checksum")
_ROW = "{:<{width}}  {:<10}  {:<15}  {:>7}  {:>5}  {:>7}  {}"


def heading(tenant_ids: Iterable[str]) -> str:
    """The headings of the columns of `row`."""
    return _format(tenant_ids, *_HEADINGS)


def row(snapshot: Snapshot, tenant_ids: Iterable[str]) -> str:
    """One snapshot: tenant, type, status, size, cost, and the first 12 digits of the checksum."""
    return _format(
        tenant_ids,
        snapshot.tenant_id,
        snapshot.snapshot_type.value,
        snapshot.status.value,
        f"{snapshot.record_count:,}",
        f"{snapshot.api_calls:,}",
        f"{snapshot.duration_ms / 1000:.2f}",
        snapshot.checksum[:12],
    )


def describe_errors(snapshot: Snapshot, *, at_most: int = 5) -> list[str]:
    """What is missing in the snapshot and why, an error each, with the number of those left out."""
    return _bounded(snapshot, snapshot.metadata["errors"], _describe, at_most)


def describe_left_out(snapshot: Snapshot, *, at_most: int = 5) -> list[str]:
    """What the snapshot is complete without and why, a line for each call and reason."""
    groups: dict[tuple[str, str | None], list[Mapping[str, str | None]]] = {}
    for item in snapshot.metadata.get("leftOut", []):
        groups.setdefault((item["reason"], item["endpoint"]), []).append(item)
    return _bounded(snapshot, list(groups.values()), _describe_group, at_most)


def totals(snapshots: Sequence[Snapshot], *, seconds: float, new_bytes: int) -> str:
    """All snapshots of a run: by status, records, calls, time, and what the ledger grew by."""
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


def columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The rows with aligned cells, whole however narrow the terminal is."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _bounded(
    snapshot: Snapshot, items: Sequence[Item], describe: Callable[[Item], str], at_most: int
) -> list[str]:
    lines = [describe(item) for item in items[:at_most]]
    if len(items) > at_most:
        more = f"{len(items) - at_most:,} more"
        lines.append(f"and {more}; `ghl-snapshots show {snapshot.snapshot_id}` lists all")
    return lines


def _describe_group(group: Sequence[Mapping[str, str | None]]) -> str:
    """Calls that were left out for the same reason, by the first of them."""
    more = f", and {len(group) - 1:,} more of these calls" if len(group) > 1 else ""
    return f"left out ({group[0]['reason']}): {_describe(group[0])}{more}"


def _describe(item: Mapping[str, str | None]) -> str:
    location = f" of location {item['locationId']}" if item["locationId"] else ""
    return f"{item['endpoint'] or 'all calls'}{location}: {item['message']}"


def _format(tenant_ids: Iterable[str], *cells: str) -> str:
    return _ROW.format(*cells, width=max(map(len, [_HEADINGS[0], *tenant_ids])))
