"""Whether what was acknowledged is lost, doubled or altered while processes, server and network fail.

python -m benchmarks.chaos [--rounds 3] [--markdown]

Without --rounds it takes less than a minute and leaves Dagster's processes to benchmarks.chaos_dagster, whose
table --rounds adds, some three minutes a round. Twenty tenants of a simulated GHL are captured by a process
of its own, and an API takes triggers, while in each row of the table something happens. Techniques, all
without root: SIGKILL; a limit on the size of files (RLIMIT_FSIZE) for a full disk, which the server meets in
its log and ends by; a proxy that is cut; a capture whose clock was set ahead.

Lost is what was acknowledged and is not there, doubled what is there twice for a trigger or was acknowledged
under two ids, unverified what a deep verification names at the end. Two things need root and are left out: a
file system that is full for all processes, and a clock that jumps below a process, Dagster's daemon above
all, instead of in a capture.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
import requests

from benchmarks import chaos_dagster, chaos_worker
from benchmarks.chaos_rounds import Round, Troubles, together
from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.model import AccountKind, Tenant
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.ledger.verification import Verification
from ghl_snapshots.local.endings import wait_for_end
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.command_line import CommandLine, free_port
from ghl_snapshots_tests.file_sizes import largest_file
from ghl_snapshots_tests.ledger.proxies import proxied
from ghl_snapshots_tests.waiting import eventually

TENANTS = 20
NAME = "chaos"
SMALL_FILE = 2**20
OUTAGE_SECONDS = 1.5
LATENCY_SECONDS = 0.3
"""Of GHL's answers to a run of Dagster, which is to be under way when it meets trouble."""


class Product:
    """The server, a simulated GHL, an API that is asked for captures, and processes that capture."""

    def __init__(self, folder: Path, simulator: Simulator) -> None:
        self.folder = folder
        folder.mkdir()
        self._server = EmbeddedPostgres(folder / "server")
        self._server.__enter__()
        self.url = self._server.url(NAME)
        self.environment = {"GHL_SNAPSHOTS_DATABASE_URL": self.url, "GHL_BASE_URL": simulator.base_url}
        self.environment["GHL_SNAPSHOTS_TRIGGERS_PER_MINUTE"] = "1000"
        migrate(self.url)
        locations = simulator.accounts.single_locations
        tokens = {f"TOKEN_{n:02}": each.private_integration_token for n, each in enumerate(locations)}
        self.environment |= tokens
        tenants = [
            Tenant(
                tenant_id=f"t{number:02}",
                ghl_account_id=location.location_id,
                account_kind=AccountKind.LOCATION,
                credential=f"env:TOKEN_{number:02}",
            )
            for number, location in enumerate(locations)
        ]
        self.account_id = tenants[0].ghl_account_id
        with Database(self.url) as database:
            TenantRegistry(database).import_all(tenants)
        self.accepted: set[str] = set()
        self.answered_at = 0.0
        self._port = free_port()
        self.start_api()

    def close(self) -> None:
        """End everything."""
        self.api.kill()
        self.api.wait()
        self._server.__exit__(None, None, None)

    def start_api(self) -> None:
        """Start the API, which is not running."""
        command = CommandLine(home=self.folder / "home", variables=self.environment)
        self.api = command.start("api", "--port", str(self._port), output=self.folder / "api")

    def trigger(self) -> None:
        """Ask for captures once; what is accepted is noted, what is refused or not answered is not."""
        with requests.Session() as session:
            session.trust_env = False
            try:
                answer = session.post(
                    f"http://127.0.0.1:{self._port}/api/snapshots/trigger",
                    json={"tenantId": "t00", "ghlAccountId": self.account_id},
                    timeout=20,
                )
            except requests.RequestException:
                return
        if answer.status_code == requests.codes.accepted:
            self.accepted.add(answer.json()["requestId"])
            self.answered_at = time.monotonic()

    def end_server(self, number: signal.Signals) -> None:
        """End the server by a signal, and with it all its processes, unless it has ended."""
        with suppress(FileNotFoundError, psutil.NoSuchProcess):
            lines = (self._server.data / "postmaster.pid").read_text().splitlines()
            postmaster = psutil.Process(int(lines[0]))
            processes = [postmaster, *postmaster.children()]
            postmaster.send_signal(number)
            wait_for_end(processes, timeout_seconds=30)

    def start_server(self) -> None:
        """Start the server, unless it runs."""
        self._server = EmbeddedPostgres(self.folder / "server")

        def started() -> bool:
            try:
                self._server.__enter__()
            except ConfigurationError:
                return False
            return True

        eventually(started, "the server starts")

    def restart(self) -> None:
        """Shut the server down and start it, as for a small upgrade."""
        self.end_server(signal.SIGINT)
        self.start_server()

    def ask(self, query: str, *parameters: object) -> list[tuple[str, ...]]:
        """What a query by the superuser finds, once the server answers."""

        def found() -> list[list[tuple[str, ...]]] | None:
            try:
                with psycopg.connect(self.url) as connection:
                    return [connection.execute(query.encode(), parameters).fetchall()]
            except psycopg.OperationalError:
                return None

        return eventually(found, "the server answers")[0]


