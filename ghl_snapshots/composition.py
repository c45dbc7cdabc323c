"""How the parts are put together from the settings, for the Dagster shell, the API and the command line."""

from ghl_snapshots.errors import ConfigurationError
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.settings import Settings


def open_database(settings: Settings) -> Database:
    """The product's database as a context manager; nothing connects before it is asked for something.

    Raises:
        ConfigurationError: no database is named.
    """
    if settings.database_url is None:
        raise ConfigurationError(
            "GHL_SNAPSHOTS_DATABASE_URL is not set; `ghl-snapshots dev` and `demo` set it for an embedded "
            "PostgreSQL, anything else needs postgresql://user:password@host:port/database."
        )
    return Database(settings.database_url.get_secret_value())
