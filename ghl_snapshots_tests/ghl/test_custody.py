"""A process that captures may be killed at any moment: GHL's answer to its refresh token is stored."""

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psutil
import psycopg
import pytest
from pydantic import TypeAdapter

from ghl_snapshots.capture.composition import capture_engine
from ghl_snapshots.core.audit_events import EventType
from ghl_snapshots.core.capture_settings import CaptureSettings
from ghl_snapshots.core.errors import ConfigurationError, CredentialError, ErrorKind, GhlError, LedgerError
from ghl_snapshots.core.model import Capture, SnapshotType, Source, Status, Tenant
from ghl_snapshots.core.settings import Settings
from ghl_snapshots.core.tokens import StoredTokens
from ghl_snapshots.custody import messages
from ghl_snapshots.custody.custodian import COMMAND
from ghl_snapshots.custody.messages import Errand, Failure
from ghl_snapshots.ledger.audit import AuditTrail
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.accounts import Agency
from ghl_snapshots.simulator.faults import Effect, Fault, ReplaceBody, Respond
from ghl_snapshots.simulator.generation import demo_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots.simulator.tokens import refresh_token
from ghl_snapshots_tests.end_to_end.stack import eventually
from ghl_snapshots_tests.ghl.rig import KEY, installed, rigged, tenant_of
from ghl_snapshots_tests.held_answers import PATIENCE_SECONDS, HoldBack, hold_back

REFRESH = "/oauth/token"
SPAWN = multiprocessing.get_context("spawn")


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
        return engine.capture(
            tenant, SnapshotType.WORKFLOWS, source=Source.MANUAL, correlation_id="manual_snapshot_1"
        )


def capture_logged(settings: Settings, tenant: Tenant, log: Path) -> None:
    """One capture in a process group of its own, with everything that is written going to a file."""
    os.setpgrp()
    file = os.open(log, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, sys.stdout.fileno())
    os.dup2(file, sys.stderr.fileno())
    logging.basicConfig(level=logging.DEBUG)
    capture(settings, tenant)


@pytest.fixture
def deployment(postgres: EmbeddedPostgres) -> Iterator[Deployment]:
    accounts = demo_accounts(seed=1)
    agency = next(iter(accounts.agencies.values()))
    url = postgres.url(f"custody_{uuid4().hex}")
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
def capturing(deployment: Deployment, log: Path) -> Iterator[psutil.Process]:
    """A process that captures; whatever it has started has ended when the block has."""
    process = SPAWN.Process(target=capture_logged, args=(deployment.settings, deployment.tenant, log))
    process.start()
    assert process.pid
    try:
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.join()


def custodians_of(process: psutil.Process) -> list[psutil.Process]:
    """The processes that have its refresh tokens in custody."""
    return [child for child in process.children(recursive=True) if command_line(child) == COMMAND]


def command_line(process: psutil.Process) -> tuple[str, ...]:
    """Empty for one that has ended."""
    try:
        return tuple(process.cmdline())
    except psutil.Error:
        return ()


def custodian_of(process: psutil.Process) -> psutil.Process:
    """The process that has its refresh token in custody."""
    [custodian] = custodians_of(process)
    return custodian


def kill(process: psutil.Process, _custodian: psutil.Process) -> None:
    os.kill(process.pid, signal.SIGKILL)


def kill_group(process: psutil.Process, _custodian: psutil.Process) -> None:
    os.killpg(process.pid, signal.SIGKILL)


