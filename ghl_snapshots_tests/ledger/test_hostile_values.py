"""A writer's login is stolen: no value that it stores keeps any reader from reading."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg import Connection, sql
from psycopg.rows import dict_row
from psycopg.types.json import Json

from ghl_snapshots.core.api_keys import KeyRole
from ghl_snapshots.core.audit_events import EventType
from ghl_snapshots.core.cron import Cron
from ghl_snapshots.core.model import LeftOut, LeftOutReason, SnapshotType, Source, Status
from ghl_snapshots.core.tokens import StoredTokens
from ghl_snapshots.ledger.api_keys import ApiKeys
from ghl_snapshots.ledger.audit import AuditTrail, by_hand
from ghl_snapshots.ledger.checks import faults
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.full_runs import FinishedRun, record_full_run
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.ledger.queries import sql_text
from ghl_snapshots.ledger.snapshot_requests import NewRequest, SnapshotRequests
from ghl_snapshots.ledger.status import statuses
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.ledger.verification import Verification
from ghl_snapshots.metrics.exposition import exposition
from ghl_snapshots_tests.ledger.captures import capture

Row = Mapping[str, Any]
"""One of a table's rows, or what is to become one."""
KEY = "8Bq2n3hWc0y3wZ1mT9yQy3vVtq1m0l8s9WqI9l3mQ2k="
DEEP = "[" * 3000 + "]" * 3000
MOMENTS = ("infinity", "-infinity", "0044-03-15 BC", "1999-01-01", "2999-01-01", "290000-01-01")
HOSTILE: Mapping[str, Sequence[object]] = {
    "timestamptz": MOMENTS,
    "date": MOMENTS,
    "int4": (2**31 - 1, -(2**31)),
    "int8": (2**63 - 1, -(2**63)),
    "_int4": ([2**31 - 1], [-(2**31)], [None]),
    "_int8": ([2**63 - 1], [-(2**63)], [None]),
    "text": ("", "x" * 5000, "9.0.0", "\x01\n"),
    "_text": ([["workflows"]], [None], []),
}
LEAVES = ("null", '"x"', "1.5", "-1", "1e30", "1e9999", "[]", "{}", "[1]", '"\\u0000"', DEEP)
ZENITHS = sql.SQL("SELECT {} FROM {} WHERE coalesce(to_jsonb({}) ->> 'tenant_id', 'zenith') = 'zenith'")
NEW_KEYS: Mapping[str, Callable[[int], Row]] = {
    "snapshot": lambda n: {
        "snapshot_id": f"00000000-0000-0000-0000-{n:012}",
        "correlation_id": f"forged_{n}",
    },
    "audit_event": lambda n: {
        "event_id": f"00000000-0000-0000-0000-{n:012}",
        "correlation_id": f"forged_{n}",
    },
    "snapshot_request": lambda n: {"request_id": f"manual_snapshot_{n:013}_forged"},
    "api_key": lambda n: {"key_id": f"{n:08}", "secret_hash": n.to_bytes(32)},
    "location_token": lambda n: {"location_id": f"location-{n}"},
}
"""What makes a copy of a row another row."""


@pytest.fixture
def stored(database: Database) -> None:
    """Of each tenant what there can be."""
    for tenant_id in ("acme", "zenith"):
        left_out = LeftOut(endpoint="/x", location_id="l", reason=LeftOutReason.NOT_GRANTED, message="m")
        made = capture(tenant_id, correlation_id=f"of_{tenant_id}", status=Status.PARTIAL_FAILURE)
        Ledger(database).append(replace(made, left_out=(left_out,)))
        SnapshotRequests(database).accept(
            NewRequest(tenant_id=tenant_id, ghl_account_id=f"account-{tenant_id}"),
            now=datetime.now(UTC),
            limit=9,
        )
        ApiKeys(database).create([tenant_id], KeyRole.READ)
        planned = {tenant_id: tuple(SnapshotType)}
        record_full_run(
            database,
            FinishedRun(
                run_id="r",
                correlation_id=f"of_{tenant_id}",
                source=Source.MANUAL,
                status="SUCCESS",
                duration_ms=1,
                planned=planned,
            ),
        )
        with OAuthTokens(database, KEY).locked(tenant_id) as locked:
            locked.store(StoredTokens(refresh_token="refresh"))
    AuditTrail(database).record(by_hand(EventType.VERIFICATION, details={"deep": True, "problems": 0}))


def columns(superuser: Connection) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Each table of which a writer may add rows, and the type of each column that it may fill."""
    yield from superuser.execute(
        "SELECT relname, jsonb_object_agg(attname, typname) FROM pg_attribute "
        "JOIN pg_class ON pg_class.oid = attrelid JOIN pg_type ON pg_type.oid = atttypid "
        "WHERE relnamespace = 'ghl'::regnamespace AND relkind = 'r' AND attnum > 0 "
        "AND has_column_privilege('ghl_snapshots_writer', attrelid, attnum, 'INSERT, UPDATE') GROUP BY 1"
    ).fetchall()


def as_text(text: str, _: object) -> str:
    return text


def hostile(name: str, kind: str, value: object) -> Iterator[object]:
    """What to try in the place of a column's value."""
    if kind in ("json", "jsonb"):
        yield from (Json(None, dumps=partial(as_text, text)) for text in altered(value))
    elif name not in ("tenant_id", "snapshot_type"):
        yield from HOSTILE.get(kind, ())


