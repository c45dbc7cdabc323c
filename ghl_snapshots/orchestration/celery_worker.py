"""The process that executes runs on a machine of its own, each in a child that it forks for it.

It ends in order: on SIGTERM and Ctrl-C its runs are broken off (Dagster starts them again elsewhere), each
after a token exchange under way, and then the worker ends.
"""

import os
import signal
import socket
from contextlib import suppress

import dagster as dg
import psutil
from celery.signals import worker_shutting_down
from dagster_celery.tasks import create_execute_job_task, create_resume_job_task

from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.orchestration.celery_launcher import CeleryLauncher


def serve(slots: int) -> None:
    """Execute runs, so many at once, until a signal ends the process. Needs DAGSTER_HOME.

    Raises:
        ConfigurationError: DAGSTER_HOME names another launcher.
    """
    with dg.DagsterInstance.get() as instance:
        launcher = instance.run_launcher
    if not isinstance(launcher, CeleryLauncher):
        raise ConfigurationError(
            "The dagster.yaml in DAGSTER_HOME starts runs in another way than by celery: unset DAGSTER_HOME, "
            "or name the launcher there."
        )
    create_execute_job_task(launcher.celery)
    create_resume_job_task(launcher.celery)
    launcher.celery.backend.cleanup()
    worker_shutting_down.connect(_break_off)
    name = f"ghl-snapshots@{socket.gethostname()}-{os.getpid()}"
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=INFO")
    launcher.celery.worker_main(
        ["worker", "--concurrency", str(slots), "--optimization=fair", "--hostname", name, *quiet]
    )


def _break_off(**_event: object) -> None:
    """Ask the runs to end; Celery by itself would wait for them, and be killed before they are over."""
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            child.send_signal(signal.SIGTERM)
