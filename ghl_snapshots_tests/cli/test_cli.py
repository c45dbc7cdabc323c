"""The command line says what it did, what was wrong and what to do."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import psycopg
import pytest

from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots_tests.cli.in_process import InProcess
from ghl_snapshots_tests.command_line import CommandLine

READING = [
    ["tenants", "list"],
    ["keys", "list"],
    ["config", "--tenant", "acme"],
    ["show", "x"],
    ["snapshots", "list"],
    ["history", "acme", "x"],
    ["export", "acme", "--to", "no-such-folder"],
    ["psql", "-c", "SELECT 1"],
    ["status"],
    ["verify"],
    ["audit"],
]
ACME = ("tenants", "add", "acme", "--account", "loc1", "--credential", "env:ACME_GHL_TOKEN")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server that the commands of this module join, so that each need not start one."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("shared")) as running:
        yield running


@pytest.fixture
def ghl_snapshots(server: EmbeddedPostgres, tmp_path: Path) -> CommandLine:
    """The command line on a database of its own, in this process."""
    url = server.url(f"cli_{tmp_path.name}")
    return InProcess(home=tmp_path / "home", variables={"GHL_SNAPSHOTS_DATABASE_URL": url})


@pytest.fixture
def process(ghl_snapshots: CommandLine) -> CommandLine:
    """The same, each command in a process of its own."""
    return CommandLine(home=ghl_snapshots.home, variables=ghl_snapshots.variables)


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["demo"],
        ["dev"],
        ["api"],
        ["migrate"],
        ["snapshot"],
        ["show"],
        ["snapshots"],
        ["snapshots", "list"],
        ["history"],
        ["export"],
        ["status"],
        ["psql"],
        ["exec"],
        ["worker"],
        ["dagster"],
        ["env"],
        ["config"],
        ["verify"],
        ["audit"],
        ["checkpoint"],
        ["checkpoint", "keygen"],
        ["checkpoint", "create"],
        ["checkpoint", "verify"],
        ["tenants"],
        ["tenants", "add"],
        ["tenants", "update"],
        ["tenants", "list"],
        ["tenants", "import"],
        ["tenants", "disable"],
        ["tenants", "enable"],
        ["tenants", "authorize"],
        ["keys"],
        ["keys", "create"],
        ["keys", "list"],
        ["keys", "revoke"],
    ],
    ids=" ".join,
)
def test_every_command_explains_itself(tmp_path: Path, command: list[str]) -> None:
    done = InProcess(home=tmp_path / "home")(*command, "--help")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Usage: ghl-snapshots" in done.stdout
    assert not (tmp_path / "home").exists(), "help starts nothing"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["migrate"], 0),
        (["config"], 0),
        (["tenants", "add", "acme", "--account", "loc1", "--credential", "env:ACME_GHL_TOKEN"], 0),
        (["tenants", "update", "nobody"], 2),
        (["tenants", "list"], 0),
        (["tenants", "import", "no-such-file.yaml"], 2),
        (["tenants", "disable", "nobody"], 2),
        (["tenants", "enable", "nobody"], 2),
        (["tenants", "authorize", "nobody"], 2),
        (["keys", "create", "--tenant", "nobody"], 2),
        (["keys", "list"], 0),
        (["keys", "revoke", "no-such-key"], 2),
        (["audit"], 0),
        (["status"], 0),
        (["verify"], 0),
        (["checkpoint", "keygen", "no-such-folder/key"], 2),
        (["checkpoint", "create"], 2),
        (["checkpoint", "verify", "no-such-file.json"], 2),
        (["show", "no-such-id"], 1),
        (["snapshots", "list"], 0),
        (["history", "no-such-id", "--tenant", "nobody"], 2),
        (["export", "nobody", "--to", "no-such-folder"], 2),
        (["snapshot", "--tenant", "nobody"], 2),
        (["psql", "-c", "SELECT 1"], 0),
        (["env"], 0),
        (["snapshoot"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_command_is_a_process_with_an_exit_code(
    ghl_snapshots: CommandLine, process: CommandLine, command: list[str], code: int
) -> None:
    """What they print is tested in this process; `demo`, `dev` and `api` have tests of their own."""
    ghl_snapshots("migrate")
    done = process(*command)
    assert done.returncode == code, done.stderr
    assert b"Traceback" not in done.stderr
    assert bool(done.stderr) == bool(code)


def test_the_version_is_printed(tmp_path: Path) -> None:
    done = InProcess(home=tmp_path / "home")("--version")
    assert (done.returncode, done.stdout) == (0, f"ghl-snapshots {version('ghl-snapshots')}\n".encode())


def test_an_interruption_while_the_program_is_being_loaded_is_no_traceback() -> None:
    interrupted = """
