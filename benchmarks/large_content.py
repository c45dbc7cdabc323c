"""What a large payload costs: the peak memory of each process that captures, reads, shows and verifies it.

python -m benchmarks.large_content [--locations 500] [--agents 3] [--kilobytes 500] [--markdown]

Twelve minutes on two busy cores. An agency whose locations have agents of that size in a simulated GHL at
20 ms, which no compression makes much smaller; an embedded PostgreSQL in a folder for temporary files, where
the spool is too. The processes are the product's own commands, and their memory is the most that was ever
resident. `largest backend` is the most that a PostgreSQL process had to itself meanwhile.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import requests
from rich import box
from rich.console import Console
from rich.table import Table

from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.model import AccountKind, SnapshotType, Tenant
from ghl_snapshots.core.tokens import StoredTokens
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.environment import migrate_databases, product_environment, variables
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.command_line import free_port

MEGABYTE = 1024 if sys.platform == "linux" else 1024**2
"""In the unit in which the system reports a process's memory."""
LISTED, DETAIL = "agent_studio_agents", "agent_studio_details"
"""The simulator's kinds: what an agency's locations have a number of, and what of each is large."""
_SPAWN = multiprocessing.get_context("spawn")
_COMMAND = [sys.executable, "-m", "ghl_snapshots"]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a process took, and how many bytes it gave."""

    seconds: float
    peak_mb: float
    given: int = 0
    backend_mb: float = 0


def simulate(options: argparse.Namespace, parent: Connection) -> None:
    """Serve the agency until the parent closes its end."""
    accounts = generated_accounts(
        1, tenants=1, locations_per_agency=options.locations, sizes={LISTED: options.agents}
    )
    for location in accounts.locations.values():
        location.least_bytes[DETAIL] = options.kilobytes * 1000
    with Simulator(accounts, latency_seconds=0.02) as simulator:
        agency = next(iter(accounts.agencies.values()))
        parent.send(
            (
                agency.company_id,
                agency.refresh_token,
                {
                    "GHL_BASE_URL": simulator.base_url,
                    "GHL_OAUTH_CLIENT_ID": accounts.client_id,
                    "GHL_OAUTH_CLIENT_SECRET": accounts.client_secret,
                },
            )
        )
        with suppress(EOFError):
            parent.recv()


@contextmanager
def world(options: argparse.Namespace) -> Iterator[Database]:
    """The product with the agency as a tenant."""
    with ExitStack() as stack:
        ours, theirs = _SPAWN.Pipe()
        process = _SPAWN.Process(target=simulate, args=(options, theirs))
        process.start()
        theirs.close()
        stack.callback(process.join)
        stack.callback(ours.close)
        company_id, refresh_token, environment = ours.recv()
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(variables({"GHL_SNAPSHOTS_HOME": folder, **environment}))
        settings = stack.enter_context(product_environment())
        migrate_databases(settings, print)
        database = stack.enter_context(open_database(settings))
        tenant = Tenant(
            tenant_id="agency",
            ghl_account_id=company_id,
            account_kind=AccountKind.COMPANY,
            credential="oauth",
        )
        TenantRegistry(database).add(tenant)
        with OAuthTokens(database, settings.encryption_keys_text).locked(tenant.tenant_id) as tokens:
            tokens.install(StoredTokens(refresh_token=refresh_token))
        yield database


class Backends:
    """The most memory that a PostgreSQL process has to itself, looked at ten times a second."""

    def __init__(self) -> None:
        pid_file = Path(os.environ["GHL_SNAPSHOTS_HOME"]) / "postgres/data/postmaster.pid"
        self._server = psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))
        self._ended = threading.Event()
        self.peak_mb = 0.0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look while the block runs."""
        self.peak_mb, thread = 0.0, threading.Thread(target=self._watch)
        self._ended.clear()
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            for backend in self._server.children():
                with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    self.peak_mb = max(self.peak_mb, backend.memory_full_info().uss / 1024**2)


