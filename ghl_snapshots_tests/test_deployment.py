"""What deploy/ ships works: Prometheus takes it, its alerts fire when they should, its metrics exist."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "deploy" / "prometheus"
PROMTOOL = shutil.which("promtool")
_METRIC = re.compile(r"\bghl_snapshot_[a-z_]+")
_SUFFIXES = ("_bucket", "_count", "_sum")


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed: apt-get install prometheus")
@pytest.mark.parametrize(
    "arguments", [("check", "config", "prometheus.yml"), ("test", "rules", "alerts_test.yml")]
)
def test_prometheus_takes_the_configuration_and_its_alerts_fire_when_they_should(
    arguments: tuple[str, ...],
) -> None:
    done = subprocess.run(
        [str(PROMTOOL), *arguments], cwd=FOLDER, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["alerts.yml", "dashboard.json"])
def test_only_metrics_that_the_product_has_are_asked_for(name: str) -> None:
    metrics = (Path(__file__).parents[1] / "ghl_snapshots" / "metrics" / "exposition.py").read_text(
        encoding="utf-8"
    )
    asked = {_base(metric) for metric in _METRIC.findall((FOLDER / name).read_text(encoding="utf-8"))}
    assert len(asked) > 5
    assert {metric for metric in asked if f'"{metric.removesuffix("_total")}"' not in metrics} == set()


def test_the_dashboards_panels_have_an_id_a_place_and_a_query_of_their_own() -> None:
    """Grafana lays panels that overlap over each other, and takes one of two with the same id."""
    panels = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        assert (panel["type"] == "row") != bool(panel.get("targets"))
        place = panel["gridPos"]
        cells = {
            (place["x"] + column, place["y"] + line)
            for column in range(place["w"])
            for line in range(place["h"])
        }
        assert taken.isdisjoint(cells), panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def _base(metric: str) -> str:
    return next((metric.removesuffix(each) for each in _SUFFIXES if metric.endswith(each)), metric)
