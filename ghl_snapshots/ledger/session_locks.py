"""Locks in the database that a process holds by being alive.

They are PostgreSQL's advisory locks of a session, all of them held by one connection: the server frees them
when the process ends in whatever way, so nobody has to find out first whether their holder is dead.
"""

import threading
from collections.abc import Collection
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import Connection
from psycopg.rows import DictRow

from ghl_snapshots.core.errors import DatabaseLostError, LedgerError
from ghl_snapshots.ledger.database import Database, limit_lock_wait
from ghl_snapshots.ledger.failures import ledger_error
from ghl_snapshots.ledger.queries import query

_LOOK_SECONDS = 10.0
"""Between two looks at the connection; a free lock of a run is believed after 30 s at the earliest."""


class SessionLocks:
    """The locks of this process, by name; a context manager that frees them all at its end. Thread-safe.

    The connection is opened for the first lock. If it breaks, the locks are free for some seconds, until a
    thread that looks after it takes them again by another one; `check` says whether a lock stayed ours.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection[DictRow] | None = None
        self._held: set[str] = set()
        self._lost: set[str] = set()
        """What another process took while it was free."""
        self._mutex = threading.RLock()
        self._ended = threading.Event()
        self._keeper: threading.Thread | None = None

    def __enter__(self) -> Self:
        """No lock is held yet."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free all locks."""
        self._ended.set()
        with self._mutex:
            self._held.clear()
            self._disconnect()
        if self._keeper is not None:
            self._keeper.join()

    def try_lock(self, name: str) -> bool:
        """Take the lock if nobody holds it; whether it is ours now.

        Raises:
            LedgerError: the server does not answer.
        """
        with self._mutex:
            if name not in self._held and self._asked("try_session_lock", name):
                self._held.add(name)
                self._lost.discard(name)
            return name in self._held

    def check(self, name: str) -> None:
        """Make sure that a lock of ours is ours still; before what must not be done twice.

        Raises:
            DatabaseLostError: the connection broke, and another process took the lock.
            LedgerError: the server does not answer.
        """
        with self._mutex:
            self._asked("session_lives", name)
            if name in self._lost:
                raise DatabaseLostError(
                    f"The connection to the database broke, and another process took the lock {name!r}."
                )

    def wait_for(self, name: str, *, seconds: float) -> bool:
        """Take the lock, in the order of those who wait for it, within that time; whether it is ours now.

        Call it with no lock in hand that its holder might wait for; other threads wait meanwhile. Raises like
        `try_lock`.
        """
        with self._mutex:
            return self._wait_for(name, seconds)

    def _wait_for(self, name: str, seconds: float) -> bool:
        if self.try_lock(name) or seconds <= 0:
            return name in self._held
        try:
            with self._connected().transaction() as transaction:
                limit_lock_wait(transaction.connection, seconds)
                transaction.connection.execute(query("session_lock"), {"name": name})
        except psycopg.errors.LockNotAvailable:
            return False
        except psycopg.OperationalError:
            self._disconnect()
            return self.try_lock(name)
        self._held.add(name)
        return True

    def unlock(self, name: str) -> None:
        """Free a lock of ours; raises like `try_lock`."""
        with self._mutex:
            self._lost.discard(name)
            if name in self._held:
                self._held.discard(name)
                self._asked("session_unlock", name)

    def _asked(self, question: str, name: str) -> bool:
        try:
            return self._answer(self._connected(), question, name)
        except psycopg.OperationalError:
            self._disconnect()
        try:
            return self._answer(self._connected(), question, name)
        except psycopg.OperationalError as error:
            raise ledger_error(error) from error

    def _connected(self) -> Connection[DictRow]:
        if self._connection is None or self._connection.closed:
            connection = self._database.session()
            try:
                kept = {name for name in self._held if self._answer(connection, "try_session_lock", name)}
            except BaseException:
                connection.close()  # it holds a part of them
                raise
            self._connection = connection
            self._lost |= self._held - kept
            self._held = kept
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep, name="session locks", daemon=True)
                self._keeper.start()
        return self._connection

    def _keep(self) -> None:
        """Connect anew when the connection broke, however long the process makes no call."""
        while not self._ended.wait(_LOOK_SECONDS):
            with self._mutex, suppress(LedgerError, psycopg.Error):
                if self._held and not self._ended.is_set():
                    self._asked("session_lives", "")

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @staticmethod
    def _answer(connection: Connection[DictRow], question: str, name: str) -> bool:
        row: dict[str, Any] | None = connection.execute(query(question), {"name": name}).fetchone()
        return bool(row and row["done"])


def unheld(database: Database, names: Collection[str]) -> frozenset[str]:
    """Those of the locks that no process holds; asking takes none of them.

    Raises:
        LedgerError: the server does not answer.
    """
    with database.auditor() as connection:
        rows = connection.execute(query("unheld_locks"), {"names": list(names)})
        return frozenset(row["name"] for row in rows)