def command(*arguments: str) -> Cost:
    """Run a command of the product to its end."""
    began, given = time.monotonic(), 0
    process = subprocess.Popen([*_COMMAND, *arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None  # noqa: S101 (for the type checker)
    while chunk := process.stdout.read(65_536):
        given += len(chunk)
        last = chunk
    if "snapshot" in arguments or "verify" in arguments:
        sys.stderr.write(last.decode())
    return ended(process, began, given)


def ended(process: subprocess.Popen[bytes], began: float, given: int, code: int = 0) -> Cost:
    """What a process that ends with this code took."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != code:
        raise SystemExit(f"{process.args!r} ended with {process.returncode}")
    return Cost(seconds=time.monotonic() - began, peak_mb=usage.ru_maxrss / MEGABYTE, given=given)


def api(*paths: str) -> Cost:
    """Serve the paths by an API process of its own, one after the other, and end it."""
    port = free_port()
    process = subprocess.Popen(
        [*_COMMAND, "api", "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    with requests.Session() as session:
        session.trust_env = False
        while not answers(session, port):
            time.sleep(0.1)
        began, given = time.monotonic(), 0
        for path in paths:
            with session.get(f"http://127.0.0.1:{port}{path}", stream=True, timeout=600) as answer:
                answer.raise_for_status()
                given += sum(map(len, answer.iter_content(65_536)))
        seconds = time.monotonic() - began
    process.terminate()
    cost = ended(process, began, given, code=130)
    return replace(cost, seconds=seconds)


def answers(session: requests.Session, port: int) -> bool:
    """Whether the API is up."""
    try:
        return session.get(f"http://127.0.0.1:{port}/healthz", timeout=5).ok
    except requests.ConnectionError:
        return False


def payload(database: Database) -> Cost:
    """Read the view's payload in this process, as a psql would."""
    began = time.monotonic()
    with database.auditor() as connection:
        row = connection.execute(
            "SELECT payload::text AS text FROM ghl.ghl_snapshot ORDER BY captured_at DESC LIMIT 1"
        ).fetchone()
    return Cost(seconds=time.monotonic() - began, peak_mb=0, given=len(row["text"]) if row else 0)


def works(database: Database) -> Iterator[tuple[str, Callable[[], Cost]]]:
    """What is done, in order."""
    kind = SnapshotType.AI_WORKERS
    capture = ("snapshot", "--tenant", "agency", "--type", str(kind))
    yield "capture and append", lambda: command(*capture)
    yield "capture again, nothing new", lambda: command(*capture)
    [snapshot] = Ledger(database).of_tenant("agency", kind, limit=1)
    path = f"/api/snapshots/{snapshot.snapshot_id}"
    yield "`show --raw`", lambda: command("show", snapshot.snapshot_id, "--raw")
    yield "`show`", lambda: command("show", snapshot.snapshot_id)
    yield "`verify --deep`", lambda: command("verify", "--deep")
    yield "API, `?raw=true`", lambda: api(f"{path}?raw=true")
    yield "API, JSON", lambda: api(path)
    yield "API, `/verify`", lambda: api(f"{path}/verify")
    yield "SQL, `payload`", lambda: payload(database)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--locations", type=int, default=500)
    parser.add_argument("--agents", type=int, default=3, help="of each location")
    parser.add_argument("--kilobytes", type=int, default=500, help="of each agent")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    options = parser.parse_args(arguments)
    table = Table(box=box.MARKDOWN if options.markdown else box.HEAVY_HEAD)
    for heading in ("process", "wall s", "MB given", "peak MB", "largest backend, MB"):
        table.add_column(heading, justify="left" if heading == "process" else "right", no_wrap=True)
    with world(options) as database:
        backends = Backends()
        for name, work in works(database):
            with backends.watched():
                cost = work()
            cells = (
                f"{cost.seconds:.1f}",
                f"{cost.given / 1e6:,.1f}",
                f"{cost.peak_mb:.0f}" if cost.peak_mb else "",
            )
            table.add_row(name, *cells, f"{backends.peak_mb:.0f}")
            sys.stderr.write(f"{name}: {cost} {backends.peak_mb:.0f}\n")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