import signal, sys
class Interrupting:
    @staticmethod
    def find_spec(name, *_):
        if name == "typer":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Interrupting)
from ghl_snapshots.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", interrupted], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (130, b"")


def test_an_unknown_command_is_wrong_usage(tmp_path: Path) -> None:
    done = InProcess(home=tmp_path / "home")("snapshoot")
    assert done.returncode == 2
    assert b"No such command" in done.stderr


def test_the_empty_registry_says_how_to_add_a_tenant(ghl_snapshots: CommandLine) -> None:
    ghl_snapshots("migrate")
    done = ghl_snapshots("tenants", "list")
    assert done.returncode == 0
    assert b"No tenants yet. Add one: ghl-snapshots tenants add" in done.stdout


def test_a_tenant_is_added_once_and_listed_with_its_reference(ghl_snapshots: CommandLine) -> None:
    assert b"ghl-snapshots snapshot --tenant acme" in ghl_snapshots(*ACME).stdout
    again = ghl_snapshots(*ACME)
    assert again.returncode == 2
    assert b"'acme' exists already" in again.stderr
    long = "x" * 64
    ghl_snapshots("tenants", "add", long, "--account", "y" * 64, "--credential", f"env:{'Z' * 64}")
    listed = [line.split() for line in ghl_snapshots("tenants", "list").stdout.decode().splitlines()]
    assert listed[1] == ["acme", "loc1", "location", "env:ACME_GHL_TOKEN", "yes", "-"]
    assert listed[2] == [long, "y" * 64, "location", f"env:{'Z' * 64}", "yes", "-"], "nothing is cut off"


def test_a_tenant_is_updated_in_what_is_given(ghl_snapshots: CommandLine) -> None:
    ghl_snapshots(*ACME)
    changed = ghl_snapshots(
        "tenants", "update", "acme", "--account", "loc2", "--set", "max_attempts=2", "--set", "concurrency=3"
    )
    assert changed.stdout == b"Updated acme.\n"
    assert ghl_snapshots("tenants", "update", "acme").stdout == b"acme is unchanged.\n"
    for option in ("--account", "--credential"):
        assert ghl_snapshots("tenants", "update", "acme", option, "").returncode == 2
    assert b"does not override daily" in ghl_snapshots("tenants", "update", "acme", "--unset", "daily").stderr
    refused = ghl_snapshots("tenants", "update", "acme", "--set", "max_attempts=0", "--unset", "concurrency")
    assert refused.returncode == 2
    assert b"Override max_attempts: Input should be greater than or equal to 1" in refused.stderr
    ghl_snapshots("tenants", "update", "acme", "--unset", "concurrency")
    listed = ghl_snapshots("tenants", "list").stdout.decode().splitlines()
    assert listed[1].split() == ["acme", "loc2", "location", "env:ACME_GHL_TOKEN", "yes", "max_attempts=2"]
    config = ghl_snapshots("config", "--tenant", "acme").stdout.decode()
    assert "max_attempts=2   overridden for acme; GHL_SNAPSHOTS_MAX_ATTEMPTS has 4\n" in config
    assert "concurrency=32\n" in config
    assert b"Unknown tenant 'nobody'" in ghl_snapshots("config", "--tenant", "nobody").stderr


def test_a_token_given_instead_of_a_reference_is_refused_and_not_repeated(ghl_snapshots: CommandLine) -> None:
    done = ghl_snapshots("tenants", "add", "acme", "--account", "loc1", "--credential", "pit-secret")
    assert done.returncode == 2
    assert b"must be a reference" in done.stderr
    assert b"pit-secret" not in done.stdout + done.stderr


