"""What is written differs from the project's dagster.yaml only in a deployment's size and hosts."""

from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.settings import RunLauncher, Settings
from ghl_snapshots.local.dagster_yaml import dagster_yaml
from ghl_snapshots.local.environment import PACKAGE, product_environment

BASE = (PACKAGE / "dagster.yaml").read_text("utf-8")
DEPLOYMENT = {"run_launcher", "compute_logs", "concurrency", "sensors", "schedules"}


def written(settings: Settings) -> dict[str, Any]:
    configuration: dict[str, Any] = yaml.safe_load(dagster_yaml(BASE, settings))
    return configuration


def shared(configuration: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in configuration.items() if name not in DEPLOYMENT}


def test_without_settings_it_is_the_projects_own() -> None:
    assert written(Settings()) == yaml.safe_load(BASE)


@pytest.mark.parametrize("launcher", RunLauncher)
def test_engines_of_any_size_share_all_that_is_not_the_deployments(launcher: RunLauncher) -> None:
    settings = Settings(
        run_launcher=launcher, compute_logs="s3://logs/ghl", max_concurrent_runs=40, daemon_threads=16
    )
    large = written(settings)
    assert shared(large) == shared(yaml.safe_load(BASE))
    assert large["concurrency"]["runs"]["max_concurrent_runs"] == 40
    assert [limit["limit"] for limit in large["concurrency"]["runs"]["tag_concurrency_limits"]] == [39, 20]
    assert large["schedules"] == {"use_threads": True, "num_workers": 16, "num_submit_workers": 16}
    assert large["compute_logs"]["config"] == {"bucket": "logs", "prefix": "ghl"}


def test_a_single_slot_is_left_to_the_schedules() -> None:
    runs = written(Settings(max_concurrent_runs=1))["concurrency"]["runs"]
    assert [limit["limit"] for limit in runs["tag_concurrency_limits"]] == [1, 1]


def test_raw_output_on_other_machines_is_kept_nowhere_rather_than_where_nobody_finds_it() -> None:
    for launcher in (RunLauncher.CELERY, RunLauncher.K8S):
        assert written(Settings(run_launcher=launcher))["compute_logs"]["class"] == "NoOpComputeLogManager"
    assert "compute_logs" not in written(Settings())


def test_no_secret_is_written() -> None:
    settings = Settings(
        run_launcher=RunLauncher.CELERY, celery_broker_url=SecretStr("redis://:hunter2@host/0")
    )
    assert "hunter2" not in dagster_yaml(BASE, settings)


def test_celery_without_a_broker_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GHL_SNAPSHOTS_DATABASE_URL", "postgresql://user@host/ledger")
    monkeypatch.setenv("GHL_SNAPSHOTS_RUN_LAUNCHER", "celery")
    with pytest.raises(ConfigurationError, match="GHL_SNAPSHOTS_CELERY_BROKER_URL"), product_environment():
        pass
