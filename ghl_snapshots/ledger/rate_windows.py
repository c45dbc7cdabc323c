"""Places in GHL's rate limits that all processes of a deployment take from the same windows.

Requests take their places by one statement, several together where many are free, and learn when they may
leave. Where the database is away or silent nothing is held up for more than a moment: each process's own
limiter goes on alone, and what could not be stored afterwards would be lost for a better reason.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date
from typing import Final

import psycopg
from psycopg import Connection
from psycopg.rows import DictRow

from ghl_snapshots.core.errors import LedgerError
from ghl_snapshots.core.shared_limits import Place, Quota
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.queries import query

_AWAY_SECONDS: Final = 5.0
_LONGEST_STATEMENT_MS: Final = 2000
_LONGEST_SECONDS: Final = 3.0
"""For an answer of the server, or for a connection to it; the server itself gives up before."""


class RateWindows:
    """The windows, over one connection that is opened for the first place and shared by all threads."""

    def __init__(
        self,
        database: Database,
        *,
        longest_seconds: float = _LONGEST_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._longest_seconds = longest_seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._connection: Connection[DictRow] | None = None
        self._away_until = 0.0
        self._doubted = False

    def note_quotas(self, quotas: Mapping[str, Quota]) -> bool:
        """Remember what is left of days' quotas, by location or company; not where the database is away."""
        # In order, so that two processes that note the same ones wait for each other in turn.
        named = sorted(quotas.items())
        row = self._row(
            "note_quotas",
            {
                "resource_ids": [resource_id for resource_id, _ in named],
                "days": [quota.day for _, quota in named],
                "remaining": [quota.remaining for _, quota in named],
                "daily": [quota.daily for _, quota in named],
            },
        )
        return row is not None

    def claim(
        self,
        resource_id: str,
        *,
        day: date,
        most: int,
        hold_seconds: float,
        patience_seconds: float,
        wanted: int = 1,
        keep_seconds: float = 0.0,
    ) -> Place | None:
        """Take the next place, unless it is further off than the patience; None where nobody can tell.

        What is known of the day's quota comes with it.

        As long as no more than a quarter of what is free is `wanted`, that many are taken, for as long as is
        to be kept.
        """
        row = self._row(
            "claim_slots",
            {
                "resource_id": resource_id,
                "day": day,
                "most": most,
                "hold_seconds": hold_seconds,
                "patience_seconds": patience_seconds,
                "wanted": wanted,
                "keep_seconds": keep_seconds,
            },
        )
        if row is None:
            return None
        remaining, daily = row.pop("remaining"), row.pop("daily")
        quota = None if remaining is None else Quota(day=day, remaining=remaining, daily=daily)
        return Place(**row, quota=quota)

    def _row(self, name: str, parameters: Mapping[str, object]) -> DictRow | None:
        """What a statement gives, or None where the database is away."""
        if not self._lock.acquire(blocking=not self._doubted):
            return None  # another thread finds out whether the database is there again
        try:
            return self._answer(name, parameters)
        finally:
            self._lock.release()

    def _answer(self, name: str, parameters: Mapping[str, object]) -> DictRow | None:
        if self._monotonic() < self._away_until:
            return None
        try:
            row = self._connected().execute(query(name), parameters).fetchone()
        except (LedgerError, psycopg.Error):
            self._disconnect()
            self._away_until = self._monotonic() + _AWAY_SECONDS
            self._doubted = True
            return None
        self._doubted = False
        return row

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._disconnect()

    def _connected(self) -> Connection[DictRow]:
        if self._connection is None:
            self._connection = self._database.session(longest_seconds=self._longest_seconds)
            self._connection.execute(
                query("set_statement_timeout"), {"milliseconds": f"{_LONGEST_STATEMENT_MS}"}
            )
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None
