"""What ghl_snapshots mends of dagster-celery's launcher, on a broker in memory."""

import dagster as dg
import pytest
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from ghl_snapshots.orchestration.celery_launcher import CeleryLauncher
from ghl_snapshots_tests.orchestration.launched import started, status


@pytest.fixture
def launcher(instance: dg.DagsterInstance) -> CeleryLauncher:
    launcher = CeleryLauncher(default_queue="dagster", broker="memory://", backend="cache+memory://")
    launcher.register_instance(instance)
    return launcher


def test_a_run_is_noted_as_being_canceled_before_its_process_is_ended(
    instance: dg.DagsterInstance, launcher: CeleryLauncher
) -> None:
    """Or the process would take itself for one that crashed, and another run would take its place."""
    run_id = started(instance, {DAGSTER_CELERY_TASK_ID_TAG: "7"})
    assert launcher.terminate(run_id)
    assert status(instance, run_id) is dg.DagsterRunStatus.CANCELING
    assert launcher.terminate(run_id), "asked for twice"


def test_a_run_that_a_command_executes_is_not_ended_from_afar(
    instance: dg.DagsterInstance, launcher: CeleryLauncher
) -> None:
    run_id = started(instance)
    assert not launcher.terminate(run_id)
    assert status(instance, run_id) is dg.DagsterRunStatus.STARTED


def test_whether_a_process_lives_is_not_asked_of_celery(launcher: CeleryLauncher) -> None:
    """Its tasks stay started for ever when their host dies."""
    assert not launcher.supports_check_run_worker_health
