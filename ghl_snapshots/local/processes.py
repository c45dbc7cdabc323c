"""The child processes of `ghl-snapshots dev`: started together, watched together, ended together.

Each child leads a session of its own, so that Ctrl-C reaches the supervisor only, which then ends the
children. It holds a lock on a file with their process ids: a second supervisor of the same home is refused,
and the next one after a supervisor was killed first ends the processes it left.

What the children print is passed on until they are ended. A process of Dagster's that is broken off, or has
lost the database, prints tracebacks which say nothing else; those go to a file.
"""

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psutil

from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.signals import deferred_signals
from ghl_snapshots.core.tokens import EXCHANGE_SECONDS
from ghl_snapshots.local.endings import wait_for_end

_GRACE_SECONDS = 15
_READ_SECONDS = 2
DELAY_SECONDS = 0.6
"""After which what a child has printed is passed on, if all is still well then."""
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

    @property
    def last_words(self) -> Path:
        """The file beside it for what the children print when they are ended."""
        return self._path.with_name("last_words.log")

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
        self._last_words: IO[bytes] | None = None
        self._ending = threading.Event()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._readers: dict[str, threading.Thread] = {}

    def __enter__(self) -> Self:
        """Start with no child."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every child and all that they started; a second Ctrl-C changes nothing."""
        with deferred_signals(), ExitStack() as stack:
            with suppress(OSError):  # whatever has become of the home folder
                self._last_words = stack.enter_context(self._record.last_words.open("wb"))
            self._ending.set()
            _end(self._alive())
            for child in self._children.values():
                with suppress(subprocess.TimeoutExpired):
                    child.wait(_GRACE_SECONDS)
            for reader in self._readers.values():
                reader.join(_READ_SECONDS)
            self._record.note([])

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start a child; one of the same name must have ended."""
        with deferred_signals():  # or one that comes now would leave a child that nobody knows of
            child = self._children[name] = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._readers[name] = threading.Thread(target=self._pass_on, args=(child.stdout,), daemon=True)
            self._readers[name].start()
            self._record.note(self._alive())
        return child

    def ended(self) -> tuple[str, int] | None:
        """Name and exit code of a child that has ended, or None while all of them run."""
        for name, child in self._children.items():
            code = child.poll()
            if code is not None:
                return name, code
        return None

    def print_output(self, name: str) -> None:
        """Have all printed that a child which has ended said; what it started may live, and say more."""
        self._readers[name].join(_READ_SECONDS)

    def _pass_on(self, output: IO[bytes]) -> None:
        with output:
            while text := os.read(output.fileno(), 65_536):
                self._ending.wait(DELAY_SECONDS)
                target = self._last_words or sys.stdout.buffer
                with suppress(OSError, ValueError):  # the children go on without a reader of ours
                    target.write(text)
                    target.flush()

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