class Work:
    """One trigger's captures, by one process after the other until one ends by itself."""

    def __init__(self, product: Product, correlation_id: str, url: str, days_ahead: int) -> None:
        self.product = product
        self._output = product.folder / correlation_id
        self._command = [sys.executable, "-m", chaos_worker.__name__, correlation_id, str(days_ahead)]
        self._environment = {**os.environ, **product.environment, "GHL_SNAPSHOTS_DATABASE_URL": url}
        self._environment["GHL_SNAPSHOTS_HOME"] = str(product.folder / "home")
        self.start()

    def start(self) -> None:
        """Start a process that captures what is lacking."""
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(self._command, stdout=output, env=self._environment)

    def end(self) -> None:
        """End the process, if it still runs because something went wrong here."""
        self.process.kill()
        self.process.wait()

    def acknowledged(self) -> set[tuple[str, str]]:
        """Tenants and snapshot ids; a line that a killed process did not finish counts for nothing."""
        lines = self._output.read_bytes().decode().splitlines(keepends=True)
        pairs = (line.split() for line in lines if line.endswith("\n"))
        return {(tenant_id, snapshot_id) for tenant_id, snapshot_id in pairs}

    def is_under_way(self) -> bool:
        """Whether some captures are acknowledged."""
        return len(self.acknowledged()) > 2

    def finish(self) -> None:
        """Wait for the end, and take up what a killed process left."""
        while self.process.wait(120) < 0:
            self.start()
        if self.process.returncode:
            raise RuntimeError(f"the process ended with {self.process.returncode}; see above")


def nothing(_: Work) -> None:
    """Nothing happens."""


def kill_capturing_process(work: Work) -> None:
    """The process that captures is killed."""
    work.process.kill()


def kill_api(work: Work) -> None:
    """The API is killed, right after an answer, and started again."""
    work.product.trigger()
    work.product.api.kill()
    work.product.api.wait()
    work.product.start_api()


def kill_backend(work: Work) -> None:
    """One of the server's processes is killed, upon which the server restarts all of them."""
    [[pid]] = work.product.ask(
        "SELECT pid FROM pg_stat_activity "
        "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() LIMIT 1"
    )
    psutil.Process(int(pid)).kill()


def kill_postmaster(work: Work) -> None:
    """The server's main process is killed; a supervisor starts it after a while."""
    work.product.end_server(signal.SIGKILL)
    time.sleep(OUTAGE_SECONDS)
    work.product.start_server()


def restart_server(work: Work) -> None:
    """The server is shut down and started."""
    work.product.restart()


def fill_disk(work: Work) -> None:
    """The server cannot write its log, and ends by the first commit; then there is room again."""
    work.product.end_server(signal.SIGINT)
    with largest_file(SMALL_FILE), suppress(ConfigurationError):
        EmbeddedPostgres(work.product.folder / "server").__enter__()
        time.sleep(OUTAGE_SECONDS)
    work.product.end_server(signal.SIGKILL)
    work.product.start_server()


TROUBLES: Mapping[str, Callable[[Work], None]] = {
    "nothing happens": nothing,
    "a capturing process is killed": kill_capturing_process,
    "the API is killed": kill_api,
    "a backend is killed": kill_backend,
    "the postmaster is killed": kill_postmaster,
    "PostgreSQL restarts": restart_server,
    "the disk is full": fill_disk,
    "the network is cut": nothing,
    "the clock is 400 days ahead": nothing,
}