def altered(value: object) -> Iterator[str]:
    """The JSON value with each of its parts exchanged for something else, as text."""
    yield from LEAVES
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for place, part in parts:
        for text in altered(part):
            copied: Any = copy(value)
            copied[place] = "@"
            yield json.dumps(copied).replace('"@"', text)


class Thief:
    """A session with a writer's rights on the tenant zenith."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._count = 0
        self.stored: list[str] = []

    def add(self, table: str, row: Row, kinds: Mapping[str, str]) -> bool:
        """Add a copy of the row under keys of its own; whether that was possible."""
        self._count += 1
        new = {**row, **NEW_KEYS[table](self._count)} if table in NEW_KEYS else row
        names = sql.SQL(", ").join(map(sql.Identifier, new))
        casts = sql.SQL(", ").join(sql.SQL("%s::{}").format(sql.Identifier(kinds[name])) for name in new)
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(sql.Identifier(table), names, casts)
        return self._executed(statement, list(new.values()))

    def change(self, table: str, column: str, kind: str, value: object) -> bool:
        """Change the column in every row; whether that was possible."""
        statement = sql.SQL("UPDATE {} SET {} = %s::{}").format(*map(sql.Identifier, (table, column, kind)))
        return self._executed(statement, [value])

    def _executed(self, statement: sql.Composed, values: Sequence[object]) -> bool:
        try:
            self._connection.execute(statement, values)
        except psycopg.Error:
            return False
        self.stored.append(f"{statement.as_string()[:70]} {values}"[:300])
        return True


def readers(database: Database) -> Iterator[tuple[str, Callable[[], object]]]:
    """Everything that reads rows of all tenants, and what reads acme's."""
    ledger, requests, now = Ledger(database), SnapshotRequests(database), datetime.now(UTC)
    crons = {kind: Cron(expression="0 2 * * *", timezone="UTC") for kind in SnapshotType}
    yield "audit", AuditTrail(database).events
    for tenant_id in ("acme", "zenith"):
        asked = NewRequest(tenant_id=tenant_id, ghl_account_id=f"account-{tenant_id}")
        yield "audit of one", partial(AuditTrail(database).events, tenant_id=tenant_id)
        yield "latest", partial(ledger.latest, tenant_id, SnapshotType.WORKFLOWS)
        yield "accept", partial(requests.accept, asked, now=now, limit=10**6)
        yield "append", partial(ledger.append, capture(tenant_id))
    yield "newest", partial(ledger.newest, limit=10**6)
    yield "of account", partial(ledger.of_account, "account-acme")
    yield "waiting", partial(requests.waiting, limit=10**6)
    yield "registry", TenantRegistry(database).list
    yield "keys", ApiKeys(database).list
    yield "status", partial(statuses, database, crons, now=now)
    yield "expiring", partial(OAuthTokens(database, KEY).expiring, within=timedelta(hours=2), limit=10)
    for yes in (True, False):
        yield "metrics", partial(exposition, database, tenant_label=yes, openmetrics=yes)
        yield "verify", partial(list, Verification(database, deep=yes))
    for check in re.findall(r"^-- (\w+) -- ", sql_text("queries/checks.sql"), re.MULTILINE):
        yield check, partial(faults, database, check, crons, now=now)


@pytest.mark.usefixtures("stored")
def test_no_value_that_a_writer_can_store_breaks_a_reader(
    url: str, database: Database, superuser: Connection
) -> None:
    """Every column that it may fill is tried, with moments, numbers and JSON that some reader cannot hold."""
    options = "-c role=ghl_snapshots_writer -c search_path=ghl -c app.tenant_id=zenith"
    with psycopg.connect(url, options=options, autocommit=True) as connection:
        thief = Thief(connection)
        for table, kinds in columns(superuser):
            cursor = superuser.cursor(row_factory=dict_row)
            names, of = sql.SQL(", ").join(map(sql.Identifier, kinds)), sql.Identifier(table)
            cursor.execute(ZENITHS.format(names, of, of))
            for row in cursor.fetchall():
                for name, kind in kinds.items():
                    for value in hostile(name, kind, row[name]):
                        thief.change(table, name, kind, value)
                        thief.add(table, {**row, name: value}, kinds)
    assert len(thief.stored) > 50
    broken = []
    for name, read in readers(database):
        try:
            read()
        except Exception as error:  # noqa: BLE001 (whichever it is)
            broken.append(f"{name}: {error!r}"[:300])
    assert broken == [], thief.stored
