"""Runs as Kubernetes Jobs: dagster-k8s's launcher, except where it takes a command's run for one of its own.

A command executes its run itself, without a Job. Dagster's launcher would fail such a run, since it finds no
Job, and on a cancellation note it as being canceled while its process goes on. The sensor `orphaned_runs`
finds the runs without a process, a command's or a Job's, by their lock in the database.
"""

from dagster_k8s import K8sRunLauncher

from ghl_snapshots.orchestration.dagster_tags import IMAGE


class K8sLauncher(K8sRunLauncher):
    """Dagster's own launcher of Jobs, which leaves the runs of commands alone."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """No: whether a run's process lives is seen by its lock."""
        return False

    def terminate(self, run_id: str) -> bool:
        """Delete a run's Job, whose process ends in order; a run that a command executes is left alone."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or IMAGE not in run.tags:
            return False
        return bool(super().terminate(run_id))  # type: ignore[no-untyped-call]  # dagster-k8s has no types