def test_a_tenant_is_disabled_and_enabled(ghl_snapshots: CommandLine) -> None:
    ghl_snapshots(*ACME)
    assert b"its snapshots stay" in ghl_snapshots("tenants", "disable", "acme").stdout
    assert b"was disabled already" in ghl_snapshots("tenants", "disable", "acme").stdout
    refused = ghl_snapshots("snapshot", "--tenant", "acme")
    assert refused.returncode == 2
    assert b"ghl-snapshots tenants enable acme" in refused.stderr
    assert b"Enabled acme" in ghl_snapshots("tenants", "enable", "acme").stdout


def test_an_unknown_tenant_is_named(ghl_snapshots: CommandLine) -> None:
    for command in (["tenants", "disable", "nobody"], ["snapshot", "--tenant", "nobody"]):
        done = ghl_snapshots(*command)
        assert done.returncode == 2
        assert b"Unknown tenant 'nobody'" in done.stderr


def test_a_file_of_tenants_is_imported_whole_or_not_at_all(
    ghl_snapshots: CommandLine, tmp_path: Path
) -> None:
    good = "- {id: a, account: loc1, credential: 'env:A'}"
    bad = "- {id: b, account: loc2, credential: token}"
    file = tmp_path / "tenants.yaml"
    file.write_text(f"tenants:\n{good}\n{bad}\n")
    ghl_snapshots("migrate")
    refused = ghl_snapshots("tenants", "import", str(file))
    assert refused.returncode == 2
    assert b"tenant 2" in refused.stderr
    assert b"No tenants yet" in ghl_snapshots("tenants", "list").stdout
    file.write_text(f"tenants:\n{good}\n")
    assert b"1 of 1 tenants added or updated" in ghl_snapshots("tenants", "import", str(file)).stdout
    assert b"0 of 1 tenants added or updated" in ghl_snapshots("tenants", "import", str(file)).stdout


def test_migrating_again_finds_nothing_to_do(ghl_snapshots: CommandLine) -> None:
    migrated = b"Migrated the database from version 0 (empty) to 1: 0001_ledger.\n"
    assert ghl_snapshots("migrate").stdout == migrated
    assert b"nothing to do" in ghl_snapshots("migrate").stdout


def test_what_migrates_beside_its_work_says_so_on_stderr(ghl_snapshots: CommandLine) -> None:
    done = ghl_snapshots(*ACME)
    assert done.stderr == b"Migrated the database from version 0 (empty) to 1: 0001_ledger.\n"
    assert ghl_snapshots("tenants", "disable", "acme").stderr == b""


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_reading_where_nothing_is_makes_nothing_and_says_where_it_looked(
    tmp_path: Path, command: list[str]
) -> None:
    home = tmp_path / "home"
    done = InProcess(home=home)(*command)
    assert done.returncode == 2
    assert f"There is no database in {home}, and reading makes none.".encode() in done.stderr
    assert b"run `ghl-snapshots demo` or `ghl-snapshots migrate`" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_reading_does_not_migrate(ghl_snapshots: CommandLine, server: EmbeddedPostgres) -> None:
    for command in READING:
        done = ghl_snapshots(*command)
        assert done.returncode == 1, command
        assert b" is missing and this release needs version 1: run `ghl-snapshots migrate`." in done.stderr
    with psycopg.connect(server.url("postgres")) as connection:
        name = ghl_snapshots.variables["GHL_SNAPSHOTS_DATABASE_URL"].partition("?")[0].rpartition("/")[2]
        assert f"database {name} on ".encode() in done.stderr
        found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [name])
        assert found.rowcount == 0
    assert not ghl_snapshots.home.exists()


def test_an_unknown_snapshot_is_named(ghl_snapshots: CommandLine) -> None:
    ghl_snapshots("migrate")
    done = ghl_snapshots("show", "no-such-id")
    assert done.returncode == 1
    assert b"There is no snapshot 'no-such-id'" in done.stderr


