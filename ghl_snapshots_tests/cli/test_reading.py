"""What was captured is listed, shown, followed and exported."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots_tests.cli.in_process import InProcess
from ghl_snapshots_tests.command_line import CommandLine
from ghl_snapshots_tests.ledger.captures import capture

MARCH = datetime(2026, 3, 3, 2, tzinfo=UTC)
OLD = b'{"id":"w1",\n "name":"old"}'
NEW = b'{"id":"w1","name":"new"}'


@pytest.fixture
def ghl_snapshots(url: str, database: Database, tmp_path: Path) -> CommandLine:
    """The command line over two captures of acme's workflows, a day apart."""
    ledger = Ledger(database)
    for moment, found in ((MARCH, OLD), (MARCH + timedelta(days=1), NEW)):
        ledger.append(capture("acme", [found], captured_at=moment, snapshot_type=SnapshotType.WORKFLOWS))
    return InProcess(home=tmp_path / "home", variables={"GHL_SNAPSHOTS_DATABASE_URL": url})


def test_snapshots_are_listed_by_tenant_type_status_and_time(ghl_snapshots: CommandLine) -> None:
    def captured(*options: str) -> list[str]:
        lines = ghl_snapshots("snapshots", "list", "--json", *options).stdout.splitlines()
        return [json.loads(line)["capturedAt"][:10] for line in lines]

    assert captured() == ["2026-03-04", "2026-03-03"]
    assert captured("--limit", "1") == ["2026-03-04"]
    assert captured("--until", "2026-03-04") == ["2026-03-03"]
    assert captured("--since", "2026-03-04", "--tenant", "acme", "--type", "workflows") == ["2026-03-04"]
    assert (
        captured("--tenant", "zenith")
        == captured("--type", "pipelines")
        == captured("--status", "failed")
        == []
    )
    table = ghl_snapshots("snapshots", "list").stdout.decode().splitlines()
    assert table[1].split()[:5] == ["2026-03-04T02:00:00", "acme", "workflows", "success", "1"]
    assert b"Unknown tenant 'nobody'" in ghl_snapshots("snapshots", "list", "--tenant", "nobody").stderr


def test_the_latest_snapshot_is_shown_by_tenant_and_type_also_of_an_earlier_moment(
    ghl_snapshots: CommandLine,
) -> None:
    of = ("show", "--tenant", "acme", "--type", "workflows")
    assert ghl_snapshots(*of, "--raw").stdout == NEW + b"\n"
    assert ghl_snapshots(*of, "--as-of", "2026-03-03T12:00:00", "--raw").stdout == OLD + b"\n"
    assert ghl_snapshots(*of, "--as-of", "2026-03-03T12:00:00", "--seq").stdout == b"\x1e" + OLD + b"\n"
    before = ghl_snapshots(*of, "--as-of", "2026-03-01")
    assert before.returncode == 1
    assert b"no snapshot of workflows of tenant 'acme' captured by 2026-03-01 00:00 UTC" in before.stderr
    assert ghl_snapshots("show", "--tenant", "acme").returncode == 2
    assert ghl_snapshots("show", "x", "--tenant", "acme", "--type", "workflows").returncode == 2


def test_an_entitys_history_has_each_content_it_had(ghl_snapshots: CommandLine) -> None:
    lines = ghl_snapshots("history", "acme", "w1", "--json").stdout.splitlines()
    assert [json.loads(line)["body"] for line in lines] == [OLD.decode(), NEW.decode()]
    table = ghl_snapshots("history", "acme", "w1").stdout.decode().splitlines()
    assert table[1].split()[:4] == ["2026-03-03T02:00:00", "2026-03-03T02:00:00", "1", str(len(OLD))]
    other = ghl_snapshots("history", "zenith", "w1")
    assert b"No snapshot of tenant 'zenith' has an entity 'w1'" in other.stderr


def test_a_moment_is_exported_and_an_earlier_export_replaced(
    ghl_snapshots: CommandLine, tmp_path: Path
) -> None:
    folder = tmp_path / "export"
    done = ghl_snapshots("export", "acme", "--as-of", "2026-03-03T12:00:00", "--to", str(folder))
    assert done.returncode == 0, done.stderr
    assert b"Not captured by then: locations, pipelines, calendars, ai_workers." in done.stderr
    [file] = folder.glob("workflows/*/*/*")
    assert (file.name, file.read_bytes()) == ("w1.json", OLD)
    (folder / ".git").mkdir()
    ghl_snapshots("export", "acme", "--to", str(folder))
    assert file.read_bytes() == NEW
    assert (folder / ".git").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("precious")
    refused = ghl_snapshots("export", "acme", "--to", str(tmp_path / "mine"))
    assert refused.returncode == 2
    assert b"holds other things than an export" in refused.stderr


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        ((), b"Say which tenants"),
        (("--all", "--tenant", "acme"), b"Say which tenants"),
        (("--tenant", "nobody*"), b"No enabled tenant matches 'nobody*'"),
        (("--tenant", "acme*", "--tenant", "nobody"), b"Unknown tenant 'nobody'"),
        (("--file", "no-such-file"), b"no-such-file cannot be read: No such file or directory."),
        (("--file", "/dev/null"), b"/dev/null names no tenant."),
    ],
)
def test_what_means_no_tenant_is_refused_before_anything_is_captured(
    ghl_snapshots: CommandLine, options: tuple[str, ...], refusal: bytes
) -> None:
    done = ghl_snapshots("snapshot", *options)
    assert done.returncode == 2
    assert refusal in done.stderr
