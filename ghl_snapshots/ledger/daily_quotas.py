"""What GHL still allows on a day, shared by all processes through the database.

The server's clock says which day it is. All this saves is asking GHL in vain, so where the database does not
answer, captures go on without.
"""

import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Final

from ghl_snapshots.core.daily_quota import DailyQuota
from ghl_snapshots.core.errors import LedgerError
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.queries import query

_PAUSE_SECONDS: Final = 30.0
"""How long a database that failed is left alone, because a failure may take ten seconds."""


class DailyQuotas:
    """The noted quotas of today, shared by all threads."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._clock = clock
        self._monotonic = monotonic
        self._ahead = timedelta()
        """How far the server's clock is ahead of ours."""
        self._paused_until = 0.0

    def today(self) -> date:
        """The UTC day, by the server's clock once it has been read."""
        return (self._clock() + self._ahead).astimezone(UTC).date()

    def read(self, resource_ids: Collection[str]) -> dict[str, DailyQuota]:
        """What was noted today of these locations and companies; nothing where the database is away."""
        if self._monotonic() < self._paused_until:
            return {}
        try:
            with self._database.shared_writer() as connection:
                rows = connection.execute(
                    query("todays_quotas"), {"resource_ids": list(resource_ids)}
                ).fetchall()
        except LedgerError:
            self._pause()
            return {}
        for row in rows:
            self._ahead = row["now"] - self._clock()
        return {
            row["resource_id"]: DailyQuota(day=row["day"], remaining=row["remaining"], daily=row["daily"])
            for row in rows
            if row["remaining"] is not None
        }

    def note(self, quotas: Mapping[str, DailyQuota]) -> bool:
        """Note quotas, by location or company; False where the database is away."""
        if self._monotonic() < self._paused_until:
            return False
        # In order, so that two processes that note the same ones wait for each other in turn.
        named = sorted(quotas.items())
        parameters = {
            "resource_ids": [resource_id for resource_id, _ in named],
            "days": [quota.day for _, quota in named],
            "remaining": [quota.remaining for _, quota in named],
            "daily": [quota.daily for _, quota in named],
        }
        try:
            with self._database.shared_writer() as connection:
                connection.execute(query("note_quotas"), parameters)
        except LedgerError:
            self._pause()
            return False
        return True

    def _pause(self) -> None:
        self._paused_until = self._monotonic() + _PAUSE_SECONDS
