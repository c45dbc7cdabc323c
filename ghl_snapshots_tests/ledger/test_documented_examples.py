"""The scripts in docs/ do what docs/ledger.md says, so that a reader can reproduce it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from psycopg import Connection

from ghl_snapshots.core.model import SnapshotType, Status
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots_tests.ledger.captures import capture

DOCS = Path(__file__).parents[2] / "docs"


def run(script: str, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(DOCS / script), *arguments],
        env={**os.environ, "GHL_SNAPSHOTS_DATABASE_URL": url, "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def chain(ledger: Ledger) -> list[str]:
    """Chain values of three snapshots, with whatever a row's text may hold."""
    captures = [
        capture(correlation_id='tick "1" \\ é 😀'),
        capture(bodies=[], status=Status.FAILED),
        capture(bodies=[b"\xff", b"{}"]),
    ]
    return [ledger.append(one).snapshot.chain for one in captures]


def test_anyone_can_recompute_a_chain_from_the_rows(url: str, chain: list[str]) -> None:
    done = run("recompute_chain.py", url, "acme", "workflows")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[2] for line in lines] == [value[:16] for value in chain], done.stderr
    assert {line[3] for line in lines} == {"holds"}
    assert done.returncode == 0


@pytest.mark.usefixtures("chain")
def test_recomputing_a_chain_shows_what_was_altered(url: str, superuser: Connection) -> None:
    superuser.execute("ALTER TABLE snapshot DISABLE TRIGGER append_only")
    superuser.execute("UPDATE snapshot SET api_calls = 9 WHERE seq = 2")
    done = run("recompute_chain.py", url, "acme", "workflows")
    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["holds", "chain", "holds"]
    assert done.returncode == 1


def test_the_script_answers_how_things_were_and_when_they_changed(url: str, ledger: Ledger) -> None:
    pipelines = [b'{"name":"Sales","stages":[{"name":"New"},{"name":"Won"}]}']
    ledger.append(capture(bodies=pipelines, snapshot_type=SnapshotType.PIPELINES))
    ledger.append(capture(bodies=[b'{"id":"w1","name":"Welcome","status":"draft"}']))
    done = run("read_ledger.py", url, "acme", "2026-03-03T12:00Z", "w1")
    assert done.stdout.splitlines()[:2] == [
        "Pipelines of acme as captured at 2026-03-03 12:00:00+00:00:",
        "  Sales: New, Won",
    ], done.stderr
    assert "Workflow Welcome (draft)" in done.stdout
    early = run("read_ledger.py", url, "acme", "2026-03-03T11:59Z", "w1")
    assert "There is no snapshot of acme's pipelines" in early.stdout
