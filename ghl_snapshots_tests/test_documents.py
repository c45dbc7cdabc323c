"""The documents' commands and examples work, in the order in which a reader meets them."""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest
import requests
import sqlalchemy
import typer
import yaml
from dagster_dg_cli.cli.launch import launch_command

from ghl_snapshots.api.services import Services
from ghl_snapshots.cli.app import app
from ghl_snapshots.core.api_keys import KeyRole
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.local.postgres import EmbeddedPostgres, program
from ghl_snapshots.simulator.generation import demo_accounts, generated_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.api.conftest import served
from ghl_snapshots_tests.cli.in_process import InProcess
from ghl_snapshots_tests.databases import copy_of
from ghl_snapshots_tests.documents import DOCUMENTS, ROOT, Command, commands, fenced, mentioned, sql
from ghl_snapshots_tests.ghl.rig import KEY

pytestmark = pytest.mark.slow

SCRIPTS = Path(sys.executable).parent
NOT_RUN = {
    r"git clone": "the repository's address is not in the document",
    r"make (demo|dev)": "local/test_demo.py and local/test_dev.py run what they run",
    r"make (quick|test)": "these tests",
    r"ghl-snapshots (demo|dev)$": "local/test_demo.py, local/test_dev.py; no other tenants may be there",
    r"ghl-snapshots exec dagster-": "end_to_end/ runs them; they end by a signal",
    r"ghl-snapshots api": "api/test_process.py; it ends by a signal",
    r"ghl-snapshots worker": "end_to_end/test_hosts.py; it needs a broker, and ends by a signal",
    r"ghl-snapshots dagster .*-f reports.py": "test_downstream.py",
    r"ghl-snapshots tenants authorize northwind --code": "cli/test_authorize.py; the customer gives the code",
    r"ghl-snapshots --install-completion": "it writes into the files of whoever runs the tests",
    r'eval "\$\(ghl-snapshots env\)"': "it changes the shell that it is typed into",
    r"dg launch": "`ghl-snapshots dagster asset materialize` is run, which asks for the same",
    r"(pg_dumpall|pg_dump|psql|createdb|pg_restore) ": "ledger/test_backup.py; roles are a whole server's",
    r"export GHL_SNAPSHOTS_DATABASE_URL": "the address of what that back-up was restored into",
    r"(docker|alias dc=|dc|kubectl|helm)\b": "test_image.py and end_to_end/test_k8s.py",
    r"python -m ghl_snapshots_tests": "they write into the repository; other tests compare what they write",
}
"""By a pattern that commands begin with, what else runs them or why nothing does."""


