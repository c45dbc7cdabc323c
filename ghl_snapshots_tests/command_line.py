"""Running `ghl-snapshots` as a user would: a process of its own, in a home folder of the test's."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

COMMAND = Path(sys.executable).parent / "ghl-snapshots"
_STEERING = ("GHL_", "DAGSTER_", "DEMO_", "COLUMNS", "NO_COLOR", "FORCE_COLOR")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """`ghl-snapshots` with a home folder and environment variables of its own."""

    home: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """The environment of the test run, without variables that steer the product."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_STEERING)}
        return {**inherited, "GHL_SNAPSHOTS_HOME": str(self.home), **self.variables}

    def __call__(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end, with its output captured."""
        return subprocess.run(
            [COMMAND, *arguments],
            env=self.environment(),
            input=stdin,
            capture_output=True,
            check=False,
            timeout=300,
        )

    def start(self, *arguments: str, output: Path) -> subprocess.Popen[bytes]:
        """Start a command that the caller will end, with its output going to a file."""
        with output.open("wb") as file:
            return subprocess.Popen(
                [COMMAND, *arguments],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @contextmanager
    def running(self, *arguments: str, output: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Have a command run in the block; if it has not ended by then, whatever the block does, end it."""
        process = self.start(*arguments, output=output)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(60)
            finally:
                process.kill()
                process.wait()

    def piped_into_head(self, *arguments: str) -> bytes:
        """What a command says on stderr when its reader stops after a few bytes."""
        with subprocess.Popen(
            [COMMAND, *arguments], env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout
            assert process.stderr
            process.stdout.read(10)
            process.stdout.close()
            return process.stderr.read()


def processes_that_mention(folder: Path) -> list[str]:
    """The command lines of what runs in that folder."""
    return [
        " ".join(process.info["cmdline"])
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in part for part in process.info["cmdline"] or ())
        and process.status() != psutil.STATUS_ZOMBIE
    ]


def free_port() -> int:
    """A port of the loopback interface that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
