"""The definitions load anywhere, and describe themselves."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import dagster as dg
import pytest
import yaml

import ghl_snapshots
from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.definitions import definitions
from ghl_snapshots.ghl.endpoint_table import table
from ghl_snapshots.ghl.endpoints import ENDPOINTS
from ghl_snapshots.orchestration.io_manager import SnapshotIOManager
from ghl_snapshots.orchestration.resources import DatabaseResource, GhlResource

PROJECT = Path(ghl_snapshots.__file__).parents[1]
LOAD = """
import socket
def refuse(*_args, **_kwargs):
    raise AssertionError("a connection while loading")
socket.socket.connect = refuse
import dagster as dg
from ghl_snapshots.definitions import definitions
dg.Definitions.validate_loadable(definitions())
"""


def test_loading_needs_no_environment_no_database_and_no_network() -> None:
    """The webserver shows the assets even while everything else is down."""
    environment = {
        name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "PYTHONPATH"}
    }
    subprocess.run([sys.executable, "-c", LOAD], env=environment, cwd=PROJECT, check=True, timeout=60)


def test_there_is_one_asset_for_each_snapshot_type_and_one_for_its_checks() -> None:
    specs = {spec.key.to_user_string(): spec for spec in definitions().resolve_all_asset_specs()}
    assert set(specs) == {*SnapshotType, *(f"ledger/{kind}" for kind in SnapshotType)}
    for kind in SnapshotType:
        [upstream] = specs[f"ledger/{kind}"].deps
        assert upstream.asset_key == dg.AssetKey(kind.value)


@pytest.mark.parametrize("snapshot_type", SnapshotType)
def test_an_assets_description_names_its_calls_and_their_scopes(snapshot_type: SnapshotType) -> None:
    specs = {spec.key: spec for spec in definitions().resolve_all_asset_specs()}
    spec = specs[dg.AssetKey(snapshot_type.value)]
    assert spec.group_name == "ghl_snapshots"
    calls = [endpoint for endpoint in ENDPOINTS if endpoint.snapshot_type is snapshot_type]
    assert table(calls) in (spec.description or "")


def test_the_assets_belong_to_whom_the_settings_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GHL_SNAPSHOTS_ASSET_OWNER", "team:platform")
    assert {tuple(spec.owners) for spec in definitions().resolve_all_asset_specs()} == {("team:platform",)}


def test_everything_that_the_ui_lists_says_what_it_is_for() -> None:
    defined = definitions()
    listed = [*(defined.jobs or []), *(defined.schedules or []), *(defined.sensors or [])]
    assert len(listed) == 18
    silent = [one for one in listed if not getattr(one, "description", None)]
    assert not silent


def test_the_job_full_snapshot_captures_all_types() -> None:
    layer = definitions().resolve_job_def("full_snapshot").asset_layer
    assert {key.to_user_string() for key in layer.executable_asset_keys} == set(SnapshotType)


def test_no_resource_can_be_given_a_secret_in_dagster() -> None:
    """What has no field cannot be filled in, shown or logged; everything comes from the environment."""
    for resource in (DatabaseResource, GhlResource, SnapshotIOManager):
        assert set(resource.model_fields) <= {"database"}


def test_the_workspace_names_the_module_of_the_definitions() -> None:
    workspace = yaml.safe_load((PROJECT / "workspace.yaml").read_text())
    assert workspace == {"load_from": [{"python_module": "ghl_snapshots.definitions"}]}


def test_pyproject_names_the_module_that_the_workspace_names() -> None:
    """Without -w, Dagster takes [tool.dg] instead of workspace.yaml without a word."""
    tools = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]
    assert tools["dg"]["project"]["code_location_target_module"] == "ghl_snapshots.definitions"
    assert "dagster" not in tools


@pytest.mark.slow
def test_dagsters_own_commands_check_the_definitions_in_a_clone_without_a_database(tmp_path: Path) -> None:
    """As in bare CI: no variable of ours, and nothing is left behind."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    dg = Path(sys.executable).parent / "dg"
    done = subprocess.run(
        [dg, "check", "defs"], env=environment, cwd=PROJECT, capture_output=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert b"All definitions loaded successfully." in done.stdout
    assert b"No database is named, so what Dagster notes here is temporary." in done.stderr
    assert not list(tmp_path.glob("ghl_snapshots_*"))


def test_an_installation_whose_database_is_not_named_gets_no_temporary_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "dagster.yaml").write_text((PROJECT / "dagster.yaml").read_text())
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.delenv("GHL_SNAPSHOTS_DAGSTER_DATABASE_URL", raising=False)
    with pytest.raises(ConfigurationError, match=r"GHL_SNAPSHOTS_DAGSTER_DATABASE_URL is not"):
        dg.DagsterInstance.get()
