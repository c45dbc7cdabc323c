"""The tags of our runs: our own, and Dagster's, which have no public names in its API.

The list of runs shows tags that do not begin with `dagster/`, *View all tags* shows both. So what says at a
glance whose run it is has a name of its own, and what only identifies the run is under Dagster's prefix.
"""

TENANTS = "tenants"
"""Whose run it is, behind how many of them failed; the list of runs cuts off what is longer than a column."""
REASON = "reason"

CORRELATION_ID = "dagster/ghl_snapshots_correlation_id"
SOURCE = "dagster/ghl_snapshots_source"
JOB = "dagster/ghl_snapshots_job"
"""On every run of a job of ours; the value says what the job does, such as `capture`."""

# Which partitions a run covers.
PARTITION = "dagster/partition"
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"

# What asked for a run.
BACKFILL = "dagster/backfill"
SCHEDULE = "dagster/schedule_name"
SENSOR = "dagster/sensor_name"
TICK = "dagster/tick"
RUN_KEY = "dagster/run_key"
SCHEDULED_TIME = ".dagster/scheduled_execution_time"
FROM_FAILURE = "dagster/is_resume_retry"
"""On a run that executes what failed of the one before, by hand or by the daemon."""
RETRY_NUMBER = "dagster/retry_number"
CODE_LOCATION = ".dagster/repository"
"""The webserver lists a run under its code location by it; Dagster sets it where it launches the run."""

IMAGE = "dagster/image"
"""On a run that Dagster's launcher has made a Kubernetes Job for."""

# How a run is queued and retried.
QUEUE_PRIORITY = "dagster/priority"
MAX_RETRIES = "dagster/max_retries"
RETRY_ON_FAILURE = "dagster/retry_on_asset_or_op_failure"
"""On a run that a step failed: whether it is started again, whatever dagster.yaml says."""
WILL_RETRY = "dagster/will_retry"
RETRIED_BY = "dagster/auto_retry_run_id"
FAILURE_REASON = "dagster/failure_reason"

# On a materialization.
DATA_VERSION = "dagster/data_version"