def end_all(process: psutil.Process, custodian: psutil.Process) -> None:
    """What a service manager does before it kills."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(custodian.pid, number)
    os.killpg(process.pid, signal.SIGTERM)


def interrupt(process: psutil.Process, _custodian: psutil.Process) -> None:
    os.kill(process.pid, signal.SIGINT)


DEATHS = pytest.mark.parametrize("end", [kill, kill_group, end_all, interrupt])
Death = Callable[[psutil.Process, psutil.Process], None]


def assert_not_lost(deployment: Deployment) -> None:
    """New processes capture: with what was stored, and with the refresh token that was stored beside it."""
    assert deployment.refreshes() == [200]
    assert deployment.capture().status is Status.SUCCESS
    assert deployment.refreshes() == [200]
    deployment.simulator.tokens.revoke_access_tokens()
    assert deployment.capture().status is Status.SUCCESS
    assert deployment.refreshes() == [200, 200]


@DEATHS
def test_a_process_that_ends_before_the_answer_comes_loses_no_account(
    deployment: Deployment, tmp_path: Path, end: Death
) -> None:
    held = deployment.hold_back()
    with capturing(deployment, tmp_path / "log") as process:
        assert held.reached.wait(PATIENCE_SECONDS)
        custodian = custodian_of(process)
        end(process, custodian)
        process.wait(PATIENCE_SECONDS)
        held.released.set()
        custodian.wait(PATIENCE_SECONDS)
    assert_not_lost(deployment)


@DEATHS
def test_a_process_that_ends_between_the_answer_and_the_store_loses_no_account(
    deployment: Deployment, tmp_path: Path, end: Death
) -> None:
    with psycopg.connect(deployment.url) as blocker, capturing(deployment, tmp_path / "log") as process:
        blocker.execute("LOCK TABLE ghl.oauth_token IN SHARE ROW EXCLUSIVE MODE")
        eventually(lambda: _waits_to_store(blocker), "the answer is about to be stored")
        custodian = custodian_of(process)
        end(process, custodian)
        process.wait(PATIENCE_SECONDS)
        blocker.rollback()
        custodian.wait(PATIENCE_SECONDS)
    assert_not_lost(deployment)


def _waits_to_store(connection: psycopg.Connection) -> bool:
    waiting = "SELECT 1 FROM pg_locks WHERE relation = 'ghl.oauth_token'::regclass AND NOT granted"
    return connection.execute(waiting).fetchone() is not None


def test_eight_processes_at_once_spend_one_refresh_token(deployment: Deployment) -> None:
    with ProcessPoolExecutor(8, mp_context=SPAWN) as pool:
        captures = [pool.submit(capture, deployment.settings, deployment.tenant) for _ in range(8)]
        assert {done.result().status for done in captures} == {Status.SUCCESS}
    assert deployment.refreshes() == [200]


def test_no_secret_is_in_a_command_line_or_a_log(deployment: Deployment, tmp_path: Path) -> None:
    held = deployment.hold_back()
    with capturing(deployment, tmp_path / "log") as process:
        assert held.reached.wait(PATIENCE_SECONDS)
        custodian = custodian_of(process)
        command_lines = [other.info["cmdline"] or [] for other in psutil.process_iter(["cmdline"])]
        held.released.set()
        process.wait(PATIENCE_SECONDS)
    assert list(COMMAND) in command_lines
    assert not custodian.is_running()
    with Database(deployment.url) as database:
        stored = OAuthTokens(database, KEY).load("acme")
    assert stored is not None
    assert stored.access_token
    secrets = [
        deployment.simulator.accounts.client_secret,
        KEY,
        deployment.agency.refresh_token,
        stored.refresh_token,
        stored.access_token,
    ]
    left = (tmp_path / "log").read_text() + "\n".join(" ".join(line) for line in command_lines)
    assert "/oauth/locationToken" in left
    assert [secret for secret in secrets if secret in left] == []


@pytest.mark.parametrize(
    "effect",
    [
        Respond(status=503, body=b'{"message":"busy"}'),
        Respond(status=401, body=b'{"message":"Invalid client"}'),
        Respond(status=429, body=b'{"message":"slowly"}'),
        ReplaceBody(change=lambda body: body.replace(b'"access_token"', b'"other"')),
        ReplaceBody(change=lambda _: b"<html>"),
    ],
    ids=["server", "refused", "limit", "no token", "html"],
)
def test_errors_and_requests_are_told_as_if_the_exchange_were_made_here(
    deployment: Deployment, effect: Effect
) -> None:
    deployment.simulator.inject(Fault(effect=effect, route=REFRESH))
    apart = deployment.capture()
    with Database(deployment.url) as database:
        store = OAuthTokens(database, KEY)
        with store.locked("acme") as locked:
            # As good as the first one was.
            locked.install(StoredTokens(refresh_token=refresh_token(1, deployment.agency.company_id, 50)))
        with rigged(deployment.simulator, store=store, max_attempts=2) as rig:
            here = rig.capture(deployment.tenant)
    assert apart.errors == here.errors
    assert apart.errors[0].attempts in {1, 2}
    assert apart.api_calls == here.api_calls
    assert sum(apart.api_calls.values()) == len(deployment.refreshes()) / 2


def test_what_a_custodian_logs_is_in_the_log_of_who_asked(
    deployment: Deployment, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, logger="ghl_snapshots")
    monkeypatch.setattr(logging.getLogger("ghl_snapshots"), "propagate", True)
    deployment.capture()
    [line] = [vars(each) for each in caplog.records if each.getMessage() == EventType.CREDENTIAL_REFRESHED]
    assert (line["name"], line["levelname"]) == ("ghl_snapshots.ledger.audit", "INFO")
    assert (line["tenant_id"], line["success"]) == ("acme", True)
    with Database(deployment.url) as database:
        [event] = AuditTrail(database).events(event_type=EventType.CREDENTIAL_REFRESHED)
    assert line["correlation_id"] == event.correlation_id
    assert line["details"] == event.details


def test_a_wrong_key_is_told_without_asking_ghl(deployment: Deployment) -> None:
    other = deployment.settings.model_copy(update={"encryption_keys": None})
    capture = deployment.capture(other)
    assert "GHL_SNAPSHOTS_ENCRYPTION_KEYS is not set" in capture.errors[0].message
    assert deployment.refreshes() == []


@pytest.mark.parametrize(
    "error",
    [
        GhlError(ErrorKind.DAILY_LIMIT, "spent", status=429, attempts=3),
        LedgerError("away"),
        CredentialError("unreadable"),
        ConfigurationError("no key"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_the_same_on_the_other_side(error: GhlError | LedgerError | CredentialError) -> None:
    told = Failure.of(error).error()
    assert (type(told), str(told), vars(told)) == (type(error), str(error), vars(error))


def test_a_custodian_that_is_killed_is_named(deployment: Deployment) -> None:
    """Its refresh token may be lost; the capture ends and says what happened."""
    held = deployment.hold_back()

    def kill_custodian() -> None:
        held.reached.wait(PATIENCE_SECONDS)
        custodian_of(psutil.Process()).kill()
        held.released.set()

    killer = threading.Thread(target=kill_custodian)
    killer.start()
    done = deployment.capture()
    killer.join()
    assert {error.kind for error in done.errors} == {ErrorKind.INTERNAL}
    assert "the process that exchanges tokens for tenant acme" in done.errors[0].message
    assert "it ended with -9" in done.errors[0].message


def test_an_errand_that_is_not_told_whole_is_not_done(deployment: Deployment) -> None:
    """The process that asks was killed while it told."""
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        told, _ = process.communicate(b'{"deployment": {"client_secret": "planted')
    assert (process.returncode, told) == (2, b"")


def test_a_custodian_does_not_live_for_ever() -> None:
    short = "import ghl_snapshots.custody.__main__ as custody; custody._ASKING_SECONDS = 1; custody.main()"
    with subprocess.Popen([sys.executable, "-c", short], stdin=subprocess.PIPE) as process:
        assert process.wait(PATIENCE_SECONDS) == -signal.SIGALRM


def test_a_custodian_with_an_answer_lives_for_as_long_as_storing_it_may_take(deployment: Deployment) -> None:
    """Nobody else has it; the time that it took to get is not what it may still be kept waiting for."""
    hasty = "import ghl_snapshots.custody.__main__ as custody; custody._ASKING_SECONDS = 4; custody.main()"
    command = [sys.executable, "-c", hasty]
    with (
        psycopg.connect(deployment.url) as blocker,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as custodian,
    ):
        blocker.execute("LOCK TABLE ghl.oauth_token IN SHARE ROW EXCLUSIVE MODE")
        assert custodian.stdin
        custodian.stdin.write(TypeAdapter(Errand).dump_json(errand_of(deployment)))
        custodian.stdin.close()
        eventually(lambda: _waits_to_store(blocker), "the answer is about to be stored")
        with pytest.raises(subprocess.TimeoutExpired):
            custodian.wait(5)
        blocker.rollback()
        assert custodian.wait(PATIENCE_SECONDS) == 0
    assert_not_lost(deployment)


def errand_of(deployment: Deployment) -> Errand:
    """What a custodian is told to refresh the agency's tokens."""
    accounts = deployment.simulator.accounts
    told = messages.Deployment(
        ghl_base_url=deployment.simulator.base_url,
        client_id=accounts.client_id,
        client_secret=accounts.client_secret,
        database_url=deployment.url,
        encryption_keys=KEY,
    )
    return Errand(deployment=told, tenant=deployment.tenant, settings=CaptureSettings(), patience_seconds=60)


