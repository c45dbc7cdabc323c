"""Runs on other machines: each is a Celery task, executed by a process that `ghl-snapshots worker` forks.

dagster-celery's launcher with what it lacks. It does not say that a run is being canceled, so that the run's
process takes itself for one that crashed, and the run is started again. And it gives up on the broker within
a second, which fails each run that leaves the queue while Redis restarts.
"""

from typing import Any

import dagster as dg
from dagster_celery.launcher import CeleryRunLauncher

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

    def terminate(self, run_id: str) -> bool:
        """End a run in order; it is canceled when its process has ended."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        if run.status is not dg.DagsterRunStatus.CANCELING:
            self._instance.report_run_canceling(run)
        return super().terminate(run_id)
