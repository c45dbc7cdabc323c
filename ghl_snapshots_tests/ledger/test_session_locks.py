"""Locks that last exactly as long as the process that holds them."""

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from psycopg import Connection

from ghl_snapshots.core.errors import DatabaseLostError
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.session_locks import SessionLocks, unheld
from ghl_snapshots_tests.waiting import eventually

HOLDER = """
import sys, time
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.session_locks import SessionLocks

with Database(sys.argv[1]) as database, SessionLocks(database) as locks:
    print(locks.try_lock("run 1"), flush=True)
    time.sleep(600)
"""


@pytest.fixture
def mine(database: Database) -> Iterator[SessionLocks]:
    with SessionLocks(database) as locks:
        yield locks


@pytest.fixture
def other(database: Database) -> Iterator[SessionLocks]:
    with SessionLocks(database) as locks:
        yield locks


def test_a_lock_is_one_holders_at_a_time(mine: SessionLocks, other: SessionLocks) -> None:
    assert mine.try_lock("capture acme workflows")
    assert mine.try_lock("capture acme workflows"), "ours already"
    assert not other.try_lock("capture acme workflows")
    assert other.try_lock("capture acme pipelines")
    mine.unlock("capture acme workflows")
    assert other.try_lock("capture acme workflows")


def test_a_waiting_session_gets_the_lock_when_it_is_freed(
    mine: SessionLocks, other: SessionLocks, superuser: Connection
) -> None:
    mine.try_lock("a")

    def free_when_awaited() -> None:
        while not superuser.execute("SELECT FROM pg_locks WHERE NOT granted").fetchall():
            pass
        mine.unlock("a")

    thread = threading.Thread(target=free_when_awaited)
    thread.start()
    assert other.wait_for("a", seconds=60)
    thread.join()
    assert not mine.try_lock("a")


def test_waiting_ends_when_the_time_is_up_and_leaves_other_locks_alone(
    mine: SessionLocks, other: SessionLocks
) -> None:
    mine.try_lock("a")
    other.try_lock("b")
    assert not other.wait_for("a", seconds=0.05)
    assert not other.wait_for("a", seconds=0)
    assert not mine.try_lock("b")


def test_a_lock_is_free_as_soon_as_its_holder_is_killed(url: str, database: Database) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, url], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "True\n"
        assert unheld(database, ["run 1", "run 2"]) == {"run 2"}
        holder.kill()
    with SessionLocks(database) as locks:
        assert locks.wait_for("run 1", seconds=60)


def test_a_broken_connection_costs_no_lock(
    mine: SessionLocks, other: SessionLocks, superuser: Connection
) -> None:
    """The next call takes them again, before anybody who did not know of the break could."""
    mine.try_lock("a")
    superuser.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    )
    assert mine.try_lock("b")
    assert not other.try_lock("a")


CUT = "SELECT pg_terminate_backend(pid, 60000) FROM pg_locks WHERE locktype = 'advisory' AND granted"


def test_a_lock_that_another_process_took_meanwhile_is_not_ours(
    mine: SessionLocks, other: SessionLocks, superuser: Connection
) -> None:
    for name in ("a", "b"):
        mine.try_lock(name)
    superuser.execute(CUT)
    assert other.try_lock("a")
    mine.check("b")
    with pytest.raises(DatabaseLostError, match="another process took the lock 'a'"):
        mine.check("a")
    assert not mine.try_lock("a")
    other.unlock("a")
    assert mine.try_lock("a")
    mine.check("a")


def test_a_lock_is_taken_again_although_its_holder_makes_no_call(
    mine: SessionLocks, database: Database, superuser: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run with one long capture left would be found without a process."""
    monkeypatch.setattr("ghl_snapshots.ledger.session_locks._LOOK_SECONDS", 0.01)
    mine.try_lock("run 1")
    superuser.execute(CUT)
    eventually(lambda: not unheld(database, ["run 1"]), "the lock is held again")


def test_the_end_of_the_context_frees_everything(database: Database) -> None:
    with SessionLocks(database) as locks:
        locks.try_lock("a")
        assert unheld(database, ["a"]) == frozenset()
    with SessionLocks(database) as locks:
        assert locks.wait_for("a", seconds=60)
