"""Snapshots as lines of text: a row for each, what is missing in it and why, and the totals."""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TypeAlias

from ghl_snapshots.core.model import Snapshot, Status

_Item: TypeAlias = Mapping[str, str | None]
_HEADINGS = ("tenant", "type", "status", "records", "calls", "seconds", "checksum")
# What differs between two errors with the same cause: which call it was, how many others, numbers.
_CALL = re.compile(r"^\S+(?: of location \S+)?: | \(and [^()]* for the same reason\)$")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_TEXT_WIDTHS, _NUMBER_WIDTHS = (10, 15), (7, 5, 7)
"""Of the columns of `row` between the tenant and the checksum."""
_GAP, _INDENT = "  ", "    "


def heading(tenant_ids: Iterable[str], *, width: int | None = None) -> str:
    """The headings of the columns of `row`."""
    return _format(tenant_ids, width, *_HEADINGS)


def row(snapshot: Snapshot, tenant_ids: Iterable[str], *, width: int | None = None) -> str:
    """One snapshot: tenant, type, status, size, cost, and the first 12 digits of the checksum."""
    return _format(
        tenant_ids,
        width,
        snapshot.tenant_id,
        snapshot.snapshot_type.value,
        snapshot.status.value,
        f"{snapshot.record_count:,}",
        f"{snapshot.api_calls:,}",
        f"{snapshot.duration_ms / 1000:.2f}",
        snapshot.checksum[:12],
    )


def describe_errors(snapshot: Snapshot, *, at_most: int = 5) -> list[str]:
    """What is missing in the snapshot and why: a line for each cause, with the calls that it cost."""
    lines = _causes(
        snapshot.metadata["errors"], _describe, lambda error: _NUMBER.sub("", str(error["message"]))
    )
    return _bounded(snapshot, lines, at_most)


def describe_left_out(
    snapshot: Snapshot, *, at_most: int = 5, said: AbstractSet[str] = frozenset()
) -> list[str]:
    """What the snapshot is complete without and why, a line for each call and reason not yet `said`."""
    lines = _causes(
        snapshot.metadata.get("leftOut", []),
        lambda left_out: f"left out ({left_out['reason']}): {_describe(left_out)}",
        lambda left_out: (left_out["reason"], left_out["endpoint"]),
    )
    return _bounded(snapshot, [line for line in lines if line not in said], at_most)


def cause_key(line: str) -> str:
    """What two lines of `describe_errors` have in common if they have one cause, also in different types."""
    return _NUMBER.sub("", _CALL.sub("", line))


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


def columns(rows: Sequence[Sequence[str]], *, width: int | None = None) -> Iterator[str]:
    """The rows with aligned cells; what is wider than `width` goes on in indented lines, nothing is cut."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        yield from _aligned([cell.ljust(size) for cell, size in zip(cells, widths, strict=True)], width)


def _aligned(cells: Sequence[str], width: int | None) -> Iterator[str]:
    line = cells[0]
    for cell in cells[1:]:
        if width is not None and len(line) + len(_GAP) + len(cell) > width:
            yield line.rstrip()
            line = _INDENT + cell
        else:
            line += _GAP + cell
    yield line.rstrip()


def _causes(
    items: Sequence[_Item], describe: Callable[[_Item], str], key: Callable[[_Item], Hashable]
) -> list[str]:
    """A line for each cause: the first call that it cost, and how many more."""
    alike: dict[Hashable, list[_Item]] = {}
    for item in items:
        alike.setdefault(key(item), []).append(item)
    return [describe(first) + _others(others) for first, *others in alike.values()]


def _others(items: Sequence[_Item]) -> str:
    return f" (and {counted(len(items), 'more call')} for the same reason)" if items else ""


def _bounded(snapshot: Snapshot, lines: Sequence[str], at_most: int) -> list[str]:
    more = len(lines) - at_most
    if more <= 0:
        return list(lines)
    rest = f"and {counted(more, 'more cause')}; `ghl-snapshots show {snapshot.snapshot_id}` lists all"
    return [*lines[:at_most], rest]


def _describe(item: _Item) -> str:
    location = f" of location {item['locationId']}" if item["locationId"] else ""
    return f"{item['endpoint'] or 'all calls'}{location}: {item['message']}"


def _format(tenant_ids: Iterable[str], width: int | None, *cells: str) -> str:
    tenant, kind, status, *numbers, checksum = cells
    longest = max(map(len, [_HEADINGS[0], *tenant_ids]))
    widths = (longest, *_TEXT_WIDTHS)
    texts = [text.ljust(size) for text, size in zip((tenant, kind, status), widths, strict=True)]
    figures = [text.rjust(size) for text, size in zip(numbers, _NUMBER_WIDTHS, strict=True)]
    return "\n".join(_aligned([*texts, *figures, checksum], width))
