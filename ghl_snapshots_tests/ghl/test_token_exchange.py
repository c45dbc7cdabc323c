"""A process that captures may be asked to end at any moment: GHL's answer to its refresh token is stored."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from ghl_snapshots.capture.composition import capture_engine
from ghl_snapshots.core.audit_events import EventType
from ghl_snapshots.core.errors import ErrorKind
from ghl_snapshots.core.model import Capture, SnapshotType, Source, Status, Tenant
from ghl_snapshots.core.settings import Settings
from ghl_snapshots.core.signals import ended_by_signals
from ghl_snapshots.ghl.exchange_thread import wait_for_exchanges
from ghl_snapshots.ledger.audit import AuditTrail
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.accounts import Agency
from ghl_snapshots.simulator.generation import demo_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.ghl.rig import KEY, installed, tenant_of
from ghl_snapshots_tests.held_answers import TIMEOUT_SECONDS, HoldBack, hold_back
from ghl_snapshots_tests.waiting import eventually

pytestmark = pytest.mark.slow

REFRESH = "/oauth/token"
SPAWN = multiprocessing.get_context("spawn")
SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A simulated agency with the OAuth app, as a deployment's processes know it."""

    simulator: Simulator
    agency: Agency
    url: str
    settings: Settings
    tenant: Tenant

    def capture(self, settings: Settings | None = None) -> Capture:
        """A capture by this process."""
        return capture(settings or self.settings, self.tenant)

    def refreshes(self) -> list[int | None]:
        """The statuses of the answers to refresh tokens."""
        return [request.status for request in self.simulator.request_log if request.route == REFRESH]

    def hold_back(self) -> HoldBack:
        """Have the answer to the next refresh token held back."""
        return hold_back(self.simulator, REFRESH)


def capture(settings: Settings, tenant: Tenant) -> Capture:
    """One capture, put together as the product does it."""
    assert settings.database_url
    with (
        Database(settings.database_url.get_secret_value()) as database,
        capture_engine(settings, database) as engine,
    ):
        capture_one = partial(
            engine.capture,
            snapshot_type=SnapshotType.WORKFLOWS,
            source=Source.MANUAL,
            correlation_id="manual_snapshot_1",
        )
        [captured] = engine.for_each(
            [tenant], lambda tenant, cancelled: capture_one(tenant, cancelled=cancelled)
        )
        return captured


def status_of_capture(settings: Settings, tenant: Tenant) -> Status:
    """How one capture ends; a capture itself stays in its process."""
    return capture(settings, tenant).status


