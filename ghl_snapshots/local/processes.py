"""The child processes of `ghl-snapshots dev`: started together, watched together, ended together.

Each child leads a session of its own, so that Ctrl-C reaches only the supervisor, which then ends the
children in an orderly way. Their process ids are kept in a file that the supervisor holds a lock on, so that
a start after the supervisor itself was killed first ends what it left behind, and a second supervisor of the
same home is refused.
"""

import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psutil
from rich.console import Console

from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.custody.custodian import COMMAND as CUSTODIAN

_GRACE_SECONDS = 15


class Record:
    """The file in which one supervisor at a time notes its children."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        """Take the record, and end what a supervisor that was killed left running.

        Raises:
            ConfigurationError: another supervisor holds it.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise ConfigurationError(
                f"The product is running already from {self._path.parent}; end that first, or set "
                "GHL_SNAPSHOTS_HOME to another folder."
            ) from None
        self._file = file
        file.seek(0)
        _end(_running(file.read()))
        self.note([])
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the record up."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def note(self, running: Sequence[psutil.Process]) -> None:
        """Note these processes in the place of those noted before."""
        if self._file is None:
            raise RuntimeError("The record is only ours inside its context.")
        self._file.seek(0)
        self._file.truncate()
        self._file.write(json.dumps([[process.pid, process.create_time()] for process in running]))
        self._file.flush()


class Processes:
    """A group of named child processes, noted in a record."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        """Children may start now."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every child and all that they started, gently first."""
        _end(self._alive())
        for child in self._children.values():
            child.wait()
        self._record.note([])

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start a child whose output goes where ours goes; one of the same name must have ended."""
        child = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.DEVNULL, start_new_session=True
        )
        self._children[name] = child
        self._record.note(
            [psutil.Process(child.pid) for child in self._children.values() if child.poll() is None]
        )
        return child

    def ended(self) -> tuple[str, int] | None:
        """Name and exit code of a child that has ended, or None while all of them run."""
        for name, child in self._children.items():
            code = child.poll()
            if code is not None:
                return name, code
        return None

    def _alive(self) -> list[psutil.Process]:
        return [psutil.Process(child.pid) for child in self._children.values() if child.poll() is None]


def wait_for_custodians() -> None:
    """Wait until none of those that this process started holds a refresh token any more.

    Each ends by itself, after minutes at most unless the database keeps it waiting.
    """
    custodians = [process for process in _descendants(psutil.Process()) if _is_custodian(process)]
    if custodians:
        Console(stderr=True, soft_wrap=True).print(
            "Waiting for GHL's answer to a token request, which comes once; Ctrl-C now may lose the account."
        )
    psutil.wait_procs(custodians)


def _running(recorded: str) -> list[psutil.Process]:
    """Those of the recorded processes that still run."""
    processes = []
    for pid, created in json.loads(recorded or "[]"):
        try:
            process = psutil.Process(pid)
            # The same number may belong to another program by now; its start time tells.
            if process.create_time() == created:
                processes.append(process)
        except psutil.NoSuchProcess:
            continue
    return processes


def _end(processes: Sequence[psutil.Process]) -> None:
    """Ask the processes to end, and kill what is left of their families after a while.

    By SIGTERM, which Dagster's processes take for Ctrl-C, and which one that is not yet up obeys silently.
    """
    families = [member for process in processes for member in (process, *_descendants(process))]
    for process in processes:
        _send(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(families, timeout=_GRACE_SECONDS)
    for process in alive:
        if not _is_custodian(process):
            _send(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=_GRACE_SECONDS)
    for process in processes:
        # One that was started while its parent was asked to end is of no family that was seen.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _is_custodian(process: psutil.Process) -> bool:
    """Whether it has a refresh token in custody: it ends by itself, and killing it would lose the token."""
    try:
        # The interpreter's path may be another one for the same file.
        return tuple(process.cmdline()[1:]) == CUSTODIAN[1:]
    except psutil.Error:
        return False


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
