"""The child processes of `ghl-snapshots dev`: started together, watched together, ended together.

Each child leads a session of its own, so that Ctrl-C reaches only the supervisor, which then ends the
children in an orderly way. Their process ids are kept in a file, so that a start after the supervisor itself
was killed first ends what it left behind.
"""

import json
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

_GRACE_SECONDS = 15


class Processes:
    """A group of named child processes, recorded in the file `record`."""

    def __init__(self, record: Path) -> None:
        self._record = record
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def end_leftovers(self) -> None:
        """End what an earlier group with the same record left running, because its supervisor was killed."""
        _end(_recorded(self._record))
        self._record.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        """Children may start now."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every child and all that they started, gently first."""
        _end([psutil.Process(child.pid) for child in self._children.values() if child.poll() is None])
        for child in self._children.values():
            child.wait()
        self._record.unlink(missing_ok=True)

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start a child whose output goes where ours goes."""
        self._children[name] = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.DEVNULL, start_new_session=True
        )
        running = [psutil.Process(child.pid) for child in self._children.values() if child.poll() is None]
        self._record.write_text(json.dumps([[process.pid, process.create_time()] for process in running]))

    def ended(self) -> tuple[str, int] | None:
        """Name and exit code of a child that has ended, or None while all of them run."""
        for name, child in self._children.items():
            code = child.poll()
            if code is not None:
                return name, code
        return None


def _recorded(record: Path) -> list[psutil.Process]:
    if not record.exists():
        return []
    processes = []
    for pid, created in json.loads(record.read_text() or "[]"):
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
        _send(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=_GRACE_SECONDS)


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
