"""Dagster's configuration for a deployment: dagster.yaml with what depends on its size and its hosts.

Dagster takes neither the launcher of runs nor the length of its queue from environment variables, so the file
in DAGSTER_HOME is written from the settings. Everything else is the same on every engine.
"""

from collections.abc import Mapping
from typing import Any

import yaml

from ghl_snapshots.core.settings import RunLauncher, Settings
from ghl_snapshots.core.tokens import EXCHANGE_SECONDS

CELERY_BROKER = "GHL_SNAPSHOTS_CELERY_BROKER_URL"
CELERY_RESULTS = "GHL_SNAPSHOTS_CELERY_RESULTS_URL"
_WRITTEN = "# Written by ghl-snapshots from its own dagster.yaml and the settings, at every start.\n"

_K8S: Mapping[str, Any] = {
    # Image, namespace, secrets, volumes, resources are those of the code location's Deployment. A Job is told
    # its instance and mounts no dagster.yaml; the launcher wants these three all the same.
    "instance_config_map": "",
    "dagster_home": "",
    "service_account_name": "default",
    "security_context": {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
    },
    # A run that is canceled or evicted ends after the token exchange under way.
    "run_k8s_config": {"pod_spec_config": {"terminationGracePeriodSeconds": int(EXCHANGE_SECONDS) + 30}},
}
_LAUNCHERS: Mapping[RunLauncher, Mapping[str, Any]] = {
    RunLauncher.CELERY: {
        "module": "ghl_snapshots.orchestration.celery_launcher",
        "class": "CeleryLauncher",
        "config": {"broker": {"env": CELERY_BROKER}, "backend": {"env": CELERY_RESULTS}},
    },
    RunLauncher.K8S: {
        "module": "ghl_snapshots.orchestration.k8s_launcher",
        "class": "K8sLauncher",
        "config": _K8S,
    },
}
_NO_COMPUTE_LOGS = {
    "module": "dagster._core.storage.noop_compute_log_manager",
    "class": "NoOpComputeLogManager",
}


def dagster_yaml(base: str, settings: Settings) -> str:
    """The instance's configuration: the project's dagster.yaml with the settings in it."""
    configuration = yaml.safe_load(base)
    configuration["concurrency"]["runs"] = _queue(settings.max_concurrent_runs)
    for loop in ("sensors", "schedules"):
        configuration[loop].update(
            num_workers=settings.daemon_threads, num_submit_workers=settings.daemon_threads
        )
    if launcher := _LAUNCHERS.get(settings.run_launcher):
        configuration["run_launcher"] = dict(launcher)
    if compute_logs := _compute_logs(settings):
        configuration["compute_logs"] = compute_logs
    return _WRITTEN + yaml.safe_dump(configuration, sort_keys=False)


def _queue(runs: int) -> dict[str, Any]:
    """A slot stays free of scheduled batches, and backfills get half of them, as far as there are enough."""
    limits = [
        {"key": "dagster/ghl_snapshots_source", "value": "scheduled", "limit": max(1, runs - 1)},
        {"key": "dagster/backfill", "limit": max(1, runs // 2)},
    ]
    return {"max_concurrent_runs": runs, "tag_concurrency_limits": limits}


def _compute_logs(settings: Settings) -> dict[str, Any] | None:
    """Where the runs' raw output goes; None for files, which only this machine's webserver can show."""
    if settings.compute_logs is not None:
        bucket, _, prefix = settings.compute_logs.removeprefix("s3://").partition("/")
        config = {"bucket": bucket, "prefix": prefix.strip("/") or "dagster"}
        return {
            "module": "dagster_aws.s3.compute_log_manager",
            "class": "S3ComputeLogManager",
            "config": config,
        }
    return None if settings.run_launcher is RunLauncher.PROCESS else dict(_NO_COMPUTE_LOGS)