@contextmanager
def cut_network(product: Product) -> Iterator[str]:
    """URL of a way to the server that is cut for a while, again and again."""
    began = time.monotonic()

    def passes(_data: bytes, _servers: bool) -> bool:  # noqa: FBT001 - as the proxy calls it
        return (time.monotonic() - began) % (2 * OUTAGE_SECONDS) < OUTAGE_SECONDS

    folder = product.folder / f"way{time.monotonic_ns()}"
    with proxied(product.url, folder, passes):
        yield f"postgresql://postgres@/{NAME}?host={quote(str(folder))}"


@contextmanager
def triggers(product: Product) -> Iterator[None]:
    """Captures are asked for all the time."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.2):
            product.trigger()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def one_round(product: Product, title: str, correlation_id: str) -> Round:
    """Capture all tenants through trouble; `seconds` is when the API answered again."""
    before = set(product.accepted)
    with ExitStack() as stack:
        cut = "network" in title
        url = stack.enter_context(cut_network(product)) if cut else product.url
        days_ahead = 400 if "clock" in title else 0
        stack.enter_context(triggers(product))
        work = Work(product, correlation_id, url, days_ahead)
        stack.callback(work.end)
        eventually(work.is_under_way, "captures are stored")
        TROUBLES[title](work)
        back_at = time.monotonic()
        work.finish()
        eventually(lambda: product.answered_at > back_at, "the API answers again")
    taken = {pair for pair in work.acknowledged() if pair[1] != chaos_worker.REFUSED}
    snapshots, tenants = {snapshot_id for _, snapshot_id in taken}, {tenant_id for tenant_id, _ in taken}
    acknowledged = snapshots | (product.accepted - before)
    rows = product.ask(
        "SELECT snapshot_id FROM ghl.snapshot UNION ALL SELECT request_id FROM ghl.snapshot_request"
    )
    stored = {row[0] for row in rows}
    doubled = product.ask(
        "SELECT tenant_id FROM ghl.snapshot WHERE correlation_id = %s GROUP BY 1 HAVING count(*) > 1",
        correlation_id,
    )
    if days_ahead and product.ask("SELECT FROM ghl.snapshot WHERE correlation_id = %s", correlation_id):
        raise RuntimeError("a capture from the future was stored")
    return Round(
        acknowledged=len(acknowledged),
        lost=len(acknowledged - stored),
        doubled=len(doubled) + len(rows) - len(stored) + len(snapshots) - len(tenants),
        seconds=product.answered_at - back_at if TROUBLES[title] is not nothing else None,
    )


def make_trouble(product: Product, rounds: int) -> Troubles:
    """Make trouble, so many rounds of each."""
    with triggers(product):
        eventually(lambda: product.accepted, "the API answers")
    found = {
        title: [one_round(product, title, f"scheduled_chaos_{number}_{place}") for number in range(rounds)]
        for place, title in enumerate(TROUBLES)
    }
    return Troubles(title=f"{rounds} rounds, {TENANTS} tenants", took="API answers after", rounds=found)


def main() -> None:
    """Make trouble, and count; exit code 1 if anything was lost, doubled or does not verify."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, help="of both tables; unset, one of the first")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    arguments = parser.parse_args()
    parts = [partial(make_trouble, rounds=arguments.rounds or 1)]
    if arguments.rounds:
        parts.append(partial(chaos_dagster.make_trouble, port=free_port(), rounds=arguments.rounds))
    troubles: list[Troubles] = []
    unverified: list[object] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Simulator(generated_accounts(7, tenants=TENANTS)) as simulator,
    ):
        for number, part in enumerate(parts):
            simulator.latency_seconds = number * LATENCY_SECONDS
            # Each has a product of its own, or Dagster would run what the API was asked for before.
            with closing(Product(Path(folder) / str(number), simulator)) as product:
                troubles.append(part(product))
                with Database(product.url) as database:
                    unverified += Verification(database, deep=True)
    for each in troubles:
        each.print(markdown=arguments.markdown)
    sums = together([each.together for each in troubles])
    result = f"acknowledged {sums.acknowledged}, lost {sums.lost}, doubled {sums.doubled}"
    print(f"{result}, unverified {len(unverified)}", *unverified, sep="\n")  # noqa: T201 - its output
    sys.exit(bool(sums.lost or sums.doubled or unverified))


if __name__ == "__main__":
    main()
