"""`ghl-snapshots demo`, `dev`, `api`, `worker`, `migrate`, `psql`, `exec`, `dagster`, `env`, `config`.

What takes long to import (Dagster, FastAPI) is imported by the commands that use it.
"""

import logging
import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from psycopg.conninfo import conninfo_to_dict

from ghl_snapshots.capture.composition import auditor_url, database_url
from ghl_snapshots.cli.completion import tenant_ids
from ghl_snapshots.cli.database import checked_database, report
from ghl_snapshots.core.audit_events import EventType
from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.logs import configure_logs
from ghl_snapshots.core.settings import RunLauncher, describe_overrides, describe_settings, load_settings
from ghl_snapshots.ledger.audit import AuditTrail, by_hand
from ghl_snapshots.ledger.database import AUDITOR
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.environment import migrate_databases, product_environment
from ghl_snapshots.local.foreground import run_in_foreground

commands = typer.Typer()

_LIBPQ_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
}
# Dagster takes one of these at a time, and the variable for -m in their place.
_TARGETS = {"-w", "--workspace", "-f", "--python-file", "--package-name", "--grpc-port", "--grpc-socket"}


@commands.command()
def demo() -> None:
    """Capture a simulated GHL into PostgreSQL, in a real Dagster run, and print each snapshot."""
    from ghl_snapshots.local import demo

    raise typer.Exit(demo.run(typer.echo))


@commands.command()
def dev(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of Dagster's UI.")] = 3000,
    api_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the HTTP API.")] = 8000,
) -> None:
    """Run the whole product in the foreground; Ctrl-C ends it.

    PostgreSQL, Dagster's webserver and daemon, the HTTP API, and without GHL_BASE_URL the simulated GHL.
    """
    from ghl_snapshots.local import dev

    dev.run(port, api_port, typer.echo)


@commands.command()
def api(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
) -> None:
    """Serve the HTTP API in the foreground; Ctrl-C ends it."""
    from ghl_snapshots.api.server import serve

    with product_environment() as settings:
        migrate_databases(settings, report)
        configure_logs()
        serve(settings, host=host, port=port, say=report)


@commands.command()
def worker(
    slots: Annotated[int, typer.Option(min=1, max=256, help="Runs that work at once on this machine.")] = 4,
) -> None:
    """Execute the runs that the run launcher celery starts, in the foreground; Ctrl-C ends it in order."""
    settings = load_settings()
    database_url(settings)  # the runs' machines share a server
    if settings.run_launcher is not RunLauncher.CELERY:
        raise ConfigurationError(
            "A worker executes what the run launcher celery starts: set GHL_SNAPSHOTS_RUN_LAUNCHER=celery "
            "and GHL_SNAPSHOTS_CELERY_BROKER_URL for every process of the deployment."
        )
    with product_environment():
        from ghl_snapshots.definitions import definitions
        from ghl_snapshots.orchestration.celery_worker import serve

        definitions()  # in memory before the worker forks, so that no run imports them
        configure_logs()
        logging.getLogger("celery").setLevel(logging.INFO)
        serve(slots)


@commands.command()
def migrate() -> None:
    """Create the databases and bring their schema up to this release; safe to run again at any time."""
    with product_environment() as settings:
        behind = migrate_databases(settings, typer.echo)
    if not behind:
        typer.echo("The schema is up to date; nothing to do.")


@commands.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(context: typer.Context) -> None:
    """Open psql on the product's database, read-only, with all tenants visible.

    Every argument is passed to psql, for instance -c 'SELECT 1'. The session acts as ghl_snapshots_auditor.
    """
    with checked_database() as (settings, database):
        AuditTrail(database).record(by_hand(EventType.SQL_SESSION))
        code = run_in_foreground([_psql(), *context.args], _libpq_environment(auditor_url(settings)))
    raise typer.Exit(code)


@commands.command(name="exec", context_settings={"allow_extra_args": True, "allow_interspersed_args": False})
def execute(context: typer.Context) -> None:
    """Run another program in the product's environment, such as dagster-daemon; its arguments follow.

    Writes dagster.yaml into DAGSTER_HOME, and sets that and the URL of Dagster's database, from the settings.
    """
    if not context.args:
        raise ConfigurationError("Name a program to run.")
    _run_program(context.args, {})


@commands.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,  # `dagster api grpc -h 0.0.0.0` has a -h of its own
    }
)
def dagster(context: typer.Context) -> None:
    """Run one of Dagster's own commands on the product's instance, such as `dagster asset list`.

    As `exec dagster` does, and on the product's definitions unless -w, -f or another option names others.
    """
    named = {argument.partition("=")[0] for argument in context.args} & _TARGETS
    _run_program(
        ["dagster", *context.args], {} if named else {"DAGSTER_MODULE_NAME": "ghl_snapshots.definitions"}
    )


@commands.command()
def env() -> None:
    """Print what Dagster's own commands and other processes of the product need in their environment.

    For the shell: eval "$(ghl-snapshots env)". What is set already is not repeated. The values hold secrets.
    """
    before = dict(os.environ)
    with product_environment() as settings:
        migrate_databases(settings, report)
        needed = {name: value for name, value in os.environ.items() if before.get(name) != value}
    for name, value in sorted(needed.items()):
        typer.echo(f"export {name}={shlex.quote(value)}")
    if "GHL_SNAPSHOTS_DATABASE_URL" in needed:
        report(
            "The embedded PostgreSQL runs while a command of the product does, such as `ghl-snapshots dev`."
        )


@commands.command()
def config(
    tenant: Annotated[
        str | None,
        typer.Option(
            help="Only the capture settings of this tenant, its overrides included.",
            autocompletion=tenant_ids,
        ),
    ] = None,
) -> None:
    """Print every setting with its variable, present value and meaning; secrets are not shown."""
    if tenant is None:
        lines = list(describe_settings(load_settings()))
    else:
        with checked_database() as (settings, database):
            lines = list(describe_overrides(settings, TenantRegistry(database).get(tenant)))
    for line in lines:
        typer.echo(line)


def _run_program(command: Sequence[str], more: Mapping[str, str]) -> NoReturn:
    """Become that program, or wait for its end where the embedded PostgreSQL has to run for it."""
    name, *arguments = command
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    program = shutil.which(name, path=path)
    if program is None:
        raise ConfigurationError(f"There is no program {name!r}.")
    embedded = load_settings().database_url is None
    with product_environment() as settings:
        environment = {**os.environ, **more}
        if not embedded:
            os.execve(program, [program, *arguments], environment)  # noqa: S606 (no shell)
        migrate_databases(settings, report)
        code = run_in_foreground([program, *arguments], environment)
    raise typer.Exit(code)


def _psql() -> str:
    """The psql that comes with the embedded PostgreSQL, or the machine's own.

    Raises:
        ConfigurationError: there is neither.
    """
    try:
        from ghl_snapshots.local.postgres import program
    except ConfigurationError:
        if own := shutil.which("psql"):
            return own
        raise ConfigurationError(
            "psql was not found: install PostgreSQL's client, or pip install 'ghl_snapshots[local]'."
        ) from None
    return str(program("psql"))


def _libpq_environment(url: str) -> dict[str, str]:
    """The connection as environment variables; arguments could be read by every user of the machine."""
    connection = conninfo_to_dict(url)
    values = {name: str(connection[key]) for key, name in _LIBPQ_VARIABLES.items() if connection.get(key)}
    return {**os.environ, **values, "PGOPTIONS": f"-c role={AUDITOR}"}
