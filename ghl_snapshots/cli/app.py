"""The program `ghl-snapshots`: its groups of commands, and how an error ends it.

Exit codes: 0 done, 1 failed (a capture, a check, a server), 2 wrong usage or configuration, 130 interrupted.
"""

import logging
import re
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ghl_snapshots.cli import (
    audit,
    export,
    history,
    keys,
    service,
    snapshots,
    status,
    tenants,
    verification,
)
from ghl_snapshots.core.errors import ConfigurationError, GhlSnapshotsError, UnknownTenantError
from ghl_snapshots.core.signals import ended_by_signals


class _Program(TyperGroup):
    """The commands; an error raised on purpose is one line on stderr and an exit code, not a traceback.

    So is Ctrl-C; what was done by then is the text of the KeyboardInterrupt, where a command says it.
    """

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer has no public name for click's own types
        """Run the command that was asked for."""
        try:
            # Of SIGTERM too, or the embedded PostgreSQL of a command outlives it: also of the API, where
            # uvicorn sends itself the signal that ended it once more.
            with ended_by_signals():
                return super().invoke(ctx)
        except GhlSnapshotsError as error:
            typer.echo(f"Error: {error}", err=True)
            wrong_usage = isinstance(error, ConfigurationError | UnknownTenantError)
            raise typer.Exit(2 if wrong_usage else 1) from None
        except KeyboardInterrupt as interrupt:
            done = f": {interrupt}" if str(interrupt) else ""
            typer.echo(f"Stopped{done}.", err=True)
            raise typer.Exit(130) from None
        except Exception as error:
            # Wherever it comes up, in our files, in PostgreSQL's or in Dagster's.
            if not (reason := _full_disk(error)):
                raise
            typer.echo(f"Error: {reason}. Make room, and try again.", err=True)
            raise typer.Exit(1) from None


def _full_disk(error: BaseException | None) -> str | None:
    """What an error says of a full disk, in a line, if that is what it or one of its causes is."""
    while error is not None:
        if said := re.search(r".*No space left on device.*|.*Disk quota exceeded.*", str(error)):
            return said[0].strip().rstrip(".")
        error = error.__cause__ or error.__context__
    return None


app = typer.Typer(
    cls=_Program,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (service, snapshots, history, export, status, verification, audit):
    app.add_typer(group.commands)
app.add_typer(history.list_commands, name="snapshots")
app.add_typer(tenants.commands, name="tenants")
app.add_typer(keys.commands, name="keys")
app.add_typer(verification.checkpoint_commands, name="checkpoint")


def _print_version(value: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if value:
        typer.echo(f"ghl-snapshots {version('ghl-snapshots')}")
        raise typer.Exit


@app.callback()
def program(
    *,
    _: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """The system of record for GoHighLevel configuration."""


def main() -> None:
    """Run the command line."""
    # The connection pool logs every failed attempt; the error that ends the command names the cause once.
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    app()
