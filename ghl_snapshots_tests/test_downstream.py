"""Code outside of the product builds on snapshots as docs/downstream.md shows it."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from ghl_snapshots import downstream
from ghl_snapshots.core.errors import SnapshotNotFoundError
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.definitions import all_definitions
from ghl_snapshots.orchestration.launch import capture_now
from ghl_snapshots_tests.orchestration.product import Product

DOCUMENT = Path(__file__).parents[1] / "docs" / "downstream.md"


def example(language: str, holding: str) -> str:
    """The document's example that holds these words."""
    blocks = re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    [found] = [block for block in blocks if holding in block]
    return str(found)


@pytest.mark.slow
def test_a_second_code_location_builds_on_pipelines_in_a_process_of_its_own(
    product: Product, tmp_path: Path
) -> None:
    capture_now(all_definitions(), ["t00"], [SnapshotType.PIPELINES], reason="test")
    file = tmp_path / "reports.py"
    file.write_text(example("python", "def pipeline_names"))
    dagster = str(Path(sys.executable).parent / "dagster")
    command = [
        dagster,
        "asset",
        "materialize",
        "-f",
        str(file),
        "--select",
        "pipeline_names",
        "--partition",
        "t00",
    ]
    done = subprocess.run(
        command, env=os.environ, cwd=tmp_path, capture_output=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    loaded = downstream.latest("t00", "pipelines")
    with product.instance() as instance:
        [record] = instance.fetch_materializations(dg.AssetKey("pipeline_names"), limit=1).records
        assert record.asset_materialization is not None
        names = record.asset_materialization.metadata["names"].value
        assert names == [pipeline["name"] for pipeline in loaded.entities()]
        [upstream] = instance.fetch_materializations(dg.AssetKey("pipelines"), limit=1).records
        assert upstream.asset_materialization is not None
        assert upstream.asset_materialization.metadata["dagster/row_count"].value == len(loaded.bodies)
    [pipeline_id] = [loaded.entities()[0]["id"]]
    assert [version.body for version in downstream.history("t00", pipeline_id)] == [loaded.bodies[0]]
    with pytest.raises(SnapshotNotFoundError, match="no snapshot of pipelines by 2026-01-01 00:00 UTC"):
        downstream.latest("t00", "pipelines", as_of=datetime(2026, 1, 1, tzinfo=UTC))
    [row] = product.rows(
        example("sql", "captured_at").replace("acme", "t00").replace("2026-03-04", "infinity")
    )
    assert len(next(iter(row.values()))) == len(loaded.bodies)  # type: ignore[arg-type]


def test_the_columns_of_the_relations_say_what_they_mean(superuser: psycopg.Connection) -> None:
    rows = superuser.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'ghl.ghl_snapshot'::regclass AND attnum > 0 "
        "AND col_description(attrelid, attnum) IS NULL ORDER BY attnum"
    )
    assert [row[0] for row in rows] == ["snapshot_type", "created_at", "created_by"], (
        "which say it by their names"
    )
