"""What deploy/ ships works: Prometheus takes it, its alerts fire when they should, its metrics exist.

Compose and Kubernetes take what is for them, by the schemas of both; what only an engine or a cluster shows
is not tested. test_image.py holds the image, end_to_end/test_k8s.py the Jobs.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import kubernetes.client
import pytest
import yaml
from dagster_k8s.models import k8s_model_from_dict, k8s_snake_case_dict

from ghl_snapshots.core.settings import Settings, describe_settings
from ghl_snapshots.core.tokens import EXCHANGE_SECONDS

DEPLOY = Path(__file__).parents[1] / "deploy"
FOLDER = DEPLOY / "prometheus"
COMPOSE_FILE = DEPLOY / "compose.yaml"
COMPOSE = yaml.safe_load(COMPOSE_FILE.read_text("utf-8"))
PRODUCT = {name: it for name, it in COMPOSE["services"].items() if it["image"].startswith("ghl_snapshots:")}
MANIFESTS = [
    manifest
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for manifest in yaml.safe_load_all(path.read_text("utf-8"))
    if "kind" in manifest
]
VALUES = yaml.safe_load((DEPLOY / "kubernetes" / "values.yaml").read_text("utf-8"))
PROMTOOL = shutil.which("promtool")
_METRIC = re.compile(r"\bghl_snapshot_[a-z_]+")
_SUFFIXES = ("_bucket", "_count", "_sum")


@pytest.mark.slow
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


def test_compose_takes_the_file() -> None:
    lint = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        str(COMPOSE_FILE),
    ]
    done = subprocess.run(lint, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_gives_the_product_settings_that_it_has() -> None:
    settings = {line.partition("=")[0] for line in describe_settings(Settings()) if not line.startswith(" ")}
    given = {name for service in PRODUCT.values() for name in service["environment"]}
    asked = set(re.findall(r"\$\{([A-Z_]+)", COMPOSE_FILE.read_text("utf-8")))
    assert (given | asked) - settings == {"POSTGRES_PASSWORD"}


def test_compose_starts_each_process_from_the_one_image_and_lets_it_finish_an_exchange() -> None:
    assert set(PRODUCT) == {"migrate", "code", "webserver", "daemon", "worker", "api"}
    for name, service in PRODUCT.items():
        assert service["read_only"], name
        assert int(service["stop_grace_period"].removesuffix("s")) > EXCHANGE_SECONDS
        assert "healthcheck" in service or name in {"migrate", "worker"}
    assert not {"ports", "container_name"} & PRODUCT["worker"].keys(), "of which there may be any number"


def test_compose_has_files_for_what_it_gives_a_read_only_container() -> None:
    """Anything else it copies into the container, which is then refused."""
    for service in COMPOSE["services"].values():
        given = [COMPOSE["configs"][config["source"]] for config in service.get("configs", ())]
        given += [COMPOSE["secrets"][name] for name in service.get("secrets", ())]
        assert not service.get("read_only") or all((DEPLOY / each["file"]).exists() for each in given)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda it: f"{it['kind']} {it['metadata']['name']}")
def test_kubernetes_takes_the_manifest(manifest: dict[str, Any]) -> None:
    """By its client, which is made from its schema: no field that it does not know, none missing."""
    model = getattr(kubernetes.client, f"V1{manifest['kind']}")
    k8s_model_from_dict(model, k8s_snake_case_dict(model, manifest))


def test_every_pod_of_the_product_has_one_image_and_no_rights() -> None:
    [code] = VALUES["dagster-user-deployments"]["deployments"]
    servers = [VALUES["dagsterWebserver"], VALUES["dagsterDaemon"], code]
    images = {f"{server['image']['repository']}:{server['image']['tag']}" for server in servers}
    containers = [
        *(container for server in servers for container in server.get("extraPrependedInitContainers", ())),
        *(container for container in _containers() if "prom/prometheus" not in container["image"]),
    ]
    images |= {container["image"] for container in containers} | {it["image"] for it in PRODUCT.values()}
    assert images == {f"ghl_snapshots:{version('ghl-snapshots')}"}
    restricted = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
    }
    for each in (*servers, *_containers()):
        assert each["securityContext"] == restricted


def test_the_chart_that_is_installed_is_that_of_the_image() -> None:
    installed = re.search(
        r"dagster/dagster --version (\S+)", (DEPLOY.parent / "docs" / "scaling.md").read_text("utf-8")
    )
    assert installed
    assert installed[1] == version("dagster")


def _containers() -> Iterator[dict[str, Any]]:
    for manifest in MANIFESTS:
        pod = manifest.get("spec", {}).get("template", {}).get("spec", {})
        yield from (*pod.get("initContainers", ()), *pod.get("containers", ()))


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed: apt-get install prometheus")
def test_prometheus_takes_the_configuration_of_compose_and_of_kubernetes(tmp_path: Path) -> None:
    [in_cluster] = [
        manifest["data"]["prometheus.yml"] for manifest in MANIFESTS if manifest["kind"] == "ConfigMap"
    ]
    for number, content in enumerate((COMPOSE["configs"]["prometheus"]["content"], in_cluster)):
        path = tmp_path / f"{number}.yml"
        path.write_text(content)
        command = [str(PROMTOOL), "check", "config", "--syntax-only", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        [job] = yaml.safe_load(content)["scrape_configs"]
        assert job["job_name"] == "ghl_snapshots", "the rules ask for it"


def _base(metric: str) -> str:
    return next((metric.removesuffix(each) for each in _SUFFIXES if metric.endswith(each)), metric)
