"""The environment's database, opened for a command."""

from collections.abc import Iterator
from contextlib import contextmanager

from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.settings import Settings
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.migrations import check_schema
from ghl_snapshots.local.environment import migrate_databases, product_environment


@contextmanager
def migrated_database() -> Iterator[tuple[Settings, Database]]:
    """For a command that writes: the database, brought up to this release first."""
    with product_environment() as settings:
        migrate_databases(settings)
        with open_database(settings) as database:
            yield settings, database


@contextmanager
def checked_database() -> Iterator[tuple[Settings, Database]]:
    """For a command that reads: the database as it is; raises SchemaError if it is not of this release."""
    with product_environment() as settings, open_database(settings) as database:
        check_schema(database)
        yield settings, database
