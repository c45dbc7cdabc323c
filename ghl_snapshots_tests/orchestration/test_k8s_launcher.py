"""What ghl_snapshots mends of dagster-k8s's launcher; end_to_end/test_k8s.py has it execute Jobs."""

from pathlib import Path

import dagster as dg
import pytest
import yaml

from ghl_snapshots.orchestration.k8s_launcher import K8sLauncher
from ghl_snapshots_tests.orchestration.launched import started, status


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
    run_id = started(instance)
    assert not launcher.terminate(run_id)
    assert status(instance, run_id) is dg.DagsterRunStatus.STARTED


def test_whether_a_process_lives_is_not_asked_of_kubernetes(launcher: K8sLauncher) -> None:
    """It knows no Job of a run that a command executes, and the monitor would fail that run."""
    assert not launcher.supports_check_run_worker_health
