"""The command line: a thin shell over the domain and over Dagster.

Exit codes: 0 done, 1 failed (a capture, a check, a server), 2 wrong usage or configuration, 130 interrupted.
"""

import logging
import sys
from contextlib import closing
from importlib.metadata import version
from typing import Annotated

import typer

from ghl_snapshots.cli.keys import keys
from ghl_snapshots.cli.ledger import audit, checkpoint, verify
from ghl_snapshots.cli.tenants import tenants
from ghl_snapshots.core.errors import ConfigurationError, GhlSnapshotsError, UnknownTenantError
from ghl_snapshots.core.model import SnapshotType

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(tenants, name="tenants")
app.add_typer(keys, name="keys")
app.command()(verify)
app.command()(audit)
app.add_typer(checkpoint, name="checkpoint")


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if asked:
        typer.echo(f"ghl-snapshots {version('ghl-snapshots')}")
        raise typer.Exit


@app.callback()
def program(
    *,
    _: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the release and exit."),
    ] = False,
) -> None:
    """The system of record for GoHighLevel configuration."""


@app.command()
def demo() -> None:
    """Capture every simulated account into PostgreSQL, as a real Dagster run, and print the result."""
    from ghl_snapshots.local import demo as demonstration

    raise typer.Exit(demonstration.run(typer.echo))


@app.command()
def dev(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of Dagster's UI.")] = 3000,
    api_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the HTTP API.")] = 8000,
) -> None:
    """Run the whole product in the foreground; Ctrl-C ends it.

    PostgreSQL, Dagster's webserver and daemon, the HTTP API, and without GHL_BASE_URL the simulated GHL.
    """
    from ghl_snapshots.local import dev as product

    product.run(port, api_port, typer.echo)


@app.command()
def api(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
) -> None:
    """Serve the HTTP API: trigger, follow, read and monitor snapshots; Ctrl-C ends it."""
    from ghl_snapshots.cli import api_process as serving

    serving.run(host, port, lambda line: typer.echo(line, err=True))


@app.command()
def migrate() -> None:
    """Create the databases and bring their schema up to this release; safe to run again at any time."""
    from ghl_snapshots.local.environment import migrate_databases, product_environment

    with product_environment() as settings:
        applied = migrate_databases(settings)
    typer.echo(f"Applied: {', '.join(applied)}." if applied else "The schema is up to date; nothing to do.")


@app.command()
def snapshot(
    tenant: Annotated[list[str], typer.Option(help="Tenant to capture; may be given more than once.")],
    type_: Annotated[
        list[SnapshotType] | None,
        typer.Option("--type", help="Snapshot type to capture; may be given more than once. All by default."),
    ] = None,
) -> None:
    """Capture tenants now, as a real Dagster run, and print what came of it."""
    from ghl_snapshots.local import capture_command as manual

    raise typer.Exit(manual.snapshot(tenant, type_ or list(SnapshotType)))


@app.command()
def show(
    snapshot_id: Annotated[str, typer.Argument(metavar="SNAPSHOT_ID")],
    *,
    raw: Annotated[
        bool, typer.Option("--raw", help="Only the entities' exact bytes, a line feed behind each.")
    ] = False,
) -> None:
    """Print a snapshot as JSON, after its checksum was verified."""
    from ghl_snapshots.cli import reading

    with closing(reading.show(snapshot_id, raw=raw)) as pieces:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


@app.command()
def config(
    tenant: Annotated[
        str | None, typer.Option(help="Only how this tenant's captures are made, its overrides included.")
    ] = None,
) -> None:
    """Print every setting with its environment variable, its present value and its meaning; no secrets."""
    from ghl_snapshots.cli import reading
    from ghl_snapshots.core.settings import load_settings, told

    for line in told(load_settings()) if tenant is None else reading.overridden(tenant):
        typer.echo(line)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(context: typer.Context) -> None:
    """Open psql on the product's database; every argument is passed on, for instance -c 'SELECT 1'."""
    from ghl_snapshots.cli import reading

    raise typer.Exit(reading.psql(context.args))


def main() -> None:
    """Run the command line; an error that we raise on purpose is one line on stderr, without a traceback."""
    # The pool of connections retries for a while and logs each try; our own error tells the cause once.
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    try:
        app()
    except (ConfigurationError, UnknownTenantError) as error:
        raise SystemExit(_failed(error, 2)) from None
    except GhlSnapshotsError as error:
        raise SystemExit(_failed(error, 1)) from None


def _failed(error: GhlSnapshotsError, code: int) -> int:
    typer.echo(f"Error: {error}", err=True)
    return code
