"""Many writers at once, and writers and servers that die: nothing lost, doubled or half there."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from psycopg import Connection

from ghl_snapshots.core.errors import LedgerError
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.ledger.verification import Verification
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots_tests.ledger.captures import capture, tenant
from ghl_snapshots_tests.ledger.proxies import proxied

pytestmark = pytest.mark.slow

Appender = subprocess.Popen[str]


def appender(url: str, name: str, count: int, mode: str = "own") -> Appender:
    command = [sys.executable, "-m", "ghl_snapshots_tests.ledger.appender", url, name, str(count), mode]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def acknowledged(process: Appender) -> dict[str, str]:
    """What the process reports as stored, from here on: snapshot ids by correlation id."""
    assert process.stdout is not None
    with process.stdout as output:
        reported = dict(line.split() for line in output)
    process.wait(timeout=60)
    return reported


def stored(connection: Connection) -> dict[str, str]:
    rows = connection.execute("SELECT correlation_id, snapshot_id FROM ghl.snapshot").fetchall()
    assert len(dict(rows)) == len(rows)
    return dict(rows)


def assert_whole(url: str) -> None:
    """Every chain holds, no content is doubled, and every snapshot has its audit event and the reverse."""
    with Database(url) as database:
        assert list(Verification(database, deep=True)) == []
    with psycopg.connect(url) as connection:
        unmatched = connection.execute(
            "SELECT count(*) FROM (SELECT snapshot_id FROM ghl.snapshot) AS s FULL JOIN "
            "(SELECT details ->> 'snapshotId' AS snapshot_id FROM ghl.audit_event "
            "WHERE event_type = 'ghl_snapshot_capture') AS e USING (snapshot_id) "
            "WHERE s.snapshot_id IS NULL OR e.snapshot_id IS NULL"
        ).fetchone()
    assert unmatched == (0,)


def test_sixteen_processes_that_append_at_once_lose_and_double_nothing(url: str) -> None:
    processes = [appender(url, f"writer{number}", 12) for number in range(16)]
    reported = [acknowledged(process) for process in processes]
    assert [process.returncode for process in processes] == [0] * 16
    with psycopg.connect(url) as connection:
        found = stored(connection)
        assert found == {key: value for one in reported for key, value in one.items()}
        assert len(found) == 16 * 12
        entities: Any = connection.execute(
            "SELECT count(*), count(DISTINCT (tenant_id, digest)) FROM ghl.entity"
        )
        assert len(set(entities.fetchone())) == 1
    assert_whole(url)


def test_of_many_appends_for_one_trigger_one_is_stored_and_all_get_it(url: str, ledger: Ledger) -> None:
    given = [capture(bodies=[b"%d" % number], correlation_id="tick") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        appended = list(pool.map(ledger.append, given))
    assert len({one.snapshot.snapshot_id for one in appended}) == 1
    assert sum(not one.already_stored for one in appended) == 1
    assert_whole(url)


def test_a_killed_writer_leaves_whole_snapshots_and_the_next_takes_over(url: str) -> None:
    for _ in range(4):
        process = appender(url, "writer", 10_000, "shared")
        assert process.stdout is not None
        for _line in range(7):
            process.stdout.readline()
        process.kill()
        process.communicate()
    finished = appender(url, "writer", 60, "shared")
    reported = acknowledged(finished)
    assert finished.returncode == 0
    with psycopg.connect(url) as connection:
        found = stored(connection)
    assert reported.items() <= found.items()
    assert_whole(url)


@pytest.fixture
def fragile(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server of its own, as durable as one of a deployment."""
    with EmbeddedPostgres(tmp_path) as server:
        migrate(server.url("ledger"))
        with Database(server.url("ledger")) as database:
            TenantRegistry(database).import_all([tenant("acme"), tenant("zenith")])
        yield server
    with EmbeddedPostgres(tmp_path):
        pass  # the last to leave stops the server that the test started in place of the killed one


def test_writers_outlive_a_server_that_is_killed_and_started_again(
    fragile: EmbeddedPostgres, tmp_path: Path
) -> None:
    url = fragile.url("ledger")
    processes = [appender(url, f"writer{number}", 80) for number in range(2)]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    killed = psutil.Process(fragile.pid)
    killed.kill()
    psutil.wait_procs([killed], timeout=10)
    with EmbeddedPostgres(tmp_path) as again, psycopg.connect(again.url("ledger")) as connection:
        reported = [acknowledged(process) for process in processes]
        assert [process.returncode for process in processes] == [0, 0]
        assert sum(map(len, reported)) == 2 * 79  # all but the line read above
        found = stored(connection)
        assert len(found) == 2 * 80
        assert all(one.items() <= found.items() for one in reported)
        assert_whole(again.url("ledger"))


@pytest.fixture
def cutting(url: str, tmp_path: Path) -> Iterator[str]:
    """URL of the same database by a proxy that ends the connection when an append's COMMIT is answered."""
    cut, committing, appending = threading.Event(), False, False

    def passes(data: bytes, from_server: bool) -> bool:  # noqa: FBT001 - the proxy's form
        nonlocal committing, appending
        if committing and from_server:
            return False
        appending = appending or b"INSERT INTO ghl.snapshot" in data
        committing = appending and not from_server and b"COMMIT" in data and not cut.is_set()
        if committing:
            cut.set()
        return True

    with proxied(url, tmp_path / "s", passes) as proxy:
        yield proxy
    assert cut.is_set()


def test_an_append_whose_acknowledgement_was_lost_finds_what_it_stored(
    cutting: str, url: str, superuser: Connection
) -> None:
    with Database(cutting) as database:
        appended = Ledger(database).append(capture(correlation_id="tick"))
    assert appended.already_stored
    assert stored(superuser) == {"tick": appended.snapshot.snapshot_id}
    assert_whole(url)


def test_a_full_disk_is_reported_and_leaves_nothing_half_there(
    ledger: Ledger, superuser: Connection, url: str
) -> None:
    superuser.execute(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$"
    )
    superuser.execute(
        "CREATE TRIGGER full_disk AFTER INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION full_disk()"
    )
    with pytest.raises(LedgerError, match="No space left on device"):
        ledger.append(capture(correlation_id="tick"))
    for table in ("entity", "manifest", "provenance", "snapshot"):
        row: Any = superuser.execute(f"SELECT count(*) FROM {table}").fetchone()
        assert row == (0,)
    superuser.execute("DROP TRIGGER full_disk ON audit_event")
    assert not ledger.append(capture(correlation_id="tick")).already_stored