def test_a_refresh_token_is_read_from_standard_input_and_stored_encrypted(
    ghl_snapshots: CommandLine,
) -> None:
    keyed = InProcess(
        home=ghl_snapshots.home,
        variables={
            **ghl_snapshots.variables,
            "GHL_SNAPSHOTS_ENCRYPTION_KEYS": "7W0mzrKq0E3l2N8cQ1o3mXW2l0p3T5m8yB7r1dVqk0s=",
        },
    )
    keyed("tenants", "add", "agency", "--account", "comp1", "--credential", "oauth", "--agency")
    assert b"No refresh token" in keyed("tenants", "authorize", "agency").stderr
    assert keyed("tenants", "authorize", "agency", stdin=b"refresh-secret\n").returncode == 0
    process = CommandLine(home=keyed.home, variables=keyed.variables)
    dump = process("psql", "-c", "RESET ROLE", "-c", "SELECT * FROM pg_roles").stdout
    assert b"refresh-secret" not in dump


def test_without_an_encryption_key_a_refresh_token_is_refused(ghl_snapshots: CommandLine) -> None:
    ghl_snapshots("tenants", "add", "agency", "--account", "comp1", "--credential", "oauth", "--agency")
    refused = ghl_snapshots("tenants", "authorize", "agency", stdin=b"refresh-secret\n")
    assert refused.returncode == 2
    assert b"GHL_SNAPSHOTS_ENCRYPTION_KEYS is not set" in refused.stderr


def test_what_reads_across_tenants_uses_the_login_that_was_given_for_it(
    ghl_snapshots: CommandLine, server: EmbeddedPostgres
) -> None:
    ghl_snapshots(*ACME)
    url = ghl_snapshots.variables["GHL_SNAPSHOTS_DATABASE_URL"]
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(
            "CREATE ROLE ghl_capture LOGIN IN ROLE ghl_snapshots_writer, ghl_snapshots_reader; "
            "CREATE ROLE ghl_audit LOGIN IN ROLE ghl_snapshots_auditor"
        )
        capturing = {"GHL_SNAPSHOTS_DATABASE_URL": url.replace("//postgres@", "//ghl_capture@")}
        auditing = {"GHL_SNAPSHOTS_AUDITOR_DATABASE_URL": url.replace("//postgres@", "//ghl_audit@")}
        try:
            alone = InProcess(home=ghl_snapshots.home, variables=capturing)
            both = InProcess(home=ghl_snapshots.home, variables={**capturing, **auditing})
            assert b"permission denied to set role" in alone("tenants", "list").stderr
            assert b"acme" in both("tenants", "list").stdout
            process = CommandLine(home=both.home, variables=both.variables)
            assert process("psql", "-At", "-c", "SELECT session_user").stdout == b"ghl_audit\n"
            assert b"no problem found" in both("verify", "--deep").stdout
            assert b"GHL_SNAPSHOTS_AUDITOR_DATABASE_URL=(set)" in both("config").stdout
        finally:
            connection.execute("DROP ROLE ghl_capture, ghl_audit")


def test_a_login_to_read_with_needs_a_database_to_read(tmp_path: Path) -> None:
    variables = {"GHL_SNAPSHOTS_AUDITOR_DATABASE_URL": "postgresql://u:hunter2@127.0.0.1/x"}
    done = InProcess(home=tmp_path / "home", variables=variables)("migrate")
    assert done.returncode == 2
    assert b"set without GHL_SNAPSHOTS_DATABASE_URL" in done.stderr
    assert b"hunter2" not in done.stderr


def test_psql_reads_every_tenant_and_changes_nothing(
    ghl_snapshots: CommandLine, process: CommandLine
) -> None:
    ghl_snapshots(*ACME)
    read = process("psql", "-At", "-c", "SELECT tenant_id FROM tenant")
    assert read.stdout == b"acme\n"
    refused = process("psql", "-c", "INSERT INTO schema_version VALUES (99)")
    assert refused.returncode != 0
    assert b"permission denied" in refused.stderr


