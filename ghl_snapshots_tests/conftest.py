"""What every test may stand on: a real PostgreSQL for the session, databases in it, a simulated GHL."""

import logging
import os
import signal
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings
from psycopg import Connection
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from ghl_snapshots.core.model import Tenant
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.accounts import Agency
from ghl_snapshots.simulator.generation import demo_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.databases import copy_of, ledger_template
from ghl_snapshots_tests.ghl.rig import installed, tenant_of
from ghl_snapshots_tests.orchestration.product import Product, product_template, running_product

# A machine that is busy is no defect, so no example has a deadline.
settings.register_profile("full", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=20)
settings.load_profile("full")

OWN_STACKS = {"test_hosts.py", "test_k8s.py", "test_secrets.py", "test_unattended.py"}
"""The files of end_to_end/ that start a webserver and a daemon of their own; the others share them."""


class _FilesAndStacks(LoadFileScheduling):
    """Gives a worker a whole file, and the files that share the webserver and the daemon to one worker."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "stack" if _shares_stack(Path(file)) else file


def pytest_configure() -> None:
    """Undo what the surroundings do to this process."""
    # readline puts a width into the environment of the workers, into which tables would be fit.
    os.environ.pop("COLUMNS", None)
    # A shell has a process in the background ignore Ctrl-C, and nohup SIGHUP; tests send both to themselves.
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    """Distribute the tests of `--dist loadfile` so that a slow start is made once."""
    return _FilesAndStacks(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, or the last worker ends long after the others; random otherwise."""
    items.sort(key=_urgency)


def _shares_stack(file: Path) -> bool:
    return file.parent.name == "end_to_end" and file.name not in OWN_STACKS


def _urgency(item: pytest.Item) -> int:
    if item.path.parent.name == "end_to_end":
        return 0 if _shares_stack(item.path) else 1
    return 2 if item.get_closest_marker("slow") else 3


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Take back what a test's parts did to our loggers, as Dagster's processes do it for good."""
    logger = logging.getLogger("ghl_snapshots")
    propagate, level, handlers = logger.propagate, logger.level, list(logger.handlers)
    result = yield
    logger.propagate, logger.handlers = propagate, handlers
    logger.setLevel(level)
    return result


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was not tested here, and how to get what it takes."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"NOT TESTED HERE, {count} of the tests: {reason}", yellow=True)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """An embedded server; durability is off because no test of the session's server cuts its power."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("home")) as server:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                connection.execute(f"ALTER SYSTEM SET {setting} = off".encode())
            connection.execute("SELECT pg_reload_conf()")
        yield server


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres) -> str:
    """Name of a migrated database with the tenants in it that the tests use."""
    return ledger_template(postgres, tenant_ids=("acme", "zenith"))


@pytest.fixture
def url(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    """Superuser's URL of a fresh ledger that holds two tenants and no snapshot."""
    with copy_of(postgres, template) as url:
        yield url


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """The fresh ledger's database as the product opens it."""
    with Database(url) as database:
        yield database


@pytest.fixture
def ledger(database: Database) -> Ledger:
    """The fresh ledger."""
    return Ledger(database)


@pytest.fixture
def superuser(url: str) -> Iterator[Connection]:
    """A connection that row security does not bind, each statement committed at once."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def as_role(url: str) -> Iterator[Callable[..., Connection]]:
    """A function that connects with a role's rights (`owner`, `writer`, ...), for a tenant or for none."""
    with ExitStack() as stack:

        def connect(role: str, tenant_id: str | None = None) -> Connection:
            options = f"-c role=ghl_snapshots_{role}"
            if tenant_id is not None:
                options += f" -c app.tenant_id={tenant_id}"
            connection = psycopg.connect(url, options=options, autocommit=True)
            return stack.enter_context(connection)

        yield connect


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """The demo's accounts with small agents, without a limit that tests would have to wait for."""
    with Simulator(demo_accounts(seed=1, sizes={"studio_nodes": 1}), burst_limit=10**9) as simulator:
        yield simulator


@pytest.fixture
def agency(simulator: Simulator) -> Agency:
    """The simulated GHL's one agency."""
    return next(iter(simulator.accounts.agencies.values()))


@pytest.fixture
def company(agency: Agency) -> Tenant:
    """The agency as a tenant that has installed the OAuth app."""
    return tenant_of(agency, credential="oauth")


@pytest.fixture
def store(database: Database, agency: Agency) -> OAuthTokens:
    """The token store with the agency's installation; `database` has no other account for the tenant acme."""
    return installed(database, agency, tenant_id="acme")


@pytest.fixture(scope="session")
def empty_product(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of the database that `running_product` copies, Dagster's beside it included."""
    return product_template(postgres, tmp_path_factory.mktemp("product"))


@pytest.fixture
def product(postgres: EmbeddedPostgres, empty_product: str, tmp_path: Path) -> Iterator[Product]:
    """The product with five tenants."""
    with running_product(postgres, empty_product, tmp_path, tenants=5) as running:
        yield running