@dataclass(slots=True, kw_only=True)
class Reader:
    """Somebody at a terminal in an empty folder, who fills in what the documents leave open."""

    ghl_snapshots: InProcess
    variables: dict[str, str]
    """Those of `ghl_snapshots`, which an export adds to."""
    filled_in: dict[str, str]
    secrets: dict[str, str]
    """What is exported as `…`, and what is asked for, by its name."""
    digests: set[str] = field(default_factory=set)
    """What openssl, and what the ledger says of the same row."""

    def types(self, command: Command) -> None:
        """Run the command; it must end well."""
        words = Command(command.document, self.fills(command.text)).words
        if words[0] == "export":
            for name, _, value in (word.partition("=") for word in words[1:]):
                self.variables[name] = self.secrets[name] if value.endswith("…") else value
        elif words[0] == "curl":
            self._calls(words[1:])
        elif words[0] == "ghl-snapshots" and words[1] not in ("psql", "dagster") and "|" not in words:
            stdin = self.secrets["refresh token"] if "authorize" in words else ""
            done = self.ghl_snapshots(*words[1:], stdin=stdin.encode())
            assert done.returncode == 0, f"{command}\n{(done.stdout + done.stderr).decode()}"
            if words[1:3] == ["keys", "create"]:
                self.filled_in["$KEY"] = done.stdout.decode().strip()
        else:
            self._runs_in_shell(command)

    def fills(self, text: str) -> str:
        """The text with what this world has in the place of LOCATION_ID and so on."""
        for placeholder, value in self.filled_in.items():
            text = value.join(re.split(rf"(?<![A-Z_]){re.escape(placeholder)}(?![A-Z_])", text))
        # The months of the examples had no captures; tomorrow has all of today's.
        return re.sub(r"2026-03-0[34]", f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}", text)

    def _runs_in_shell(self, command: Command) -> None:
        done = subprocess.run(
            ["/bin/bash", "-o", "pipefail", "-c", self.fills(command.text)],
            env={
                **self.ghl_snapshots.environment(),
                "PATH": os.pathsep.join([str(SCRIPTS), os.environ["PATH"]]),
                "PYTHONUTF8": "1",
            },
            cwd=ROOT if "docs/" in command.text else None,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        if "openssl" in command.text or "encode(chain" in command.text:
            self.digests.add(done.stdout.split()[0])

    def _calls(self, words: list[str]) -> None:
        """As curl does, which need not be installed."""
        parser = argparse.ArgumentParser(exit_on_error=False)
        parser.add_argument("url")
        parser.add_argument("-X", default="GET")
        parser.add_argument("-H", action="append")
        parser.add_argument("-d")
        given = parser.parse_args(words)
        with requests.Session() as session:
            session.trust_env = False
            headers = dict(line.split(": ", 1) for line in given.H)
            answer = session.request(given.X, given.url, headers=headers, data=given.d, timeout=30)
        assert answer.ok, f"{given.url}: {answer.text}"
        self.filled_in["REQUEST_ID"] = answer.json()["requestId"]


@pytest.fixture
def reader(
    postgres: EmbeddedPostgres, empty_product: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Reader]:
    """A reader with the product, the demo's law firm and two customers in it, and a GHL that has acme too."""
    accounts = demo_accounts(1, sizes={"studio_nodes": 1})
    accounts.locations.update(generated_accounts(7, tenants=2).locations)
    [agency] = accounts.agencies.values()
    whitfield, acme, *customers = accounts.single_locations
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:
        simulator = stack.enter_context(Simulator(accounts))
        url = stack.enter_context(copy_of(postgres, empty_product, "documents"))
        stack.enter_context(copy_of(postgres, f"{empty_product}_dagster", "documents_dagster"))
        variables = {
            "GHL_SNAPSHOTS_DATABASE_URL": url,
            "GHL_SNAPSHOTS_ENCRYPTION_KEYS": KEY,
            "GHL_BASE_URL": simulator.base_url,
        }
        ghl_snapshots = InProcess(home=tmp_path / "home", variables=variables)
        names = ["whitfield-family-law", *(f"customer-{number:03}" for number in range(len(customers)))]
        for number, (name, location) in enumerate(zip(names, [whitfield, *customers], strict=True)):
            variables[f"TOKEN_{number}"] = location.private_integration_token
            ghl_snapshots(
                "tenants", "add", name,
                "--account", location.location_id,
                "--credential", f"env:TOKEN_{number}",
            )  # fmt: skip
        assert ghl_snapshots("snapshot", "--tenant", names[0]).returncode == 0
        [stored, *_] = ghl_snapshots("snapshots", "list", "--json").stdout.splitlines()
        services = Services(
            database=stack.enter_context(Database(url)),
            streams=stack.enter_context(Database(url)),
            triggers_per_minute=60,
            open_locally=True,
        )
        schedules = map(json.loads, acme.entities["schedules"])
        of_calendars = (calendar_id for each in schedules for calendar_id in each["calendarIds"])
        filled_in = {
            "http://127.0.0.1:8000": stack.enter_context(served(services)),
            "revoke KEY": f"revoke {services.keys.create(names[:1], KeyRole.READ)[0].key_id}",
            "LOCATION_ID": acme.location_id,
            "COMPANY_ID": agency.company_id,
            "TENANT": "acme",
            "ENTITY_ID": json.loads(acme.entities["pipelines"][0])["id"],
            "WORKFLOW_ID": json.loads(acme.entities["workflows"][0])["id"],
            "AGENT_ID": json.loads(acme.entities["conversation_ai_agents"][0])["id"],
            "CALENDAR_ID": next(of_calendars),
            "SNAPSHOT_ID": json.loads(stored)["snapshotId"],
            "GHL_SNAPSHOTS_DATABASE_URL=...": "",
        }
        secrets = {
            "ACME_GHL_TOKEN": acme.private_integration_token,
            "GHL_OAUTH_CLIENT_ID": accounts.client_id,
            "GHL_OAUTH_CLIENT_SECRET": accounts.client_secret,
            "refresh token": agency.refresh_token,
        }
        yield Reader(ghl_snapshots=ghl_snapshots, variables=variables, filled_in=filled_in, secrets=secrets)


def reason_not_to_run(command: Command) -> str | None:
    """The pattern of NOT_RUN that the command begins with."""
    return next((pattern for pattern in NOT_RUN if re.match(pattern, command.text)), None)


def test_the_documents_commands_and_examples_work(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one test, since each command finds what those before it left."""
    typed: set[str] = set()
    for document in DOCUMENTS:
        for command in commands(document):
            if command.text not in typed and not reason_not_to_run(command):
                reader.types(command)
            typed.add(command.text)
    assert len(reader.digests) == 1, "both ways give the same 64 digits"
    [tenants] = fenced("README.md", "yaml")
    Path("tenants.yaml").write_text(reader.fills(tenants))
    reader.types(Command("README.md", "ghl-snapshots tenants import tenants.yaml"))

    url = reader.variables["GHL_SNAPSHOTS_DATABASE_URL"]
    with psycopg.connect(url, options="-c role=ghl_snapshots_auditor -c search_path=ghl") as auditor:
        for statement in sql("docs/ledger.md"):
            assert auditor.execute(reader.fills(statement).encode()).fetchall(), statement
    [roles, _] = sql("docs/operations.md")  # the other one's roles are there; ledger/test_migrate.py has it
    with psycopg.connect(url) as superuser:
        superuser.execute(roles.replace("ghl_snapshots_dagster", "documents_dagster").encode())
        superuser.rollback()

    for name, value in reader.variables.items():
        monkeypatch.setenv(name, value)
    pandas = ModuleType("pandas")  # which is no dependency of ours
    pandas.read_sql = read_sql  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    _, as_of, counts = fenced("docs/downstream.md", "python")  # the first one is test_downstream.py's
    seen: dict[str, Any] = {}
    exec(as_of.replace("2026, 3, 3", "2100, 3, 3"), seen)  # noqa: S102 (ours)
    assert seen["then"].entities()
    exec(counts, seen)  # noqa: S102 (ours)
    assert seen["counts"]
    seen["engine"].dispose()


def read_sql(statement: str, engine: sqlalchemy.Engine) -> list[Any]:
    """The rows of which pandas makes a table."""
    with engine.connect() as connection:
        return list(connection.execute(sqlalchemy.text(statement)))


def unknown_options(words: list[str]) -> set[str]:
    """The command's options that it does not have, of the programs that are always there."""
    used = {word for word in words if word.startswith("-")}
    if words[0] == "ghl-snapshots":
        node: Any = typer.main.get_command(app)
        for word in words[1:]:
            if not hasattr(node, "commands") or word.startswith("-"):
                break
            node = node.commands[word]
    elif words[0] == "dg":
        node = launch_command  # its --help lists no options
    else:
        path = next(filter(Path.exists, (SCRIPTS / words[0], program(words[0]))), None)
        if path is None:
            return set()
        subcommand = words[1:2] if words[0] == "dagster-daemon" else []
        done = subprocess.run([path, *subcommand, "--help"], capture_output=True, text=True, check=True)
        return used - set(re.findall(r"(?<![\w-])--?[\w-]+", done.stdout))
    return used - {name for parameter in node.params for name in parameter.opts} - {"--help"}


def test_what_is_not_run_here_or_only_mentioned_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    unused = set(NOT_RUN)
    for document in DOCUMENTS:
        left = [command for command in commands(document) if reason_not_to_run(command)]
        unused -= {reason_not_to_run(command) for command in left}
        for command in (*left, *mentioned(document)):
            words = command.words
            if words[:2] == ["ghl-snapshots", "exec"]:
                words = words[2:]
            elif words[:4] == ["dc", "run", "--rm", "worker"]:
                words = ["ghl-snapshots", *words[4:]]
            elif "--" in words:  # behind which a command for somewhere else stands
                words = words[words.index("--") + 1 :]
            if words[0] == "make":
                assert words[1] in targets, str(command)
            elif words[:2] == ["python", "-m"]:
                assert find_spec(words[2]), str(command)
            elif words[:2] not in (["ghl-snapshots", "dagster"], ["ghl-snapshots", "psql"]):
                assert unknown_options(words) == set(), str(command)
    assert not unused, "no command begins so any more"


def test_links_between_the_documents_lead_somewhere_and_readme_has_them_all() -> None:
    linked: set[str] = set()
    for file in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\((?!http)([^)]+)\)", file.read_text(encoding="utf-8")):
            name, _, anchor = link.partition("#")
            target = file.parent / name if name else file
            assert target.exists(), f"{file.name}: {link}"
            if anchor:
                headings = re.findall(r"^#+ (.*)", target.read_text(encoding="utf-8"), re.MULTILINE)
                anchors = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
                assert anchor in anchors, f"{file.name}: {link}"
            if file.name == "README.md":
                linked.add(name)
    assert {f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md")} <= linked


def test_the_documents_workspace_is_the_products() -> None:
    [workspace] = fenced("docs/downstream.md", "yaml")
    [ours] = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    assert yaml.safe_load(workspace)["load_from"][0] == ours