def capture_logged(settings: Settings, tenant: Tenant, log: Path) -> None:
    """One capture by a process that takes signals as the product's do; all that it writes goes to a file."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, sys.stdout.fileno())
    os.dup2(file, sys.stderr.fileno())
    logging.basicConfig(level=logging.DEBUG)
    with ended_by_signals():
        capture(settings, tenant)


@pytest.fixture
def deployment(postgres: EmbeddedPostgres) -> Iterator[Deployment]:
    accounts = demo_accounts(seed=1)
    agency = next(iter(accounts.agencies.values()))
    url = postgres.url(f"exchange_{uuid4().hex}")
    migrate(url)
    with Simulator(accounts, burst_limit=10**9) as simulator, Database(url) as database:
        installed(database, agency, tenant_id="acme")
        settings = Settings.model_validate(
            {
                "database_url": url,
                "ghl_base_url": simulator.base_url,
                "oauth_client_id": accounts.client_id,
                "oauth_client_secret": accounts.client_secret,
                "encryption_keys": KEY,
                "max_attempts": 2,
                "retry_wait_seconds": 0.01,
            }
        )
        tenant = tenant_of(agency, credential="oauth")
        yield Deployment(simulator=simulator, agency=agency, url=url, settings=settings, tenant=tenant)


@contextmanager
def capturing(deployment: Deployment, log: Path) -> Iterator[BaseProcess]:
    """A process that captures."""
    process = SPAWN.Process(target=capture_logged, args=(deployment.settings, deployment.tenant, log))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def end(process: BaseProcess, number: signal.Signals, log: Path) -> None:
    """Ask it to end, twice, as somebody does who has no patience."""
    assert process.pid
    os.kill(process.pid, number)
    eventually(lambda: "Waiting up to 60 s" in log.read_text(), "it says what it waits for")
    os.kill(process.pid, number)


def assert_not_lost(deployment: Deployment) -> None:
    """New processes capture: with what was stored, and with the refresh token that was stored beside it."""
    assert deployment.refreshes() == [200]
    assert deployment.capture().status is Status.SUCCESS
    assert deployment.refreshes() == [200]
    deployment.simulator.tokens.revoke_access_tokens()
    assert deployment.capture().status is Status.SUCCESS
    assert deployment.refreshes() == [200, 200]


@SIGNALS
def test_a_signal_before_the_answer_comes_loses_no_account(
    deployment: Deployment, tmp_path: Path, number: signal.Signals
) -> None:
    held = deployment.hold_back()
    with capturing(deployment, tmp_path / "log") as process:
        assert held.reached.wait(TIMEOUT_SECONDS)
        end(process, number, tmp_path / "log")
        held.released.set()
        process.join(TIMEOUT_SECONDS)
        assert process.exitcode not in {None, 0}
    assert_not_lost(deployment)


@SIGNALS
def test_a_signal_between_the_answer_and_the_commit_loses_no_account(
    deployment: Deployment, tmp_path: Path, number: signal.Signals
) -> None:
    with psycopg.connect(deployment.url) as blocker, capturing(deployment, tmp_path / "log") as process:
        blocker.execute("LOCK TABLE ghl.oauth_token IN SHARE ROW EXCLUSIVE MODE")
        eventually(lambda: _waits_to_store(blocker), "the answer is about to be stored")
        end(process, number, tmp_path / "log")
        blocker.rollback()
        process.join(TIMEOUT_SECONDS)
        assert process.exitcode not in {None, 0}
    assert_not_lost(deployment)


def _waits_to_store(connection: psycopg.Connection) -> bool:
    waiting = "SELECT 1 FROM pg_locks WHERE relation = 'ghl.oauth_token'::regclass AND NOT granted"
    return connection.execute(waiting).fetchone() is not None


def test_eight_processes_at_once_spend_one_refresh_token(deployment: Deployment) -> None:
    with ProcessPoolExecutor(8, mp_context=SPAWN) as pool:
        captures = [pool.submit(status_of_capture, deployment.settings, deployment.tenant) for _ in range(8)]
        assert {done.result() for done in captures} == {Status.SUCCESS}
    assert deployment.refreshes() == [200]


def test_no_secret_is_in_a_log(deployment: Deployment, tmp_path: Path) -> None:
    with capturing(deployment, tmp_path / "log") as process:
        process.join(TIMEOUT_SECONDS)
    with Database(deployment.url) as database:
        stored = OAuthTokens(database, KEY).load("acme")
    assert stored is not None
    assert stored.access
    secrets = [
        deployment.simulator.accounts.client_secret,
        KEY,
        deployment.agency.refresh_token,
        stored.refresh_token,
        stored.access.value,
    ]
    left = (tmp_path / "log").read_text()
    assert "/oauth/locationToken" in left
    assert [secret for secret in secrets if secret in left] == []


def test_a_refresh_is_in_the_log_as_it_is_in_the_audit_trail(
    deployment: Deployment, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, logger="ghl_snapshots")
    monkeypatch.setattr(logging.getLogger("ghl_snapshots"), "propagate", True)
    deployment.capture()
    [line] = [vars(each) for each in caplog.records if each.getMessage() == EventType.CREDENTIAL_REFRESHED]
    assert (line["tenant_id"], line["success"]) == ("acme", True)
    with Database(deployment.url) as database:
        [event] = AuditTrail(database).events(event_type=EventType.CREDENTIAL_REFRESHED)
    assert line["correlation_id"] == event.correlation_id


def test_a_missing_key_is_told_without_asking_ghl(deployment: Deployment) -> None:
    other = deployment.settings.model_copy(update={"encryption_keys": None})
    capture = deployment.capture(other)
    assert "GHL_SNAPSHOTS_ENCRYPTION_KEYS is not set" in capture.errors[0].message
    assert deployment.refreshes() == []


def test_who_waits_for_another_process_that_exchanges_keeps_to_the_captures_time(
    deployment: Deployment,
) -> None:
    """The other one may wait for GHL; this capture's own exchange has not begun, and never does."""
    hurried = deployment.settings.model_copy(update={"capture_timeout_seconds": 1.0})
    with Database(deployment.url) as database, OAuthTokens(database, KEY).locked("acme"):
        done = deployment.capture(hurried)
    assert {error.kind for error in done.errors} == {ErrorKind.TIMEOUT}
    assert deployment.refreshes() == []


def test_a_capture_whose_time_is_over_during_an_exchange_ends_and_loses_no_account(
    deployment: Deployment,
) -> None:
    held = deployment.hold_back()
    hurried = deployment.settings.model_copy(update={"capture_timeout_seconds": 1.0})
    with (
        Database(deployment.url) as database,
        capture_engine(hurried, database) as engine,
    ):
        done = engine.capture(
            deployment.tenant, SnapshotType.WORKFLOWS, source=Source.MANUAL, correlation_id="manual_1"
        )
        assert {error.kind for error in done.errors} == {ErrorKind.TIMEOUT}
        assert "the capture's total time of 1 s was over" in done.errors[0].message
        assert held.reached.is_set()
        threading.Timer(0.2, held.released.set).start()
    assert_not_lost(deployment)


def test_a_signal_during_the_wait_takes_effect_after_it(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = deployment.hold_back()
    asking = threading.Thread(target=deployment.capture)
    asking.start()
    assert held.reached.wait(TIMEOUT_SECONDS)

    def interrupt() -> None:
        signal.raise_signal(signal.SIGINT)
        held.released.set()

    threading.Timer(0.2, interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        wait_for_exchanges()
    asking.join()
    assert_not_lost(deployment)
