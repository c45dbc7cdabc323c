"""Running `ghl-snapshots` inside the test's own process, which costs no start of an interpreter."""

import os
from dataclasses import dataclass
from subprocess import CompletedProcess

from typer.testing import CliRunner

from ghl_snapshots.cli.app import app
from ghl_snapshots_tests.command_line import CommandLine


@dataclass(frozen=True, slots=True, kw_only=True)
class InProcess(CommandLine):
    """The command line as `CommandLine` has it, but for psql, which writes past Python's standard output."""

    def __call__(self, *arguments: str, stdin: bytes = b"") -> CompletedProcess[bytes]:
        """Run a command to its end, with its output captured; an error that is not ours is raised."""
        given = self.environment()
        env = {name: None for name in os.environ if name not in given} | given
        done = CliRunner().invoke(app, arguments, input=stdin, env=env, prog_name="ghl-snapshots")
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return CompletedProcess(arguments, done.exit_code, done.stdout_bytes, done.stderr_bytes)
