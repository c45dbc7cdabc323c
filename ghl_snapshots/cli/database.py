"""The environment's database, opened for a command."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.settings import Settings
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.migrations import check_schema
from ghl_snapshots.local.environment import migrate_databases, product_environment, reading_environment


@contextmanager
def migrated_database() -> Iterator[tuple[Settings, Database]]:
    """For a command that writes: the database, brought up to this release first."""
    with product_environment() as settings:
        migrate_databases(settings, report)
        with open_database(settings) as database:
            yield settings, database


@contextmanager
def checked_database() -> Iterator[tuple[Settings, Database]]:
    """For a command that reads: the database as it is; nothing is made or migrated.

    Raises:
        ConfigurationError: there is no database; says where it looked.
        SchemaError: the database is not of this release.
    """
    with reading_environment() as settings, open_database(settings) as database:
        check_schema(database, only_to_read=True)
        yield settings, database


def report(line: str) -> None:
    """Say what is beside a command's own output, which another program may read."""
    typer.echo(line, err=True)
