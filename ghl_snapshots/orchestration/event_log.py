"""Dagster's event log in PostgreSQL over a pool of connections, as dagster.yaml names it.

dagster-postgres opens a connection for each of its statements and closes it again, several for an event,
which takes client and server more time than all the rest of a capture. Only its webserver reuses one. Here
each storage has a pool, whose connections are closed with it.
"""

from collections.abc import Mapping
from typing import Any, Self

import dagster as dg
from dagster_postgres import PostgresEventLogStorage
from sqlalchemy import create_engine

# One for an event's transaction, one for what the storage reads during it; other threads get more.
_POOL_SIZE = 2


class EventLog(PostgresEventLogStorage):
    """Dagster's own storage of events with a pool instead of a connection for each statement."""

    def __init__(
        self,
        postgres_url: str,
        inst_data: Any = None,  # noqa: ANN401 (its type is private to Dagster)
    ) -> None:
        super().__init__(postgres_url, inst_data=inst_data)
        # pool_pre_ping replaces a connection that a restarted server has cut before it is used.
        self._engine = create_engine(
            postgres_url,
            isolation_level="AUTOCOMMIT",
            pool_size=_POOL_SIZE,
            max_overflow=-1,
            pool_pre_ping=True,
        )

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """The one value that dagster.yaml gives."""
        return {"postgres_url": dg.StringSource}

    @classmethod
    def from_config_value(
        cls,
        inst_data: Any,  # noqa: ANN401 (its type is private to Dagster)
        config_value: Mapping[str, Any],
    ) -> Self:
        """The storage that dagster.yaml describes."""
        return cls(config_value["postgres_url"], inst_data)

    def dispose(self) -> None:
        """Close the connections."""
        super().dispose()
        self._engine.dispose()
