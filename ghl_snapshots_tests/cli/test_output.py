"""What is printed can be read in a narrow terminal, and by another program."""

import os
import pty
import re
import signal
import subprocess
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg import Connection

from ghl_snapshots.core.api_keys import KeyRole
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.ledger.api_keys import ApiKeys
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.cli.in_process import InProcess
from ghl_snapshots_tests.command_line import COMMAND, CommandLine
from ghl_snapshots_tests.held_answers import TIMEOUT_SECONDS, hold_back
from ghl_snapshots_tests.ledger.captures import capture
from ghl_snapshots_tests.waiting import eventually

LISTINGS = [
    ["tenants", "list"],
    ["keys", "list"],
    ["snapshots", "list"],
    ["history", "acme", "w1"],
    ["export", "acme", "--to", "{folder}"],
    ["status"],
    ["status", "--problems"],
    ["audit"],
]


@pytest.fixture
def ghl_snapshots(url: str, database: Database, tmp_path: Path) -> CommandLine:
    """The command line over a capture of acme's workflows."""
    moment = datetime(2026, 3, 3, 2, tzinfo=UTC)
    Ledger(database).append(
        capture("acme", [b'{"id":"w1"}'], captured_at=moment, snapshot_type=SnapshotType.WORKFLOWS)
    )
    ApiKeys(database).create(["acme"], KeyRole.READ, note="for the warehouse")
    return InProcess(home=tmp_path / "home", variables={"GHL_SNAPSHOTS_DATABASE_URL": url})


@pytest.mark.parametrize("command", LISTINGS, ids=" ".join)
def test_a_listing_fits_into_sixty_columns_and_loses_nothing(
    ghl_snapshots: CommandLine, tmp_path: Path, command: list[str]
) -> None:
    arguments = [part.format(folder=tmp_path / "exported") for part in command]
    narrow = replace(ghl_snapshots, variables={**ghl_snapshots.variables, "COLUMNS": "60"})
    whole, lines = (run(*arguments).stdout.decode() for run in (ghl_snapshots, narrow))
    assert max(map(len, lines.splitlines())) <= 60
    assert words(lines) == words(whole)


def words(text: str) -> list[str]:
    """All but the ages, which grow meanwhile."""
    return [re.sub(r"^\d+[mhd]$", "", word) for word in text.split()]


def test_a_listing_whose_reader_stops_early_says_nothing_of_it(ghl_snapshots: CommandLine) -> None:
    process = CommandLine(home=ghl_snapshots.home, variables=ghl_snapshots.variables)
    assert process.piped_into_head("config") == b""


@pytest.mark.parametrize(
    ("where", "variable", "red"),
    [("terminal", "TERM", 1), ("terminal", "NO_COLOR", 0), ("pipe", "TERM", 0), ("pipe", "FORCE_COLOR", 1)],
)
def test_only_a_terminal_gets_colours_unless_the_user_says_otherwise(
    ghl_snapshots: CommandLine, superuser: Connection, where: str, variable: str, red: int
) -> None:
    """And only a terminal a progress bar. What `verify` finds is red."""
    superuser.execute("ALTER TABLE ghl.snapshot DISABLE TRIGGER USER")
    superuser.execute("UPDATE ghl.snapshot SET record_count = 2")
    process = CommandLine(
        home=ghl_snapshots.home,
        variables={**ghl_snapshots.variables, "TERM": "xterm-256color", variable: "xterm-256color"},
    )
    printed = in_terminal(process, "verify") if where == "terminal" else process("verify").stdout
    assert b"4 problems found" in printed
    assert min(printed.count(b"\x1b[31m"), 1) == red
    assert (b"\x1b[?25l" in printed) == (where == "terminal"), "a bar hides the cursor"


