"""The wait for a lock of another session is bounded, and its error names the session and what to do."""

import re
from collections.abc import Callable, Iterator

import pytest
from psycopg import Connection

from ghl_snapshots.core.audit_events import EventType
from ghl_snapshots.core.errors import LedgerError, SnapshotRefusedError
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.ledger.audit import AuditTrail
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots_tests.ledger.captures import capture

CHAIN = "SELECT pg_advisory_lock(hashtextextended('acme workflows', 4711))"


@pytest.fixture
def impatient(url: str) -> Iterator[Database]:
    with Database(url, lock_seconds=0.1) as database:
        yield database


@pytest.mark.parametrize("role", ["reader", "writer"])
def test_a_session_that_keeps_a_chains_lock_delays_its_captures_for_a_bounded_time(
    impatient: Database, as_role: Callable[..., Connection], role: str
) -> None:
    """Any login may take an advisory lock, and hold it without any transaction."""
    holder = as_role(role)
    holder.execute("SET application_name = 'report'")
    holder.execute(CHAIN)
    ledger = Ledger(impatient)
    message = re.escape(
        "The capture of workflows of tenant acme was not stored: it waited 0.1 s for the end of its chain, "
        f"which is locked by session {holder.info.backend_pid} (login postgres, report). "
        "Look at what it does; pg_terminate_backend ends it."
    )
    with pytest.raises(LedgerError, match=message) as failed:
        ledger.append(capture())
    assert not isinstance(failed.value, SnapshotRefusedError)
    assert AuditTrail(impatient).events(event_type=EventType.REFUSED) == []
    for elsewhere in (capture("zenith"), capture(snapshot_type=SnapshotType.PIPELINES)):
        assert ledger.append(elsewhere).snapshot.seq == 1
    holder.close()
    assert ledger.append(capture()).snapshot.seq == 1


def test_another_lock_than_the_chains_is_named_by_where_it_was_waited_for(
    impatient: Database, as_role: Callable[..., Connection]
) -> None:
    """Here a transaction that has added the same entity and goes no further."""
    stored = capture()
    with as_role("writer", "acme").transaction() as transaction:
        transaction.connection.execute("SAVEPOINT nothing_yet")
        transaction.connection.execute(
            "INSERT INTO entity (tenant_id, digest, endpoint, body) "
            "VALUES ('acme', sha256(%(b)s), '/', %(b)s)",
            {"b": stored.entities[0].body},
        )
        with pytest.raises(LedgerError, match=r'0\.1 s for .* in relation "entity".* pg_blocking_pids'):
            Ledger(impatient).append(stored)
        transaction.connection.execute("ROLLBACK TO SAVEPOINT nothing_yet")
    assert Ledger(impatient).append(stored).snapshot.seq == 1


def test_a_row_of_the_registry_that_somebody_locks_is_named_too(
    impatient: Database, as_role: Callable[..., Connection]
) -> None:
    with as_role("writer", "acme").transaction() as transaction:
        transaction.connection.execute("UPDATE tenant SET enabled = false")
        with pytest.raises(LedgerError, match="Another session locked what this one waited"):
            TenantRegistry(impatient).set_enabled("acme", enabled=False)


def test_a_migration_waits_for_another_for_a_bounded_time(url: str, superuser: Connection) -> None:
    superuser.execute("SELECT pg_advisory_lock(4710)")
    with pytest.raises(LedgerError, match=r"waited 0\.1 s for .*Let another migration end"):
        migrate(url, lock_seconds=0.1)
    superuser.execute("SELECT pg_advisory_unlock(4710)")
    assert migrate(url, lock_seconds=0.1) == []
