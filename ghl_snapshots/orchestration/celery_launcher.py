"""Runs on other machines: each is a Celery task, executed by a process that `ghl-snapshots worker` forks.

dagster-celery's launcher with what it lacks. It asks for the Celery task of every run under way, but a
command executes its run itself, and a host that died leaves its tasks as started for ever; the sensor
`orphaned_runs` finds both by their lock in the database. It does not say that a run is being canceled, so
that its process takes itself for one that crashed, and the run is started again. And it gives up on the
broker within a second, which fails each run that leaves the queue while Redis restarts.
"""

from typing import Any

import dagster as dg
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

_CELERY: dict[str, Any] = {
    # For about two minutes, less than dagster.yaml's start_timeout_seconds; nothing else could start then.
    "task_publish_retry_policy": {
        "max_retries": 60,
        "interval_start": 0.2,
        "interval_step": 0.2,
        "interval_max": 2,
    },
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,  # a worker waits for its broker for as long as it takes
    "worker_disable_prefetch": True,  # a run that waits in a busy worker's memory could work in an idle one
    "worker_max_tasks_per_child": 1,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    "database_engine_options": {"pool_pre_ping": True},
}


class CeleryLauncher(CeleryRunLauncher):
    """Dagster's own launcher with Celery, except that what is canceled stays so and Redis may restart."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 (as those of the class above)
        super().__init__(*args, **kwargs)
        self.celery.conf.update(_CELERY)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """No: whether a run's process lives is seen by its lock."""
        return False

    def terminate(self, run_id: str) -> bool:
        """End a run in order, unless a command executes it; it is canceled when its process has ended."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished or DAGSTER_CELERY_TASK_ID_TAG not in run.tags:
            return False
        if run.status is not dg.DagsterRunStatus.CANCELING:
            self._instance.report_run_canceling(run)
        return super().terminate(run_id)
