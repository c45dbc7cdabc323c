"""The child processes of `ghl-snapshots dev`: started together, watched together, ended together.

Each child leads a session of its own, so that Ctrl-C reaches the supervisor only, which then ends the
children. It holds a lock on a file with their process ids: a second supervisor of the same home is refused,
and the next one after a supervisor was killed first ends the processes it left.
"""

import fcntl
import json
import logging
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psutil

from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.tokens import EXCHANGE_SECONDS
from ghl_snapshots.local.endings import wait_for_end

_GRACE_SECONDS = 15
_log = logging.getLogger(__name__)


class Record:
    """The file in which a supervisor, one at a time, records its children."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        """Lock the file, and end the processes that a killed supervisor left running.

        Raises:
            ConfigurationError: another supervisor has locked it.
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
        """Unlock the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def note(self, running: Sequence[psutil.Process]) -> None:
        """Record these processes instead of those before."""
        if self._file is None:
            raise RuntimeError("The record is locked only inside its context.")
        self._file.seek(0)
        self._file.truncate()
        self._file.write(json.dumps([[process.pid, process.create_time()] for process in running]))
        self._file.flush()


class Processes:
    """A group of named child processes, listed in a record."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        """Start with no child."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every child and all that they started."""
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
        self._record.note(self._alive())
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


def _running(recorded: str) -> list[psutil.Process]:
    """Those of the recorded processes that still run."""
    processes = []
    for pid, created in json.loads(recorded or "[]"):
        try:
            process = psutil.Process(pid)
            # The same id may belong to another program by now, with another start time.
            if process.create_time() == created:
                processes.append(process)
        except psutil.NoSuchProcess:
            continue
    return processes


def _end(processes: Sequence[psutil.Process]) -> None:
    """Ask the processes and all that they started to end, and kill what is left of them after a while.

    By SIGTERM, which Dagster's processes take for Ctrl-C, and which one that is not yet up obeys silently. A
    run ends only after a token exchange under way, so what outlives the grace is left the time for one.
    """
    family = [member for process in processes for member in (process, *_descendants(process))]
    for member in family:
        _send(member, signal.SIGTERM)
    alive = wait_for_end(family, _GRACE_SECONDS)
    if alive:
        _log.warning(
            "Waiting up to %d s for a token exchange that may be under way, whose answer comes once "
            "(process %s).",
            EXCHANGE_SECONDS,
            ", ".join(str(process.pid) for process in alive),
        )
        alive = wait_for_end(alive, EXCHANGE_SECONDS)
    for process in alive:
        _send(process, signal.SIGKILL)
    wait_for_end(alive, _GRACE_SECONDS)
    for process in processes:
        # One that was started while its parent was asked to end is of no family that was seen.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
