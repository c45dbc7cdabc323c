"""`ghl-snapshots status`: how every tenant stands."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Annotated

import typer

from ghl_snapshots.cli.completion import tenant_ids
from ghl_snapshots.cli.database import checked_database
from ghl_snapshots.core.model import Status
from ghl_snapshots.core.summary import counted
from ghl_snapshots.ledger.status import CaptureStatus, statuses
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.terminal import table, width

commands = typer.Typer()

_HEADINGS = ("tenant", "type", "state", "age", "records", "next", "without")
_SHORTEST = 20
_WORDS = {Status.SUCCESS: "ok", Status.PARTIAL_FAILURE: "partial", Status.FAILED: "FAILED"}


@commands.command()
def status(
    *,
    tenant: Annotated[
        str | None,
        typer.Option(help="Only this tenant, with the details of each type.", autocompletion=tenant_ids),
    ] = None,
    problems: Annotated[
        bool, typer.Option("--problems", help="Only what is stale, failed, incomplete or not granted.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON object a line, for each tenant and type.")
    ] = False,
) -> None:
    """Print how old and complete the latest snapshots are; exit code 1 if any is stale or failed."""
    # Dagster takes a second to import, which no other command should wait for.
    from ghl_snapshots.orchestration.schedules import crons

    with checked_database() as (settings, database):
        now = database.now()
        if tenant is not None:
            TenantRegistry(database).get(tenant)
        found = statuses(database, crons(settings), now=now, tenant_id=tenant)
    shown = [one for one in found if one.is_problem] if problems else found
    lines: Iterator[str]
    if as_json:
        lines = (json.dumps(one.as_json(), ensure_ascii=False) for one in shown)
    elif problems or tenant is not None:
        lines = _details(shown, now)
    else:
        lines = _grid(shown, now)
    for line in lines:
        typer.echo(line)
    if not as_json:
        typer.echo(_totals(found))
    raise typer.Exit(1 if any(one.stale or one.failed for one in found) else 0)


def _grid(found: Sequence[CaptureStatus], now: datetime) -> Iterator[str]:
    """A line for each tenant with a cell for each type; of a long id what the terminal has room for."""
    cells = {
        tenant_id: [_cell(one, now) for one in of_tenant]
        for tenant_id, of_tenant in groupby(found, key=lambda one: one.tenant_id)
    }
    kinds = list(dict.fromkeys(one.snapshot_type.value for one in found))
    taken = sum(2 + max(map(len, column)) for column in zip(kinds, *cells.values(), strict=True))
    room = max(_SHORTEST, columns - taken) if (columns := width()) else None
    rows = [(_shortened(tenant_id, room), *row) for tenant_id, row in cells.items()]
    return table([("tenant", *kinds), *rows]) if rows else iter(())


def _cell(one: CaptureStatus, now: datetime) -> str:
    return f"{_state(one)} {_age(one, now)}".strip()


def _details(found: Sequence[CaptureStatus], now: datetime) -> Iterator[str]:
    rows = [
        (
            one.tenant_id,
            one.snapshot_type.value,
            _state(one),
            _age(one, now),
            "-" if one.record_count is None else f"{one.record_count:,}",
            _span(one.next_at - now),
            counted(one.not_granted, "scope") if one.not_granted else "-",
        )
        for one in found
    ]
    return table([_HEADINGS, *rows]) if rows else iter(())


def _state(one: CaptureStatus) -> str:
    if one.stale:
        return "STALE"
    return _WORDS[one.status] if one.status else "none"


def _age(one: CaptureStatus, now: datetime) -> str:
    """Of the latest snapshot that holds anything."""
    return _span(now - one.good_at) if one.good_at else ""


def _span(span: timedelta) -> str:
    minutes = max(0, round(span.total_seconds() / 60))
    if minutes < 60:
        return f"{minutes}m"
    return f"{minutes // 60}h" if minutes < 48 * 60 else f"{minutes // (24 * 60)}d"


def _shortened(tenant_id: str, room: int | None) -> str:
    """The id with its middle left out, since the ends are what ids differ in."""
    if room is None or len(tenant_id) <= room:
        return tenant_id
    head = room // 2
    return f"{tenant_id[:head]}…{tenant_id[-(room - head - 1) :]}"


def _totals(found: Sequence[CaptureStatus]) -> str:
    tenants = {one.tenant_id: one.open_requests for one in found}
    states = Counter(_state(one) for one in found)
    each = ", ".join(
        f"{states[state]:,} {state}"
        for state in ("ok", "partial", "FAILED", "STALE", "none")
        if states[state]
    )
    open_requests = f"; {counted(sum(tenants.values()), 'open request')}" if any(tenants.values()) else ""
    return f"{counted(len(tenants), 'enabled tenant')}: {each or 'nothing captured'}{open_requests}"