def test_who_waits_for_another_process_that_exchanges_keeps_to_the_captures_time(
    deployment: Deployment,
) -> None:
    """The other one may wait for GHL for minutes; this capture's own exchange has not begun."""
    hurried = deployment.settings.model_copy(update={"capture_timeout_seconds": 1.0})
    with Database(deployment.url) as database, OAuthTokens(database, KEY).locked("acme"):
        done = deployment.capture(hurried)
        # The custodian's own patience began a little later.
        eventually(lambda: not custodians_of(psutil.Process()), "the custodian has given up")
    assert {error.kind for error in done.errors} == {ErrorKind.TIMEOUT}
    assert deployment.refreshes() == []


def test_a_capture_keeps_to_its_time_while_ghl_keeps_its_answer_and_loses_no_account(
    deployment: Deployment,
) -> None:
    held = deployment.hold_back()
    done = deployment.capture(deployment.settings.model_copy(update={"capture_timeout_seconds": 1.0}))
    assert {error.kind for error in done.errors} == {ErrorKind.TIMEOUT}
    assert "the capture's total time of 1 s was over" in done.errors[0].message
    assert held.reached.wait(PATIENCE_SECONDS)
    custodian = custodian_of(psutil.Process())
    held.released.set()
    eventually(lambda: not custodian.is_running(), "the custodian has ended and was collected")
    assert_not_lost(deployment)
