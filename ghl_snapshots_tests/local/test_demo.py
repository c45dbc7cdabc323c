"""The demo and captures on demand, run as a user runs them: processes, sockets, PostgreSQL and Dagster."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import LiteralString, TypeAlias

import psutil
import psycopg
import pytest
from psycopg.rows import TupleRow

from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.accounts import Location
from ghl_snapshots.simulator.generation import demo_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.cli.in_process import InProcess
from ghl_snapshots_tests.command_line import CommandLine

pytestmark = pytest.mark.slow

Query: TypeAlias = Callable[[LiteralString], list[TupleRow]]

LINE = re.compile(
    r"^(?P<tenant>[\w-]+) +(?P<type>\w+) +(?P<status>\w+) +(?P<records>[\d,]+) +(?P<calls>[\d,]+) "
    r"+(?P<seconds>[\d.]+) +(?P<checksum>[0-9a-f]{12})$",
    re.MULTILINE,
)
TENANTS = {"northlight-growth-partners", "whitfield-family-law", "ironclad-fitness-collective"}
AWKWARD = [
    b'{"id":"w1","name":"\xf0\x9f\x9a\x80 launch","unknown":{"deep":[{"er":null}]}}',
    rb'{"id":"w2","nul":"\u0000","lone":"\ud800 and \udfff"}',
    b'{"id":"w3","big":123456789012345678901234567890,"price":1.10,"exp":1E5,"tiny":-0.0}',
    b'{"id":"w4","twice":1,"twice":2}',
    b'{"id":"w5", "spaced" : [ 1 ,\t2 ] ,"huge":1e200000}',
    b'{"id":"w6","long":"' + b"x" * 200_000 + b'"}',
]


def printed_rows(output: bytes) -> dict[tuple[str, str], dict[str, str]]:
    """The rows that a command printed, one for each snapshot, by tenant and type."""
    return {(line["tenant"], line["type"]): line.groupdict() for line in LINE.finditer(output.decode())}


def postgres_processes(home: Path) -> list[psutil.Process]:
    data = str(home / "postgres" / "data")
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if data in (process.info["cmdline"] or []) and process.status() != psutil.STATUS_ZOMBIE
    ]


def test_a_reader_that_stops_early_costs_no_snapshot(tmp_path: Path) -> None:
    """`demo | head -2` shows two lines and captures all the same."""
    ghl_snapshots = CommandLine(home=tmp_path)
    assert ghl_snapshots.piped_into_head("demo") == b""
    stored = ghl_snapshots("psql", "-At", "-c", "SELECT count(*) FROM ghl_snapshot WHERE status = 'success'")
    assert int(stored.stdout) == len(TENANTS) * len(SnapshotType)


def test_a_demo_killed_in_the_middle_runs_again(tmp_path: Path) -> None:
    ghl_snapshots = CommandLine(home=tmp_path / "home")
    output = tmp_path / "output"
    with ghl_snapshots.running("demo", output=output) as demo:
        while not printed_rows(output.read_bytes()):
            assert demo.poll() is None, output.read_text()
            time.sleep(0.02)
        demo.kill()
        demo.wait()
    again = ghl_snapshots("demo")
    assert again.returncode == 0, again.stderr
    assert len(printed_rows(again.stdout)) == len(TENANTS) * len(SnapshotType)
    assert not postgres_processes(tmp_path / "home")


@pytest.fixture
def ghl() -> Iterator[Simulator]:
    with Simulator(demo_accounts(7)) as simulator:
        yield simulator


@pytest.fixture
def ghl_snapshots(ghl: Simulator, tmp_path: Path) -> Iterator[CommandLine]:
    """The command line before the simulated GHL, with both single locations as tenants `a` and `b`."""
    first, second = ghl.accounts.single_locations
    with EmbeddedPostgres(tmp_path / "home"):
        command = InProcess(
            home=tmp_path / "home",
            variables={
                "GHL_BASE_URL": ghl.base_url,
                "A_TOKEN": first.private_integration_token,
                "B_TOKEN": second.private_integration_token,
            },
        )
        for tenant, location in (("a", first), ("b", second)):
            added = command(
                "tenants", "add", tenant, "--account", location.location_id,
                "--credential", f"env:{tenant.upper()}_TOKEN",
            )  # fmt: skip
            assert added.returncode == 0, added.stderr
        yield command


@pytest.fixture
def query(ghl_snapshots: CommandLine) -> Query:
    """A function that gives the rows of a query."""

    def rows(sql: LiteralString) -> list[TupleRow]:
        with (
            EmbeddedPostgres(ghl_snapshots.home) as server,
            psycopg.connect(server.url("ghl_snapshots")) as superuser,
        ):
            return superuser.execute(sql).fetchall()

    return rows


def location_of_a(ghl: Simulator) -> Location:
    return ghl.accounts.single_locations[0]


def test_a_wrong_token_costs_its_own_tenant_only_and_names_endpoint_and_cause(
    ghl_snapshots: CommandLine, query: Query
) -> None:
    wrong = InProcess(
        home=ghl_snapshots.home, variables={**ghl_snapshots.variables, "A_TOKEN": "pit-wrong-secret"}
    )
    done = wrong("snapshot", "--tenant", "a", "--tenant", "b")
    assert done.returncode == 1
    lines = printed_rows(done.stdout)
    assert {line["status"] for (tenant, _), line in lines.items() if tenant == "a"} == {"failed"}
    assert {line["status"] for (tenant, _), line in lines.items() if tenant == "b"} == {"success"}
    assert len(lines) == 2 * len(SnapshotType)
    assert done.stdout.count(b"env:A_TOKEN") == 1, "the types have one cause, told with the first of them"
    assert re.search(rb"/\S+ of location \S+: .*env:A_TOKEN", done.stdout)
    assert b"pit-wrong-secret" not in done.stdout + done.stderr
    stored = query("SELECT DISTINCT tenant_id, status FROM ghl.ghl_snapshot")
    assert sorted(stored) == [("a", "failed"), ("b", "success")]


def test_one_type_of_one_tenant_is_captured_and_shown_as_the_exact_bytes_that_were_sent(
    ghl: Simulator, ghl_snapshots: CommandLine, query: Query
) -> None:
    location_of_a(ghl).entities["workflows"] = list(AWKWARD)
    done = ghl_snapshots("snapshot", "--tenant", "a", "--type", "workflows")
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(printed_rows(done.stdout)) == [("a", "workflows")]
    [[snapshot_id]] = query("SELECT snapshot_id FROM ghl.ghl_snapshot")
    assert ghl_snapshots("show", snapshot_id, "--raw").stdout == b"".join(body + b"\n" for body in AWKWARD)
    document = ghl_snapshots("show", snapshot_id).stdout
    assert all(body in document for body in AWKWARD)
    assert ghl_snapshots.piped_into_head("show", snapshot_id) == b""
    assert query("SELECT jsonb_array_length(payload->'data') FROM ghl.ghl_snapshot") == [(6,)]


def test_prompts_nodes_schedules_and_faqs_are_shown_as_the_exact_bytes_that_were_sent(
    ghl: Simulator, ghl_snapshots: CommandLine, query: Query
) -> None:
    """In agents of more than 100 KB too."""
    location = ghl.accounts.single_locations[1]
    done = ghl_snapshots("snapshot", "--tenant", "b", "--type", "ai_workers", "--type", "calendars")
    assert done.returncode == 0, done.stdout + done.stderr
    shown: set[bytes] = set()
    for [snapshot_id] in query("SELECT snapshot_id FROM ghl.ghl_snapshot"):
        shown |= set(ghl_snapshots("show", snapshot_id, "--raw").stdout.splitlines())
    agents = [body for bodies in location.children["agent_studio_details"].values() for body in bodies]
    assert min(map(len, agents)) > 100_000
    for kind in (
        "conversation_ai_details",
        "agent_studio_details",
        "faqs",
        "event_schedules",
        "notifications",
    ):
        held = {body for bodies in location.children[kind].values() for body in bodies}
        assert held
        assert held <= shown
    assert set(location.entities["schedules"]) <= shown


def test_an_altered_body_is_not_shown(ghl_snapshots: CommandLine, query: Query) -> None:
    ghl_snapshots("snapshot", "--tenant", "b", "--type", "workflows")
    with (
        EmbeddedPostgres(ghl_snapshots.home) as server,
        psycopg.connect(server.url("ghl_snapshots")) as superuser,
    ):
        superuser.execute("ALTER TABLE ghl.entity DISABLE TRIGGER append_only")
        superuser.execute("ALTER TABLE ghl.entity DROP CONSTRAINT entity_check")
        superuser.execute("UPDATE ghl.entity SET body = '{}' WHERE id = (SELECT min(id) FROM ghl.entity)")
    [[snapshot_id]] = query("SELECT snapshot_id FROM ghl.ghl_snapshot")
    done = ghl_snapshots("show", snapshot_id, "--raw")
    assert done.returncode == 1
    assert done.stdout == b""
    assert b"is corrupt" in done.stderr


def test_the_simulated_accounts_are_not_mixed_with_other_tenants(ghl_snapshots: CommandLine) -> None:
    done = ghl_snapshots("demo")
    assert done.returncode == 2
    assert b"tenants that are not the demo's (a, b)" in done.stderr
    assert b"ghl-snapshots tenants disable a" in done.stderr
