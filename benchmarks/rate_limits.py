"""What captures take when several processes share one account's rate limit, and how often GHL has to refuse.

python -m benchmarks.rate_limits [--before /path/to/another/checkout] [--latency-ms 50] [--repeat 1]

About five minutes for each checkout. The simulated GHL keeps to GHL's real limits, 100 requests in 10 seconds
for each location and company. Every row begins with an empty database and without tokens of locations; its
processes begin at once, and each captures what the row says as the product does it. With `--before`, rows of
the other checkout (with a .venv of its own) take turns with those of this one.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests
from cryptography.fernet import Fernet
from rich import box
from rich.console import Console
from rich.table import Table

from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.accounts import Accounts
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.server import Simulator

_HERE = Path(__file__).parents[1]
_WORKER = Path(__file__).with_name("rate_limits_worker.py")
_SEED = 1
_ALL = ("locations", "pipelines", "workflows", "calendars", "ai_workers")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One account and the snapshot types that each of its processes captures, one after the other."""

    name: str
    locations: int
    """Of the agency; 0 for a single location."""
    types: Sequence[Sequence[str]]

    def accounts(self) -> Accounts:
        """The simulated account; the location has so many agents that two processes fill a burst."""
        if self.locations:
            return generated_accounts(_SEED, tenants=1, locations_per_agency=self.locations)
        return generated_accounts(_SEED, tenants=1, sizes={"conversation_ai_agents": 20})


ROWS = (
    Row(name="1 process, one location, 5 types", locations=0, types=[_ALL]),
    Row(name="8 processes, one location, 5 types each", locations=0, types=[_ALL] * 8),
    Row(name="1 process, agency of 100, 4 types", locations=100, types=[_ALL[:4]]),
    Row(name="4 processes, agency of 100, a type each", locations=100, types=[[one] for one in _ALL[:4]]),
    Row(name="4 processes, agency of 100, 4 types each", locations=100, types=[_ALL[:4]] * 4),
)


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a row came to."""

    statuses: Counter[str]
    wall_seconds: float
    answers: int
    refused: int


def measured(row: Row, checkout: Path, latency_ms: int) -> Done:
    """Run a row's processes from a checkout against a simulated GHL and a database of their own."""
    accounts = row.accounts()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(EmbeddedPostgres(home))
        simulator = stack.enter_context(Simulator(accounts, latency_seconds=latency_ms / 1000))
        deployment = _deployment(accounts, simulator, server.url("ledger"), home)
        prepared = _worker(checkout, {**deployment, "prepare": True})
        prepared.communicate()
        if prepared.returncode:
            raise SystemExit("The database could not be prepared; the reason is above.")
        simulator.clear_request_log()
        workers = [_worker(checkout, {**deployment, "types": list(types)}) for types in row.types]
        for worker in workers:
            _said(worker)
        began = time.monotonic()
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        statuses = Counter(status for worker in workers for status in json.loads(_said(worker)))
        wall_seconds = time.monotonic() - began
        for worker in workers:
            worker.communicate()
        counts: Counter[int | None] = Counter()
        for (_, _, status), count in simulator.request_counts().items():
            counts[status] += count
    return Done(
        statuses=statuses,
        wall_seconds=wall_seconds,
        answers=counts.total(),
        refused=counts[HTTPStatus.TOO_MANY_REQUESTS],
    )


def _deployment(accounts: Accounts, simulator: Simulator, database_url: str, home: Path) -> dict[str, Any]:
    settings = {
        "database_url": database_url,
        "ghl_base_url": simulator.base_url,
        "oauth_client_id": accounts.client_id,
        "oauth_client_secret": accounts.client_secret,
        "encryption_keys": Fernet.generate_key().decode(),
    }
    if accounts.agencies:
        agency = next(iter(accounts.agencies.values()))
        form = {
            "grant_type": "refresh_token",
            "refresh_token": agency.refresh_token,
            "client_id": accounts.client_id,
            "client_secret": accounts.client_secret,
            "user_type": "Company",
        }
        answer = requests.post(f"{simulator.base_url}/oauth/token", data=form, timeout=10).json()
        tokens = {"refresh_token": answer["refresh_token"], "access_token": answer["access_token"]}
        tenant = {"ghl_account_id": agency.company_id, "account_kind": "company", "credential": "oauth"}
        return {"settings": settings, "tenant": tenant, "tokens": tokens}
    location = accounts.single_locations[0]
    token = home / "token"
    token.write_text(location.private_integration_token)
    tenant = {
        "ghl_account_id": location.location_id,
        "account_kind": "location",
        "credential": f"file:{token}",
    }
    return {"settings": settings, "tenant": tenant, "tokens": None}


class _Worker(subprocess.Popen[str]):
    """A process with pipes."""

    stdin: Any
    stdout: Any


def _worker(checkout: Path, order: dict[str, Any]) -> _Worker:
    python = checkout / ".venv" / "bin" / "python"
    return _Worker(
        [str(python) if python.exists() else sys.executable, str(_WORKER), json.dumps(order)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=checkout,
        env={"PYTHONPATH": str(checkout), "PATH": "/usr/bin:/bin"},
    )


def _said(worker: _Worker) -> str:
    line: str = worker.stdout.readline()
    if not line:
        raise SystemExit(f"A process ended with {worker.wait()}; what it wrote is above.")
    return line


def main() -> None:
    """Measure every row and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--before", type=Path, help="another checkout to compare with")
    parser.add_argument("--latency-ms", type=int, default=50)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--rows", type=int, nargs="*", help="numbers of the rows, from 1")
    parser.add_argument("--markdown", action="store_true")
    asked = parser.parse_args()
    table = Table(box=box.MARKDOWN if asked.markdown else box.SIMPLE)
    for heading in ("", "checkout", "captures", "wall s", "answers", "429s", "share"):
        table.add_column(heading, justify="left" if heading in {"", "checkout", "captures"} else "right")
    for number, row in enumerate(ROWS, start=1):
        if asked.rows and number not in asked.rows:
            continue
        for _ in range(asked.repeat):
            for name, checkout in _checkouts(asked.before):
                done = measured(row, checkout, asked.latency_ms)
                table.add_row(row.name, name, *_cells(done))
    Console(width=130).print(table)


def _checkouts(before: Path | None) -> Iterator[tuple[str, Path]]:
    if before is not None:
        yield "before", before
    yield "this", _HERE


def _cells(done: Done) -> Iterator[str]:
    yield ", ".join(f"{count} {status}" for status, count in sorted(done.statuses.items()))
    yield f"{done.wall_seconds:.1f}"
    yield f"{done.answers:,}"
    yield f"{done.refused}"
    yield f"{done.refused / done.answers:.1%}"


if __name__ == "__main__":
    main()
