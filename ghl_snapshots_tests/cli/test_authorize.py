"""`ghl-snapshots tenants authorize --code`: an account whose refresh token was lost comes back."""

import signal
import subprocess
from pathlib import Path

import pytest

from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.accounts import Agency
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.cli.in_process import InProcess
from ghl_snapshots_tests.command_line import COMMAND, CommandLine
from ghl_snapshots_tests.ghl.rig import KEY
from ghl_snapshots_tests.held_answers import TIMEOUT_SECONDS, hold_back

pytestmark = pytest.mark.slow


@pytest.fixture
def command(simulator: Simulator, postgres: EmbeddedPostgres, agency: Agency, tmp_path: Path) -> CommandLine:
    """The command line of a deployment in which the agency is the tenant acme."""
    command = InProcess(
        home=tmp_path / "home",
        variables={
            "GHL_SNAPSHOTS_DATABASE_URL": postgres.url(f"authorize_{tmp_path.name}"),
            "GHL_SNAPSHOTS_ENCRYPTION_KEYS": KEY,
            "GHL_BASE_URL": simulator.base_url,
            "GHL_OAUTH_CLIENT_ID": simulator.accounts.client_id,
            "GHL_OAUTH_CLIENT_SECRET": simulator.accounts.client_secret,
        },
    )
    command("tenants", "add", "acme", "--agency", "--account", agency.company_id, "--credential", "oauth")
    return command


def test_a_lost_refresh_token_is_reported_and_a_code_brings_the_account_back(
    command: CommandLine, simulator: Simulator, agency: Agency
) -> None:
    command("tenants", "authorize", "acme", stdin=agency.refresh_token.encode())
    simulator.tokens.spend_refresh_token(agency.refresh_token)
    lost = command("snapshot", "--tenant", "acme", "--type", "workflows")
    assert lost.returncode == 1
    said = b" ".join(lost.stdout.split())
    assert b"installing the app in the account again gives a new authorization code" in said
    assert b"exchange it by `ghl-snapshots tenants authorize acme --code`" in said
    code = simulator.tokens.issue_authorization_code(agency.company_id)
    done = command("tenants", "authorize", "acme", "--code", stdin=f"{code}\n".encode())
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"Exchanged the authorization code and stored the tokens of acme, encrypted.\n"
    assert command("snapshot", "--tenant", "acme", "--type", "workflows").returncode == 0
    assert b"tenant_authorized" in command("audit", "--tenant", "acme").stdout


def test_the_embedded_postgresql_waits_for_a_codes_tokens_after_ctrl_c(
    command: CommandLine, simulator: Simulator, agency: Agency
) -> None:
    """It would be stopped under the process that has GHL's answer to store."""
    embedded = {name: value for name, value in command.variables.items() if "DATABASE" not in name}
    command = InProcess(home=command.home, variables=embedded)
    command("tenants", "add", "acme", "--agency", "--account", agency.company_id, "--credential", "oauth")
    held = hold_back(simulator, "/oauth/token")
    arguments = ("tenants", "authorize", "acme", "--code")
    with subprocess.Popen(
        [COMMAND, *arguments], env=command.environment(), stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stderr
        process.stdin.write(simulator.tokens.issue_authorization_code(agency.company_id).encode())
        process.stdin.close()
        assert held.reached.wait(TIMEOUT_SECONDS)
        process.send_signal(signal.SIGINT)
        assert b"Waiting up to 60 s for GHL's answer" in process.stderr.readline()
        held.released.set()
        assert process.wait(TIMEOUT_SECONDS) == 130
    assert b"tenant_authorized" in command("audit", "--tenant", "acme").stdout


def test_a_code_that_is_no_good_is_one_line_and_stores_nothing(
    command: CommandLine, simulator: Simulator, agency: Agency
) -> None:
    code = simulator.tokens.issue_authorization_code(agency.company_id)
    simulator.tokens.spend_authorization_code(code)
    refused = command("tenants", "authorize", "acme", "--code", stdin=code.encode())
    assert refused.returncode == 1
    assert refused.stderr.startswith(b"Error: GHL gives no tokens for the authorization code: ")
    assert refused.stderr.count(b"\n") == 1
    assert code.encode() not in refused.stderr
    with Database(command.variables["GHL_SNAPSHOTS_DATABASE_URL"]) as database:
        assert OAuthTokens(database, KEY).load("acme") is None
    assert b"No authorization code was given." in command("tenants", "authorize", "acme", "--code").stderr


def test_without_an_app_a_code_is_refused_before_ghl_is_asked(
    command: CommandLine, simulator: Simulator
) -> None:
    variables = dict(command.variables)
    del variables["GHL_OAUTH_CLIENT_SECRET"]
    refused = InProcess(home=command.home, variables=variables)(
        "tenants", "authorize", "acme", "--code", stdin=b"a-code"
    )
    assert refused.returncode == 2
    assert b"GHL_OAUTH_CLIENT_ID and GHL_OAUTH_CLIENT_SECRET are not set" in refused.stderr
    assert simulator.request_log == ()
