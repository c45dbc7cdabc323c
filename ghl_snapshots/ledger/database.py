"""Connections to the product's database, each with the rights and the tenant that its work needs."""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import Connection
from psycopg.errors import LockNotAvailable
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from ghl_snapshots.core.errors import LedgerError
from ghl_snapshots.ledger.queries import query
from ghl_snapshots.ledger.session_settings import (
    PINNED,
    connection_string,
    describe_failure,
)

OWNER = "ghl_snapshots_owner"
WRITER = "ghl_snapshots_writer"
READER = "ghl_snapshots_reader"
AUDITOR = "ghl_snapshots_auditor"

# A writer's transaction holds locks that others wait for; the longest that it is idle on purpose is while GHL
# answers a refresh of OAuth tokens, which ends after a minute. A reader holds nobody up, and may be
# as slow as the caller of the API that it streams a snapshot to.
_IDLE_SECONDS = {WRITER: 300, READER: 3600, AUDITOR: 3600}
LOCK_SECONDS = 150.0
"""How long a lock is waited for: longer than a lost machine or a refresh of OAuth tokens keeps one."""
# What the server says when it cannot do its part. It has a class for a full disk, and calls a file that
# may not grow for another reason, such as a limit on its size, an internal error.
_FAILURES = (psycopg.OperationalError, psycopg.errors.InternalError_)
_WAIT_SECONDS = 10
_MOST_CONNECTIONS = 20


class Database:
    """A pool of connections for each role; none is opened before it is needed.

    `url` is a login that may act as ghl_snapshots_writer and ghl_snapshots_reader; `auditor_url` is one that
    may act as ghl_snapshots_auditor, by default the same.
    """

    def __init__(
        self, url: str, auditor_url: str | None = None, *, lock_seconds: float = LOCK_SECONDS
    ) -> None:
        self._urls = {WRITER: url, READER: url, AUDITOR: auditor_url or url}
        self.lock_seconds = lock_seconds
        self._pools: dict[str, ConnectionPool[Connection[DictRow]]] = {}
        self._opening = threading.Lock()

    def __enter__(self) -> Self:
        """Connections open by themselves when they are needed."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()

    @property
    def url(self) -> str:
        """The URL of the login that appends, password included; only for opening connections."""
        return self._urls[WRITER]

    @contextmanager
    def writer(self, tenant_id: str) -> Iterator[Connection[DictRow]]:
        """One transaction that may append for this tenant and sees nothing of another.

        Raises:
            LedgerError: the server does not answer, or goes away in between.
        """
        with self._transaction(WRITER) as connection:
            connection.execute(query("set_tenant"), {"tenant_id": tenant_id})
            yield connection

    @contextmanager
    def shared_writer(self) -> Iterator[Connection[DictRow]]:
        """One transaction for what belongs to no tenant; it sees nothing of any, and raises like `writer`."""
        with self._transaction(WRITER) as connection:
            yield connection

    @contextmanager
    def reader(self, tenant_id: str) -> Iterator[Connection[DictRow]]:
        """One transaction that may read what belongs to this tenant; raises like `writer`."""
        with self._transaction(READER) as connection:
            connection.execute(query("set_tenant"), {"tenant_id": tenant_id})
            yield connection

    @contextmanager
    def auditor(self) -> Iterator[Connection[DictRow]]:
        """One transaction that may read what belongs to any tenant; raises like `writer`."""
        with self._transaction(AUDITOR) as connection:
            yield connection

    def session(self) -> Connection[DictRow]:
        """A connection apart from the pools, for what is to last as long as it; it sees no tenant.

        Raises:
            LedgerError: the server does not answer.
        """
        # A session that holds locks is idle for long.
        conninfo = self._conninfo(WRITER, idle_session_timeout="0")
        try:
            return Connection.connect(conninfo, autocommit=True, row_factory=dict_row)
        except psycopg.OperationalError as error:
            raise LedgerError(f"The database does not answer: {describe_failure(error)}.") from error

    @contextmanager
    def _transaction(self, role: str) -> Iterator[Connection[DictRow]]:
        try:
            with self._pool(role).connection() as connection:
                yield connection
        except PoolTimeout:
            raise LedgerError(f"The database does not answer: {self._reason(role)}.") from None
        except LockNotAvailable as error:
            raise LedgerError(
                f"Another session locked what this one waited {self.lock_seconds:g} s for "
                f"({error.diag.context or describe_failure(error)}). If it hangs, find it with "
                "pg_blocking_pids() or as the oldest in pg_stat_activity, and end it with "
                "pg_terminate_backend()."
            ) from error
        except _FAILURES as error:
            raise LedgerError(f"The database failed: {describe_failure(error)}.") from error

    def _pool(self, role: str) -> ConnectionPool[Connection[DictRow]]:
        with self._opening:
            if role not in self._pools:
                conninfo = self._conninfo(role)
                # A pool waits for a server that is away; at the first use the reason should come at once.
                psycopg.connect(conninfo).close()
                self._pools[role] = _opened(conninfo)
            return self._pools[role]

    def _reason(self, role: str) -> str:
        """Why there is no connection, which the pool does not say."""
        try:
            psycopg.connect(self._conninfo(role), connect_timeout=5).close()
        except psycopg.Error as error:
            return describe_failure(error)
        return "all connections are busy"

    def _conninfo(self, role: str, **more: str) -> str:
        return connection_string(self._urls[role], {**self._settings(role), **more})

    def _settings(self, role: str) -> dict[str, str]:
        return {
            **PINNED,
            "search_path": "ghl",
            "default_transaction_read_only": "off" if role == WRITER else "on",
            "lock_timeout": f"{self.lock_seconds * 1000:.0f}",
            "idle_in_transaction_session_timeout": f"{_IDLE_SECONDS[role]}s",
            "role": role,
        }


def limit_lock_wait(connection: Connection[Any], seconds: float) -> None:
    """Wait no longer than this for a lock in the connection's transaction, a millisecond at least.

    To PostgreSQL 0 would mean no limit at all.
    """
    connection.execute(query("set_lock_timeout"), {"milliseconds": f"{max(1, math.ceil(seconds * 1000))}"})


def _opened(conninfo: str) -> ConnectionPool[Connection[DictRow]]:
    kwargs: dict[str, Any] = {"row_factory": dict_row}
    pool: ConnectionPool[Connection[DictRow]] = ConnectionPool(
        conninfo,
        kwargs=kwargs,
        min_size=0,
        max_size=_MOST_CONNECTIONS,
        timeout=_WAIT_SECONDS,
        open=False,
        check=ConnectionPool.check_connection,
    )
    pool.open()
    return pool
