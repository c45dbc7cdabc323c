"""What ghl_snapshots mends of dagster-k8s's launcher; end_to_end/test_k8s.py has it execute Jobs."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from ghl_snapshots.orchestration.k8s_launcher import K8sLauncher


@dg.job
def nothing() -> None:
    """A job of no step."""


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def launcher(instance: dg.DagsterInstance, tmp_path: Path) -> K8sLauncher:
    """At an address where nobody answers."""
    kubeconfig = {
        "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "none", "context": {"cluster": "none", "user": "me"}}],
        "current-context": "none",
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    launcher = K8sLauncher(
        service_account_name="default",
        instance_config_map="",
        dagster_home="",
        load_incluster_config=False,
        kubeconfig_file=str(tmp_path / "kubeconfig"),
    )
    launcher.register_instance(instance)
    return launcher


def test_a_run_that_a_command_executes_is_not_ended_from_afar(
    instance: dg.DagsterInstance, launcher: K8sLauncher
) -> None:
    """It has no Job; noted as being canceled, it would be shown as canceled while its process goes on."""
    run = instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED)
    assert not launcher.terminate(run.run_id)
    after = instance.get_run_by_id(run.run_id)
    assert after
    assert after.status is dg.DagsterRunStatus.STARTED


def test_whether_a_process_lives_is_not_asked_of_kubernetes(launcher: K8sLauncher) -> None:
    """It knows no Job of a run that a command executes, and the monitor would fail that run."""
    assert not launcher.supports_check_run_worker_health
