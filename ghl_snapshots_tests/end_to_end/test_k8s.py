"""Runs as Kubernetes Jobs, at a stand-in of the Kubernetes API that executes them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin

from ghl_snapshots.core.tokens import EXCHANGE_SECONDS
from ghl_snapshots.definitions import all_definitions
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.orchestration.partitions import TenantRange, add_partitions
from ghl_snapshots_tests.end_to_end.exchanges import accounts_kept, exchanges, held_exchange
from ghl_snapshots_tests.end_to_end.kubernetes_api import Cluster, Pod, running_cluster
from ghl_snapshots_tests.ghl.rig import KEY
from ghl_snapshots_tests.held_answers import TIMEOUT_SECONDS
from ghl_snapshots_tests.orchestration.product import Product, running_product
from ghl_snapshots_tests.waiting import eventually

VALUES = yaml.safe_load(
    (Path(__file__).parents[2] / "deploy" / "kubernetes" / "values.yaml").read_text(encoding="utf-8")
)
STATE = "/var/lib/ghl_snapshots"


@dataclass(frozen=True, slots=True)
class Deployment:
    """The product, whose runs are Jobs of the cluster."""

    product: Product
    cluster: Cluster
    instance: dg.DagsterInstance

    def launch(self, tenant_id: str) -> str:
        """Start a run as the daemon does with one that leaves the queue; its id."""
        tags = TenantRange(first=tenant_id, last=tenant_id).tags()
        run = self.instance.create_run_for_job(
            all_definitions().resolve_job_def("full_snapshot"),
            asset_selection={dg.AssetKey("workflows")},
            tags=tags,
            job_code_origin=_origin("full_snapshot"),
        )
        self.instance.launch_run(run.run_id, None)  # type: ignore[arg-type]  # the launcher needs no workspace
        return run.run_id

    def pod(self, run_id: str) -> Pod:
        """The pod that executes a run."""
        return self.cluster.pods[f"dagster-run-{run_id}"]

    def finished(self, run_id: str) -> dg.DagsterRun:
        """The run, once its pod is gone."""
        eventually(lambda: self.pod(run_id).process.poll() is not None, f"the pod of run {run_id} ends")
        run = self.instance.get_run_by_id(run_id)
        assert run, self.cluster.log(f"dagster-run-{run_id}")
        return run


def _origin(job_name: str) -> JobPythonOrigin:
    """What the chart's code server says of a job: its image, and what the chart puts into its Jobs."""
    [deployment] = VALUES["dagster-user-deployments"]["deployments"]
    image = deployment["image"]
    context = {
        "image_pull_policy": image["pullPolicy"],
        "env_config_maps": [f"dagster-{deployment['name']}-user-env"],
        "env_secrets": [secret["name"] for secret in deployment["envSecrets"]],
        "volumes": deployment["volumes"],
        "volume_mounts": deployment["volumeMounts"],
        "resources": deployment["resources"],
        "env": deployment["env"],
        "namespace": "ghl-snapshots",
        "service_account_name": VALUES["global"]["serviceAccountName"],
    }
    repository = RepositoryPythonOrigin(
        executable_path="python",
        code_pointer=ModuleCodePointer("ghl_snapshots.definitions", "definitions"),
        container_image=f"{image['repository']}:{image['tag']}",
        entry_point=["dagster"],
        container_context={"k8s": context},
    )
    return JobPythonOrigin(job_name, repository)


@pytest.fixture
def deployment(
    postgres: EmbeddedPostgres, empty_product: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Deployment]:
    monkeypatch.setenv("GHL_SNAPSHOTS_RUN_LAUNCHER", "k8s")
    monkeypatch.setenv("GHL_SNAPSHOTS_ENCRYPTION_KEYS", KEY)
    with running_product(postgres, empty_product, tmp_path, tenants=3) as product:
        accounts = product.simulator.accounts
        secret = {
            "GHL_SNAPSHOTS_DATABASE_URL": product.superuser_url,
            "GHL_SNAPSHOTS_ENCRYPTION_KEYS": KEY,
            "GHL_SNAPSHOTS_RUN_LAUNCHER": "k8s",
            "GHL_BASE_URL": product.simulator.base_url,
            "GHL_OAUTH_CLIENT_ID": accounts.client_id,
            "GHL_OAUTH_CLIENT_SECRET": accounts.client_secret,
        }
        tokens = {"TOKEN_t00": product.location("t00").private_integration_token}
        secrets = {"ghl-snapshots": secret, "ghl-snapshots-tenants": tokens}
        image = {"GHL_SNAPSHOTS_HOME": STATE, "TMPDIR": STATE}
        folder = tmp_path / "cluster"
        folder.mkdir()
        with (
            running_cluster(folder, secrets=secrets, image_environment=image) as cluster,
            _instance_at(cluster) as instance,
        ):
            add_partitions(instance, product.tenant_ids)
            yield Deployment(product, cluster, instance)


def _instance_at(cluster: Cluster) -> dg.DagsterInstance:
    """The instance of DAGSTER_HOME, except that its launcher finds the API by a file and not as in a pod."""
    with dg.DagsterInstance.get() as configured:
        reference = configured.get_ref()
    launcher = reference.run_launcher_data
    assert launcher
    config = yaml.safe_load(launcher.config_yaml)
    config |= {"load_incluster_config": False, "kubeconfig_file": str(cluster.kubeconfig)}
    launcher = launcher._replace(config_yaml=yaml.safe_dump(config))
    return dg.DagsterInstance.from_ref(reference._replace(run_launcher_data=launcher))


def test_a_job_captures_and_one_that_is_canceled_or_evicted_loses_no_token(deployment: Deployment) -> None:
    product, instance = deployment.product, deployment.instance
    held = {tenant_id: held_exchange(product, tenant_id) for tenant_id in ("t01", "t02")}
    runs = {tenant_id: deployment.launch(tenant_id) for tenant_id in product.tenant_ids}

    for exchange in held.values():
        assert exchange.reached.wait(TIMEOUT_SECONDS)
    assert instance.run_launcher.terminate(runs["t01"])
    deployment.pod(runs["t02"]).end()
    for exchange in held.values():
        exchange.released.set()

    statuses = {tenant_id: deployment.finished(run_id).status for tenant_id, run_id in runs.items()}
    assert statuses == {
        "t00": dg.DagsterRunStatus.SUCCESS,
        "t01": dg.DagsterRunStatus.CANCELED,
        "t02": dg.DagsterRunStatus.FAILURE,
    }, deployment.cluster.log(f"dagster-run-{runs['t00']}")
    assert [row["tenant_id"] for row in product.rows("SELECT tenant_id FROM ghl_snapshot")] == ["t00"]
    assert accounts_kept(product, held)
    assert exchanges(product) == len(held)

    pod = deployment.pod(runs["t00"])
    assert pod.grace_seconds > EXCHANGE_SECONDS
    public = {"GHL_SNAPSHOTS_RUN_LAUNCHER", "GHL_OAUTH_CLIENT_ID"}
    for secret in deployment.cluster.secrets.values():
        for name, value in secret.items():
            assert name in public or value not in str(pod.job), f"{name} is in the Job"
