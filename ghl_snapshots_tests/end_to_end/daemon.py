"""Dagster's daemon as `ghl-snapshots dev` starts it, except that its loops pause for a second.

Dagster has no setting for most of these pauses of 5 to 30 seconds, and no public name either. What happens in
a loop is untouched.
"""

import math

import dagster as dg
from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator
from dagster._daemon import controller, sensor
from dagster._daemon.cli import main

_PAUSE_SECONDS = 1
_SENSOR_SECONDS = 3


def _shorten_pauses() -> None:
    sensor.MIN_INTERVAL_LOOP_TIME = _PAUSE_SECONDS
    sensor.is_under_min_interval = lambda state, *_: (sensor.get_elapsed(state) or math.inf) < _SENSOR_SECONDS
    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = _PAUSE_SECONDS
    interval = property(lambda _: _PAUSE_SECONDS)
    # How often it looks after runs whose process died.
    dg.DagsterInstance.run_monitoring_poll_interval_seconds = interval  # type: ignore[assignment,method-assign]
    QueuedRunCoordinator.dequeue_interval_seconds = interval  # type: ignore[assignment,method-assign]


if __name__ == "__main__":
    _shorten_pauses()
    main()
