"""Behind a real PgBouncer no connection is what was asked for, and each is refused with a reason."""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ghl_snapshots.core.errors import LedgerError
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.session_locks import SessionLocks
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots_tests.waiting import eventually

PGBOUNCER = shutil.which("pgbouncer")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed: apt-get install pgbouncer"),
]


@pytest.fixture(params=["session", "transaction"])
def pooled(
    request: pytest.FixtureRequest, postgres: EmbeddedPostgres, url: str, tmp_path: Path
) -> Iterator[Callable[..., str]]:
    """A function that starts a PgBouncer before the server; URL of the same database through it."""
    server = conninfo_to_dict(url)
    started: list[subprocess.Popen[bytes]] = []

    def start(**settings: str) -> str:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        values = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(port),
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": request.param,
            **settings,
        }
        lines = [
            "[databases]",
            f"* = host={server['host']} user={server['user']}",
            "[pgbouncer]",
            *(f"{name} = {value}" for name, value in values.items()),
        ]
        # It refuses to run as root, and only the server's own user may open the server's socket.
        user = psutil.Process(postgres.pid).uids().real
        configuration = tmp_path / "pgbouncer.ini"
        configuration.write_text("\n".join(lines), encoding="utf-8")
        with configuration.open("rb") as readable:
            command = [str(PGBOUNCER), "--quiet", f"/dev/fd/{readable.fileno()}"]
            started.append(
                subprocess.Popen(
                    command, pass_fds=[readable.fileno()], user=user if os.getuid() == 0 else None
                )
            )
            pooled = make_conninfo("", host="127.0.0.1", port=port, user="postgres", dbname=server["dbname"])
            eventually(lambda: answers(pooled), "PgBouncer answers")
        return pooled

    yield start
    for process in started:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def uses(database: Database) -> list[Callable[[], Any]]:
    """Every way to a connection."""
    contexts = [database.writer("acme"), database.reader("acme"), database.auditor()]
    return [*(context.__enter__ for context in contexts), lambda: SessionLocks(database).try_lock("a")]


def test_a_pooler_that_ignores_what_a_session_asks_for_is_refused(pooled: Callable[..., str]) -> None:
    """The usual remedy for its refusal; a reader of one tenant then sees all, with its login's rights."""
    with Database(pooled(ignore_startup_parameters="options")) as database:
        for use in uses(database):
            with pytest.raises(LedgerError, match=r"role is 'none', not 'ghl_snapshots_.* PgBouncer"):
                use()


def test_a_pooler_that_refuses_what_a_session_asks_for_is_reported(pooled: Callable[..., str]) -> None:
    url = pooled()
    with Database(url) as database:
        for use in uses(database):
            with pytest.raises(LedgerError, match=r"unsupported startup parameter.* PgBouncer"):
                use()
    with pytest.raises(LedgerError, match=r"unsupported startup parameter.* PgBouncer"):
        migrate(url)


def test_a_migration_through_a_pooler_is_refused(pooled: Callable[..., str]) -> None:
    with pytest.raises(LedgerError, match=r"not what was asked for.* PgBouncer"):
        migrate(pooled(ignore_startup_parameters="options"))