@pytest.mark.slow
def test_dagsters_own_commands_run_on_the_products_instance(
    ghl_snapshots: CommandLine, process: CommandLine
) -> None:
    ghl_snapshots("migrate")
    listed = process("dagster", "asset", "list")
    assert listed.stdout.decode().splitlines() == sorted(SnapshotType)
    info = process("dagster", "instance", "info")
    assert (info.returncode, b"event_log_storage: EventLog\n" in info.stdout) == (0, True), info.stderr
    assert f"$DAGSTER_HOME: {ghl_snapshots.home}/dagster\n".encode() in info.stdout
    assert process("dagster", "no-such-command").returncode == 2
    assert b"Serve the Dagster inter-process API" in process("dagster", "api", "grpc", "--help").stdout
    exported = ghl_snapshots("env").stdout.decode()
    assert f"export DAGSTER_HOME={ghl_snapshots.home}/dagster\n" in exported
    assert "export GHL_SNAPSHOTS_DAGSTER_DATABASE_URL='postgresql+psycopg2://" in exported
    assert "GHL_SNAPSHOTS_DATABASE_URL" not in exported, "it is set already"


def test_the_environment_for_other_processes_holds_what_an_embedded_server_needs(tmp_path: Path) -> None:
    done = InProcess(home=tmp_path / "my home")("env")
    exported = {shlex.split(line)[1].partition("=")[0]: line for line in done.stdout.decode().splitlines()}
    assert exported.keys() == {
        "DAGSTER_HOME",
        "GHL_SNAPSHOTS_DAGSTER_DATABASE_URL",
        "GHL_SNAPSHOTS_DATABASE_URL",
        "GHL_SNAPSHOTS_ENCRYPTION_KEYS",
    }
    assert exported["DAGSTER_HOME"] == f"export DAGSTER_HOME='{tmp_path}/my home/dagster'"
    assert b"The embedded PostgreSQL runs while a command of the product does" in done.stderr


def test_a_newer_database_is_left_alone(ghl_snapshots: CommandLine) -> None:
    ghl_snapshots("migrate")
    with psycopg.connect(ghl_snapshots.variables["GHL_SNAPSHOTS_DATABASE_URL"]) as connection:
        connection.execute("INSERT INTO schema_version VALUES (99, sha256(''))")
    for arguments in (ACME, ("keys", "create", "--tenant", "acme"), ("snapshot", "--tenant", "acme")):
        done = ghl_snapshots(*arguments)
        assert done.returncode == 1, arguments
        assert b"schema is at 99, newer than this release's" in done.stderr
        assert b"Traceback" not in done.stderr


def test_a_server_that_does_not_answer_is_said_in_one_line_without_the_password(tmp_path: Path) -> None:
    url = "postgresql://user:hunter2@127.0.0.1:1/ghl"
    done = CommandLine(home=tmp_path, variables={"GHL_SNAPSHOTS_DATABASE_URL": url})("migrate")
    assert done.returncode == 1
    assert b"Connection refused" in done.stderr
    assert b"hunter2" not in done.stdout + done.stderr
    assert b"Traceback" not in done.stderr


