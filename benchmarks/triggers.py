"""Whether a flood of triggers is taken without loss, and how fast: accepted or refused, kept once.

python -m benchmarks.triggers [--rate 50] [--seconds 30]

About a minute and a half. The API is a process of its own over an embedded PostgreSQL, all on this machine.
Every trigger has an Idempotency-Key, and every tenth is sent twice, as by a client that missed the answer.
In 30 seconds the tenants ask for more than they may, so that some calls are refused. In the second row the
database refuses connections for three seconds.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import psycopg
import requests
from psycopg import sql

from benchmarks.measuring import Comparison
from ghl_snapshots.core.api_keys import KeyRole
from ghl_snapshots.ledger.api_keys import ApiKeys
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots_tests.api.process import running
from ghl_snapshots_tests.ledger.captures import tenant

TENANTS = [f"t{number:02}" for number in range(20)]
CLIENTS = 64
OUTAGE_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one call was answered, 0 if not by our own JSON; the latency counts from when it was due."""

    key: str
    status: int
    request_id: str | None
    latency_ms: float


class Clients:
    """Callers with a connection each."""

    def __init__(self, base_url: str, secret: str) -> None:
        self._url = f"{base_url}/api/snapshots/trigger"
        self._secret = secret
        self._own = threading.local()

    def call(self, number: int, due: float) -> list[Answer]:
        """Send a trigger when it is due, and every tenth once more; then what was answered."""
        time.sleep(max(0.0, due - time.perf_counter()))
        answers = [self._answer(f"trigger-{number}", TENANTS[number % len(TENANTS)], due)]
        if number % 10 == 0:
            answers.append(self._answer(answers[0].key, TENANTS[number % len(TENANTS)], time.perf_counter()))
        return answers

    def _answer(self, key: str, tenant_id: str, since: float) -> Answer:
        if not hasattr(self._own, "session"):
            self._own.session = requests.Session()
            self._own.session.trust_env = False
        answer = self._own.session.post(
            self._url,
            json={"tenantId": tenant_id, "ghlAccountId": f"account-{tenant_id}"},
            headers={"Authorization": f"Bearer {self._secret}", "Idempotency-Key": key},
            timeout=60,
        )
        expected = "application/json" if answer.status_code == 202 else "application/problem+json"
        clean = answer.headers["Content-Type"] == expected
        return Answer(
            key=key,
            status=answer.status_code if clean else 0,
            request_id=answer.json().get("requestId"),
            latency_ms=(time.perf_counter() - since) * 1000,
        )


def flood(clients: Clients, *, rate: int, seconds: float) -> list[Answer]:
    """Triggers at an even rate, whether or not earlier ones were answered yet."""
    count = int(rate * seconds)
    with ThreadPoolExecutor(CLIENTS) as pool:
        start = time.perf_counter() + 0.2
        sent = [pool.submit(clients.call, number, start + number / rate) for number in range(count)]
        return [answer for each in sent for answer in each.result()]


@contextmanager
def outage(server: EmbeddedPostgres, name: str, after: float) -> Iterator[None]:
    """The database ends its connections and takes no new ones, for a while and after a while."""
    allow = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}")

    def happen() -> None:
        time.sleep(after)
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            time.sleep(OUTAGE_SECONDS)
            connection.execute(allow.format(sql.Identifier(name), sql.SQL("true")))

    thread = threading.Thread(target=happen)
    thread.start()
    yield
    thread.join()


def kept(url: str) -> Mapping[str, list[str]]:
    """The request ids in the database, by Idempotency-Key."""
    found: dict[str, list[str]] = {}
    with psycopg.connect(url) as connection:
        for key, request_id in connection.execute(
            "SELECT idempotency_key, request_id FROM ghl.snapshot_request"
        ):
            found.setdefault(key, []).append(request_id)
    return found


def counts(answers: Sequence[Answer], rows: Mapping[str, list[str]]) -> Sequence[object]:
    """The row of the table."""
    statuses = Counter(answer.status for answer in answers)
    accepted: dict[str, set[str | None]] = {}
    for answer in answers:
        if answer.status == 202:
            accepted.setdefault(answer.key, set()).add(answer.request_id)
    lost = sum(not ids <= set(rows.get(key, [])) for key, ids in accepted.items())
    doubled = sum(len(ids) > 1 for ids in accepted.values()) + sum(len(ids) > 1 for ids in rows.values())
    latencies = statistics.quantiles([answer.latency_ms for answer in answers], n=100)
    return (
        len(answers),
        statuses[202],
        len(accepted),
        statuses[429],
        statuses[503],
        statuses.total() - statuses[202] - statuses[429] - statuses[503],
        lost,
        doubled,
        len(rows.keys() - accepted.keys()),
        f"{latencies[49]:.0f} ms",
        f"{latencies[98]:.0f} ms",
    )


def main() -> None:
    """Flood an API, then count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=30)
    arguments = parser.parse_args()
    columns = (
        "calls",
        "202",
        "requests",
        "429",
        "503",
        "other",
        "lost",
        "doubled",
        "503 yet kept",
        "p50",
        "p99",
    )
    table = Comparison(f"{arguments.rate} triggers a second for {arguments.seconds} s", *columns)
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder)) as server:
        for name, title in (("flood", "the database answers"), ("outage", "the database away for 3 s")):
            url = server.url(name)
            migrate(url)
            with Database(url) as database:
                TenantRegistry(database).import_all([tenant(tenant_id) for tenant_id in TENANTS])
                _, secret = ApiKeys(database).create(TENANTS, KeyRole.TRIGGER)
            work = Path(folder) / name
            work.mkdir()
            away = outage(server, name, arguments.seconds / 3) if name == "outage" else nullcontext()
            with running(work, {"GHL_SNAPSHOTS_DATABASE_URL": url}) as client, away:
                clients = Clients(client.base_url, secret)
                answers = flood(clients, rate=arguments.rate, seconds=arguments.seconds)
            table.row(title, *counts(answers, kept(url)))
    table.print()


if __name__ == "__main__":
    main()
