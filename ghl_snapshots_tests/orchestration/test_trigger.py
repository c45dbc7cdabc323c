"""Which trigger a run belongs to."""

import pytest
from dagster import DagsterRun

from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.model import Source
from ghl_snapshots.orchestration import dagster_tags
from ghl_snapshots.orchestration.trigger import Trigger, trigger_of


def run(run_id: str, *, parent: str | None = None, **tags: str) -> DagsterRun:
    named = {name.replace("__", "/"): value for name, value in tags.items()}
    return DagsterRun(
        job_name="full_snapshot", run_id=run_id, tags=named, parent_run_id=parent, root_run_id=parent
    )


def trigger(*runs: DagsterRun) -> Trigger:
    """The trigger of the last of the runs."""
    return trigger_of(runs[-1], {known.run_id: known for known in runs}.get)


def test_a_run_launched_by_hand_is_its_own_trigger() -> None:
    assert trigger(run("r1")) == Trigger(source=Source.MANUAL, correlation_id="manual_r1")


def test_all_runs_of_a_backfill_share_its_trigger() -> None:
    first, second = (trigger(run(name, dagster__backfill="b1")) for name in ("r1", "r2"))
    assert first == second == Trigger(source=Source.MANUAL, correlation_id="manual_b1")


def test_tags_name_the_trigger_of_a_scheduled_run() -> None:
    tags = {dagster_tags.CORRELATION_ID: "scheduled_daily_1703123456789", dagster_tags.SOURCE: "scheduled"}
    assert trigger(run("r1", **tags)) == Trigger(
        source=Source.SCHEDULED, correlation_id="scheduled_daily_1703123456789"
    )


def test_the_retry_of_a_crashed_run_continues_its_trigger() -> None:
    """Also the retry of a retry, and also of a run that had no tag to hand down."""
    first = run("r1", dagster__backfill="b1")
    second = run("r2", parent="r1", dagster__retry_number="1")
    third = run("r3", parent="r2", dagster__retry_number="2")
    assert trigger(first, second, third) == trigger(first)


def test_a_run_re_executed_by_hand_is_a_new_trigger() -> None:
    """Its tags are copies of its parent's, and what it asks for is a capture of today."""
    tags = {dagster_tags.CORRELATION_ID: "scheduled_daily_1", dagster_tags.SOURCE: "scheduled"}
    again = trigger(run("r1", **tags), run("r2", parent="r1", **tags))
    assert again == Trigger(source=Source.MANUAL, correlation_id="manual_r2")


def test_the_retry_of_a_run_re_executed_by_hand_continues_that_one() -> None:
    runs = run("r1"), run("r2", parent="r1"), run("r3", parent="r2", dagster__retry_number="2")
    assert trigger(*runs).correlation_id == "manual_r2"


def test_a_retry_whose_parent_was_deleted_goes_by_the_tags_it_was_handed() -> None:
    tags = {dagster_tags.CORRELATION_ID: "scheduled_daily_1", dagster_tags.SOURCE: "scheduled"}
    orphan = run("r2", parent="r1", dagster__retry_number="1", **tags)
    assert trigger(orphan).correlation_id == "scheduled_daily_1"


def test_an_unknown_source_is_refused_with_the_possible_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"'cron'; possible are scheduled, manual, api"):
        trigger(run("r1", **{dagster_tags.CORRELATION_ID: "x", dagster_tags.SOURCE: "cron"}))