def test_a_wrong_setting_is_named_without_its_value(tmp_path: Path) -> None:
    done = InProcess(home=tmp_path, variables={"GHL_BASE_URL": "not a url"})("migrate")
    assert done.returncode == 2
    assert b"GHL_BASE_URL" in done.stderr
    assert json.dumps("not a url").encode() not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_one_line() -> None:
    command = [sys.executable, "-m", "ghl_snapshots", "config"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "No space left on device. Make room" in done.stderr


def test_the_configuration_is_shown_with_its_meaning_and_without_its_secrets(tmp_path: Path) -> None:
    variables = {
        "GHL_SNAPSHOTS_DATABASE_URL": "postgresql://user:hunter2@127.0.0.1:1/ghl",
        "GHL_OAUTH_CLIENT_SECRET": "client-secret",
        "GHL_SNAPSHOTS_CONCURRENCY": "7",
    }
    done = InProcess(home=tmp_path, variables=variables)("config")
    assert done.returncode == 0
    assert b"GHL_SNAPSHOTS_CONCURRENCY=7\n    Requests under way at once" in done.stdout
    assert b"GHL_SNAPSHOTS_DATABASE_URL=(set)" in done.stdout
    assert b"GHL_SNAPSHOTS_ENCRYPTION_KEYS=(unset)" in done.stdout
    assert b"hunter2" not in done.stdout
    assert b"client-secret" not in done.stdout


def test_an_untouched_ledger_verifies(ghl_snapshots: CommandLine) -> None:
    ghl_snapshots("migrate")
    done = ghl_snapshots("verify", "--deep", "--since", "2026-01-01")
    assert done.returncode == 0, done.stderr
    assert b"Verified 0 snapshots, 0 payloads, 0 entities (0 bytes): no problem found." in done.stdout


def test_verifying_a_tenant_that_is_not_known_is_refused(ghl_snapshots: CommandLine) -> None:
    ghl_snapshots("migrate")
    done = ghl_snapshots("verify", "--tenant", "acmee")
    assert done.returncode == 2
    assert b"Unknown tenant 'acmee'" in done.stderr


def test_checkpoints_are_signed_with_a_key_that_is_made_once(
    ghl_snapshots: CommandLine, tmp_path: Path
) -> None:
    ghl_snapshots("migrate")
    key, file = tmp_path / "key", tmp_path / "checkpoint.json"
    assert b"GHL_SNAPSHOTS_CHECKPOINT_KEY" in ghl_snapshots("checkpoint", "create").stderr
    assert ghl_snapshots("checkpoint", "keygen", str(key)).returncode == 0
    assert key.stat().st_mode & 0o777 == 0o600
    assert b"exists already" in ghl_snapshots("checkpoint", "keygen", str(key)).stderr
    made = ghl_snapshots("checkpoint", "create", "--key", str(key), "--output", str(file))
    assert made.returncode == 0, made.stderr
    public = str(tmp_path / "key.pub")
    assert b"no problem found" in ghl_snapshots("checkpoint", "verify", str(file), "--key", public).stdout
    file.write_text(file.read_text().replace("2026", "2025"))
    altered = ghl_snapshots("checkpoint", "verify", str(file), "--key", public)
    assert altered.returncode == 1
    assert b"was altered, or signed with another key" in altered.stdout


def test_another_program_gets_the_environment_that_dagster_needs(tmp_path: Path) -> None:
    ghl_snapshots = CommandLine(
        home=tmp_path,
        variables={
            "GHL_SNAPSHOTS_DATABASE_URL": "postgresql://user@host/ledger",
            "GHL_SNAPSHOTS_MAX_CONCURRENT_RUNS": "9",
        },
    )
    show = "import os, sys; print(*[os.environ[name] for name in sys.argv[2:]], sys.argv[1])"
    names = ("GHL_SNAPSHOTS_DAGSTER_DATABASE_URL", "DAGSTER_HOME")
    done = ghl_snapshots("exec", "python", "-c", show, "-h", *names)
    home = tmp_path / "dagster"
    assert done.stdout.decode().split() == ["postgresql+psycopg2://user@host/ledger_dagster", str(home), "-h"]
    assert "max_concurrent_runs: 9" in (home / "dagster.yaml").read_text()


def test_a_program_that_there_is_not_is_named(tmp_path: Path) -> None:
    command = InProcess(home=tmp_path, variables={"GHL_SNAPSHOTS_DATABASE_URL": "postgresql://user@host/x"})
    done = command("exec", "dagster-demon", "run")
    assert done.returncode == 2
    assert b"'dagster-demon'" in done.stderr


def test_a_program_that_needs_the_embedded_server_is_waited_for(tmp_path: Path) -> None:
    show = (
        "import os, psycopg; psycopg.connect(os.environ['GHL_SNAPSHOTS_DATABASE_URL']); raise SystemExit(7)"
    )
    done = InProcess(home=tmp_path / "home")("exec", "python", "-c", show)
    assert (done.returncode, b"Migrated the database" in done.stderr) == (7, True), done.stderr


def test_a_worker_without_the_launcher_that_gives_it_runs_says_what_to_set(tmp_path: Path) -> None:
    command = InProcess(home=tmp_path, variables={"GHL_SNAPSHOTS_DATABASE_URL": "postgresql://user@host/x"})
    done = command("worker")
    assert done.returncode == 2
    assert b"GHL_SNAPSHOTS_RUN_LAUNCHER=celery" in done.stderr
