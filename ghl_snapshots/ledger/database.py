"""Connections to the product's database, each with the rights and the tenant that its work needs."""

import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeAlias

import psycopg
from psycopg import Connection
from psycopg.errors import LockNotAvailable
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from ghl_snapshots.core.errors import DatabaseLostError, LedgerError
from ghl_snapshots.ledger.failures import describe_failure, ledger_error
from ghl_snapshots.ledger.queries import query
from ghl_snapshots.ledger.session_settings import (
    PINNED,
    STANDBY,
    check_session,
    connection_string,
    duration_setting,
    prepare_session,
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
_Pool: TypeAlias = ConnectionPool[Connection[DictRow]]
_WAIT_SECONDS = 10
"""For a connection, while others have all of them."""
_LOOK_SECONDS = 1
"""Between two looks whether the pool can connect at all."""
_RETRY_SECONDS = 0.2
"""Between two tries to reach a server that is away."""
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
        self._pools: dict[str, _Pool] = {}
        self._reached: set[str] = set()
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

    def now(self) -> datetime:
        """The moment by the server's clock, which is one for all machines; raises like `writer`."""
        with self.auditor() as connection:
            [row] = connection.execute(query("server_time")).fetchall()
        moment: datetime = row["now"]
        return moment

    def session(self) -> Connection[DictRow]:
        """A connection apart from the pools, for what is to last as long as it; it sees no tenant.

        Raises:
            LedgerError: the server does not answer, or the session is not what was asked for.
        """
        # A session that holds locks is idle for long.
        connection = self._connect({**self._settings(WRITER), "idle_session_timeout": "0"}, WRITER)
        connection.autocommit = True
        return connection

    @contextmanager
    def _transaction(self, role: str) -> Iterator[Connection[DictRow]]:
        pool, connection = self._checked_out(role)
        try:
            with connection:
                yield connection
        except LockNotAvailable as error:
            raise LedgerError(
                f"Another session locked what this one waited {self.lock_seconds:g} s for "
                f"({error.diag.context or describe_failure(error)}). If it hangs, find it with "
                "pg_blocking_pids() or as the oldest in pg_stat_activity, and end it with "
                "pg_terminate_backend()."
            ) from error
        except (psycopg.OperationalError, psycopg.InternalError) as error:
            raise ledger_error(error) from error
        finally:
            self._put_back(role, pool, connection)

    def _checked_out(self, role: str) -> tuple[_Pool, Connection[DictRow]]:
        """The role's pool, and a connection of it that was seen to work and to be what was asked for.

        A reload of the server's configuration changes what a session did not ask for.
        """
        give_up_at = time.monotonic() + _WAIT_SECONDS
        while True:
            pool = self._pool(role)
            try:
                connection = pool.getconn()
            except PoolClosed:
                continue  # another thread found one of its connections broken
            except PoolTimeout:
                # A pool that failed to connect waits ever longer before it tries again; a new one does not.
                if pool.get_stats().get("connections_errors"):
                    self._discard(role, pool)
                elif time.monotonic() > give_up_at:
                    self._connect(self._settings(role), role).close()
                    raise LedgerError("The database does not answer: all connections are busy.") from None
                continue
            try:
                check_session(connection, self._expected(role))
            except BaseException as error:
                self._put_back(role, pool, connection)
                if not isinstance(error, psycopg.OperationalError):
                    raise
            else:
                return pool, connection

    def _put_back(self, role: str, pool: _Pool, connection: Connection[DictRow]) -> None:
        """Return the connection to its pool; if it is broken, so are the others, and the pool goes.

        The server restarted, or another one took its place. By itself the pool would try one by one, with
        ever longer pauses.
        """
        broken = connection.closed
        pool.putconn(connection)
        if broken:
            self._discard(role, pool)

    def _pool(self, role: str) -> _Pool:
        """The role's pool, made if there is none.

        Raises:
            LedgerError: the server does not answer, or the session is not what was asked for.
        """
        if role not in self._pools:
            self._await_server(role)
        with self._opening:
            if role not in self._pools:
                self._pools[role] = self._opened(role)
                self._reached.add(role)
            return self._pools[role]

    def _await_server(self, role: str) -> None:
        """See that the server answers; one that has answered before restarts, and is waited for."""
        give_up_at = time.monotonic() + (_WAIT_SECONDS if role in self._reached else 0)
        while True:
            try:
                self._connect(self._settings(role), role).close()
            except DatabaseLostError:
                if time.monotonic() >= give_up_at:
                    raise
                time.sleep(_RETRY_SECONDS)
            else:
                return

    def _opened(self, role: str) -> _Pool:
        kwargs: dict[str, Any] = {"row_factory": dict_row}
        pool: _Pool = ConnectionPool(
            connection_string(self._urls[role], self._settings(role)),
            kwargs=kwargs,
            configure=partial(prepare_session, settings=self._expected(role)),
            min_size=0,
            max_size=_MOST_CONNECTIONS,
            timeout=_LOOK_SECONDS,
            reconnect_timeout=_WAIT_SECONDS,
            open=False,
        )
        pool.open()
        return pool

    def _discard(self, role: str, pool: _Pool) -> None:
        """Close the pool, so that who asks next makes another."""
        with self._opening:
            if self._pools.get(role) is pool:
                del self._pools[role]
        pool.close(timeout=1)

    def _connect(self, settings: Mapping[str, str], role: str) -> Connection[DictRow]:
        try:
            connection = Connection.connect(
                connection_string(self._urls[role], settings), row_factory=dict_row
            )
            prepare_session(connection, self._expected(role))
        except psycopg.OperationalError as error:
            raise ledger_error(error, what="The database does not answer") from error
        return connection

    def _settings(self, role: str) -> dict[str, str]:
        return {
            **PINNED,
            "search_path": "ghl",
            "default_transaction_read_only": "off" if role == WRITER else "on",
            "lock_timeout": duration_setting(self.lock_seconds * 1000),
            "idle_in_transaction_session_timeout": duration_setting(_IDLE_SECONDS[role] * 1000),
            "role": role,
        }

    def _expected(self, role: str) -> Mapping[str, str]:
        """What a session's settings must be: as asked for, and for a writer those that it cannot ask for."""
        settings = self._settings(role)
        if role != WRITER:
            return settings
        return {**settings, STANDBY: "off", "session_replication_role": "origin"}


def limit_lock_wait(connection: Connection[Any], seconds: float) -> None:
    """Wait no longer than this for a lock in the connection's transaction, a millisecond at least.

    To PostgreSQL 0 would mean no limit at all.
    """
    connection.execute(query("set_lock_timeout"), {"milliseconds": f"{max(1, math.ceil(seconds * 1000))}"})