def in_terminal(process: CommandLine, *arguments: str) -> bytes:
    """What a command prints into a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [COMMAND, *arguments], env=process.environment(), stdin=theirs, stdout=theirs, stderr=theirs
    ) as running:
        os.close(theirs)
        printed = b""
        with suppress(OSError):  # the terminal's other end is closed
            while chunk := os.read(ours, 65_536):
                printed += chunk
        running.wait()
    os.close(ours)
    return printed


def test_ctrl_c_ends_what_only_reads(ghl_snapshots: CommandLine, url: str, tmp_path: Path) -> None:
    process = CommandLine(home=ghl_snapshots.home, variables=ghl_snapshots.variables)
    output = tmp_path / "output"
    with (
        psycopg.connect(url) as locking,
        psycopg.connect(url, autocommit=True) as watching,
        process.running("verify", "--deep", output=output) as verify,
    ):
        locking.execute("LOCK TABLE ghl.entity IN ACCESS EXCLUSIVE MODE")
        eventually(
            lambda: watching.execute("SELECT FROM pg_locks WHERE NOT granted").rowcount, "verify has to wait"
        )
        verify.send_signal(signal.SIGINT)
        assert verify.wait(TIMEOUT_SECONDS) == 130
    assert output.read_text() == "Stopped: 0 snapshots verified, the others not.\n"


def with_tenant(ghl_snapshots: CommandLine, simulator: Simulator) -> CommandLine:
    """The command line as processes, with a location of the simulated GHL as the tenant mill."""
    location = next(iter(simulator.accounts.single_locations))
    variables = {
        "GHL_BASE_URL": simulator.base_url,
        "GHL_SNAPSHOTS_READ_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
        "TOKEN": location.private_integration_token,
    }
    process = CommandLine(home=ghl_snapshots.home, variables={**ghl_snapshots.variables, **variables})
    account = ("--account", location.location_id, "--credential", "env:TOKEN")
    InProcess(home=process.home, variables=process.variables)("tenants", "add", "mill", *account)
    return process


def test_ctrl_c_ends_a_check_of_a_tenant_without_the_answers_under_way(
    ghl_snapshots: CommandLine, simulator: Simulator, tmp_path: Path
) -> None:
    process = with_tenant(ghl_snapshots, simulator)
    held = hold_back(simulator, "/workflows/")
    output = tmp_path / "output"
    with process.running("tenants", "check", "mill", output=output) as check:
        assert held.reached.wait(TIMEOUT_SECONDS), output.read_text()
        check.send_signal(signal.SIGINT)
        assert check.wait(TIMEOUT_SECONDS / 2) == 130, "the answer comes after 60 s"
    held.released.set()
    assert output.read_text() == "Stopped.\n"


@pytest.mark.slow
def test_ctrl_c_ends_a_capture_and_says_what_is_stored(
    ghl_snapshots: CommandLine, simulator: Simulator, tmp_path: Path
) -> None:
    process = with_tenant(ghl_snapshots, simulator)
    held = hold_back(simulator, "/workflows/")
    output = tmp_path / "output"
    types = ("--type", "pipelines", "--type", "workflows")
    with process.running("snapshot", "--tenant", "mill", *types, output=output) as snapshot:
        assert held.reached.wait(TIMEOUT_SECONDS), output.read_text()
        eventually(lambda: "success" in output.read_text(), "the pipelines are stored")
        snapshot.send_signal(signal.SIGINT)
        assert snapshot.wait(TIMEOUT_SECONDS) == 130
    held.released.set()
    assert output.read_text().endswith("Stopped: 1 of 2 snapshots were captured and stored.\n")


@pytest.mark.parametrize(
    ("shell", "asked"),
    [
        ("bash", {"COMP_WORDS": "ghl-snapshots snapshot --ty", "COMP_CWORD": "2"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "ghl-snapshots snapshot --ty"}),
        (
            "fish",
            {
                "_TYPER_COMPLETE_ARGS": "ghl-snapshots snapshot --ty",
                "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            },
        ),
    ],
)
def test_a_shell_completes_options(tmp_path: Path, shell: str, asked: dict[str, str]) -> None:
    variables = {"_GHL_SNAPSHOTS_COMPLETE": f"complete_{shell}", **asked}
    done = InProcess(home=tmp_path / "home", variables=variables)()
    assert b"--type" in done.stdout
    assert not (tmp_path / "home").exists()


def completed(command: CommandLine, line: str) -> subprocess.CompletedProcess[bytes]:
    """What bash is offered for the last word of a line."""
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    variables = {**command.variables, "_GHL_SNAPSHOTS_COMPLETE": "complete_bash", **asked}
    return InProcess(home=command.home, variables=variables)()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("ghl-snapshots show --tenant ac", ["acme", "acorn"]),
        ("ghl-snapshots export acm", ["acme"]),
        ("ghl-snapshots tenants disable o", ["other"]),
        ("ghl-snapshots tenants add ac", []),
    ],
)
def test_a_shell_completes_tenants_where_one_that_is_there_is_meant(
    ghl_snapshots: CommandLine, line: str, offered: list[str]
) -> None:
    for tenant in ("acme", "acorn", "other"):
        ghl_snapshots("tenants", "add", tenant, "--account", tenant, "--credential", "env:TOKEN")
    assert completed(ghl_snapshots, line).stdout.decode().split() == offered


def test_a_shell_completes_no_tenant_and_says_nothing_where_there_is_no_database(tmp_path: Path) -> None:
    done = completed(CommandLine(home=tmp_path / "home"), "ghl-snapshots show --tenant a")
    assert (done.stdout.strip(), done.stderr) == (b"", b"")
    assert not (tmp_path / "home").exists()
