"""The environment that the product's processes share: a database that answers and Dagster's home.

Dagster reads its instance's configuration from files and environment variables only, and starts its runs as
processes of their own; so all of them get these values through `os.environ`.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from ghl_snapshots.capture.composition import database_url
from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.settings import RunLauncher, Settings, load_settings
from ghl_snapshots.ghl.exchange_thread import wait_for_exchanges
from ghl_snapshots.ledger.migrate import create_database, migrate
from ghl_snapshots.ledger.migrations import describe_applied
from ghl_snapshots.local.dagster_yaml import CELERY_BROKER, CELERY_RESULTS, dagster_yaml

if TYPE_CHECKING:
    from ghl_snapshots.local.postgres import EmbeddedPostgres

PACKAGE = Path(__file__).parents[1]
WORKSPACE = PACKAGE / "workspace.yaml"
"""Where Dagster's processes find the product's definitions."""
DATABASE = "ghl_snapshots"
_DATABASE = "GHL_SNAPSHOTS_DATABASE_URL"
_DAGSTER_DATABASE = "GHL_SNAPSHOTS_DAGSTER_DATABASE_URL"
_URL_FORM = "must have the form postgresql://user:password@host:port/database, with one host and a database."


@contextmanager
def product_environment() -> Iterator[Settings]:
    """Complete the environment from the settings, run an embedded PostgreSQL if no other is named.

    Yields the settings with the database URL filled in. The environment is restored at the end.

    Raises:
        ConfigurationError: a setting is wrong, or the embedded PostgreSQL does not start.
    """
    settings = load_settings()
    make_private(settings.home)
    with ExitStack() as stack:
        if settings.database_url is None:
            server = stack.enter_context(_embedded_server(settings))
            # However the process ends, an exchange under way still has tokens to store in this server.
            stack.callback(wait_for_exchanges)
            if settings.encryption_keys is None:
                key = _local_key(settings.home / "encryption_key")
                stack.enter_context(variables({"GHL_SNAPSHOTS_ENCRYPTION_KEYS": key}))
            stack.enter_context(variables({_DATABASE: server.url(DATABASE)}))
            settings = load_settings()
        stack.enter_context(variables(_dagster(settings)))
        yield settings


@contextmanager
def reading_environment() -> Iterator[Settings]:
    """The settings with the database URL filled in, for what only reads: it makes no folder, server or key.

    Raises:
        ConfigurationError: a setting is wrong, or there is nothing to read; says where it looked.
    """
    settings = load_settings()
    with ExitStack() as stack:
        if settings.database_url is None:
            home = settings.home.absolute()
            embedded = _embedded_server(settings)
            if not embedded.data.exists():
                raise ConfigurationError(
                    f"There is no database in {home}, and reading makes none. If the data is elsewhere, set "
                    f"GHL_SNAPSHOTS_HOME to its folder or {_DATABASE} to its server; to begin here, run "
                    "`ghl-snapshots demo` or `ghl-snapshots migrate`."
                )
            server = stack.enter_context(embedded)
            stack.enter_context(variables({_DATABASE: server.url(DATABASE)}))
            settings = load_settings()
        yield settings


def migrate_databases(settings: Settings, say: Callable[[str], None]) -> bool:
    """Bring the product's database up to this release and have one for Dagster; whether it was behind.

    What was applied goes to `say`, with the versions before and after.

    Raises:
        LedgerError: the server does not answer or refuses; says why.
    """
    applied = migrate(database_url(settings))
    if applied:
        say(describe_applied(applied))
    create_database(os.environ[_DAGSTER_DATABASE].replace("+psycopg2", "", 1))
    return bool(applied)


def dagster_database_url(url: str) -> str:
    """The URL of Dagster's own database: the product's server, its database's name and `_dagster`.

    The driver is named because SQLAlchemy 2.1 takes psycopg 3 for a bare postgresql:// URL, which
    dagster-postgres cannot send its NOTIFY through.
    """
    product = urlsplit(url)
    name = product.path.removeprefix("/")
    if product.scheme not in {"postgresql", "postgres"} or not name:
        raise ConfigurationError(f"GHL_SNAPSHOTS_DATABASE_URL {_URL_FORM}")
    # SQLAlchemy reads a plus in the query as a space, PostgreSQL's own library does not.
    query = product.query.replace("+", "%2B")
    dagster = f"postgresql+psycopg2://{product.netloc}/{name}_dagster" + (f"?{query}" if query else "")
    try:
        make_url(dagster)
    except (ArgumentError, ValueError):
        raise ConfigurationError(f"GHL_SNAPSHOTS_DATABASE_URL {_URL_FORM}") from None
    return dagster


def _embedded_server(settings: Settings) -> "EmbeddedPostgres":
    if settings.auditor_database_url is not None:
        raise ConfigurationError(
            f"GHL_SNAPSHOTS_AUDITOR_DATABASE_URL is set without {_DATABASE}, whose database it gives another "
            "login to: set both or neither."
        )
    from ghl_snapshots.local.postgres import EmbeddedPostgres  # which need not be installed

    return EmbeddedPostgres(settings.home)


_OURS = re.compile(r"(encryption_key|processes\.json)(\..+)?|dagster|postgres")
"""What the home folder holds."""


def make_private(home: Path) -> None:
    """Make the home folder, where the key of an embedded database is, for this user only, whatever the umask.

    One that is there and open to others is made so too if all in it is ours. A folder with other things in it
    stays as it is, such as the user's own, and so does one of another owner, such as a volume.

    Raises:
        ConfigurationError: it cannot be made, or others may write in it, beside what is not ours.
    """
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        home.mkdir(mode=0o700)
        home.chmod(0o700)
    except FileExistsError:
        _close_to_others(home)
    except OSError as error:
        raise ConfigurationError(f"The home folder {home} cannot be made: {error.strerror}.") from None


def _close_to_others(home: Path) -> None:
    found = home.stat()
    # As root an embedded server is another user's, for whom its package opens the folders above the data.
    passable = 0o055 if os.geteuid() == 0 and (home / "postgres").exists() else 0
    if found.st_uid != os.geteuid() or not found.st_mode & 0o077 & ~passable:
        return
    if all(_OURS.fullmatch(path.name) for path in home.iterdir()):
        home.chmod(found.st_mode & (0o700 | passable))
        sys.stderr.write(f"The home folder {home} was open to other users, and is now this user's only.\n")
    elif found.st_mode & 0o022:
        raise ConfigurationError(
            f"Other users may write in the home folder {home}, which holds other things than the product's: "
            "name a folder of its own with GHL_SNAPSHOTS_HOME, or take their right away."
        )


def _local_key(path: Path) -> str:
    """The key that OAuth tokens in an embedded database are encrypted with; made once, beside it."""
    if not path.exists():
        fresh = path.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(Fernet.generate_key())
        with suppress(FileExistsError):  # another process was first, and its key is used
            path.hardlink_to(fresh)
        fresh.unlink()
    return path.read_text()


def _dagster(settings: Settings) -> dict[str, str]:
    values = {
        "GHL_SNAPSHOTS_HOME": str(settings.home.absolute()),
        _DAGSTER_DATABASE: dagster_database_url(database_url(settings)),
    }
    if foreign := os.environ.get("DAGSTER_HOME"):
        _check_dagster_home(Path(foreign))
    else:
        folder = settings.home.absolute() / "dagster"
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "dagster.yaml", dagster_yaml((PACKAGE / "dagster.yaml").read_text("utf-8"), settings))
        values["DAGSTER_HOME"] = str(folder)
    if settings.compute_logs is not None:
        _require("dagster_aws", "aws", "GHL_SNAPSHOTS_COMPUTE_LOGS")
    if settings.run_launcher is RunLauncher.K8S:
        _require("dagster_k8s", "k8s", "GHL_SNAPSHOTS_RUN_LAUNCHER=k8s")
    return values | _celery(settings, values[_DAGSTER_DATABASE])


def _celery(settings: Settings, dagster_url: str) -> dict[str, str]:
    """Where Celery keeps the state of its tasks: with Dagster's records, so that a lost broker loses none."""
    if settings.run_launcher is not RunLauncher.CELERY:
        return {}
    _require("dagster_celery", "celery", "GHL_SNAPSHOTS_RUN_LAUNCHER=celery")
    if settings.celery_broker_url is None:
        raise ConfigurationError(
            f"GHL_SNAPSHOTS_RUN_LAUNCHER is celery, which needs {CELERY_BROKER}: the Redis that hands runs "
            "to the workers, as redis://user:password@host:port/number."
        )
    return {CELERY_RESULTS: f"db+{dagster_url}"}


def _require(module: str, extra: str, setting: str) -> None:
    if find_spec(module) is None:
        raise ConfigurationError(f"{setting} needs an extra: pip install 'ghl_snapshots[{extra}]'.")


def _write(path: Path, text: str) -> None:
    """Write a file that other processes may read at this moment."""
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def _check_dagster_home(folder: Path) -> None:
    """Refuse the home of another Dagster project, whose database would be upgraded and whose runs started."""
    try:
        configured = (folder / "dagster.yaml").read_text(encoding="utf-8")
    except OSError:
        configured = ""
    if _DAGSTER_DATABASE not in configured:
        raise ConfigurationError(
            f"DAGSTER_HOME is {folder}, where no dagster.yaml takes its database from {_DAGSTER_DATABASE}: "
            "unset DAGSTER_HOME, or put a copy of this project's dagster.yaml there."
        )


@contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for this process and those it starts; restored at the end."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
