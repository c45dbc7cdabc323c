"""The instance as dagster.yaml configures it."""

from pathlib import Path

import yaml

from ghl_snapshots_tests.orchestration.product import Product


def test_dagsters_records_are_in_a_database_beside_the_products(product: Product) -> None:
    with product.instance() as instance:
        instance.add_dynamic_partitions("tenants", ["t00"])
    assert not product.rows("SELECT 1 FROM pg_tables WHERE tablename = 'dynamic_partitions'")


def test_runs_wait_in_a_queue_that_lets_a_few_of_them_work(product: Product) -> None:
    with product.instance() as instance:
        assert type(instance.run_coordinator).__name__ == "QueuedRunCoordinator"
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        assert queue.max_concurrent_runs == 4
        limits = {
            (limit["key"], limit.get("value")): limit["limit"] for limit in queue.tag_concurrency_limits
        }
        assert limits == {("dagster/ghl_snapshots_source", "scheduled"): 3, ("dagster/backfill", None): 2}


def test_a_run_waits_for_a_code_server_that_died(product: Product) -> None:
    """The daemon replaces it within a minute; a run that it found none for was failed for good."""
    with product.instance() as instance:
        queue = instance.get_concurrency_config().run_queue_config
    assert queue is not None
    assert queue.max_user_code_failure_retries * queue.user_code_failure_retry_delay > 60


def test_a_sensor_that_waits_holds_up_no_other(product: Product) -> None:
    with product.instance() as instance:
        threads = {"use_threads": True, "num_workers": 4, "num_submit_workers": 4}
        assert instance.get_settings("sensors") == threads
        assert instance.get_settings("schedules") == threads


def test_only_runs_whose_process_died_are_started_again(product: Product) -> None:
    with product.instance() as instance:
        assert instance.run_retries_enabled
        assert instance.run_retries_max_retries == 2
        assert not instance.run_retries_retry_on_asset_or_op_failure


def test_runs_are_monitored(product: Product) -> None:
    with product.instance() as instance:
        assert instance.run_monitoring_enabled


def test_nothing_is_sent_to_anybody(product: Product) -> None:
    with product.instance() as instance:
        assert not instance.telemetry_enabled


def test_local_files_stay_below_dagsters_home(product: Product) -> None:
    home = Path(product.settings.home).absolute() / "dagster"
    with product.instance() as instance:
        assert Path(instance.storage_directory()).is_relative_to(home)
        assert "base_dir" in instance.get_ref().compute_logs_data.config_yaml
        assert str(home) in instance.get_ref().compute_logs_data.config_yaml


def test_the_ui_says_where_the_raw_output_of_runs_is(product: Product) -> None:
    """What the webserver shows under Deployment, Configuration."""
    with product.instance() as instance:
        instance.optimize_for_webserver(statement_timeout=5000, pool_recycle=60, max_overflow=20)
        assert yaml.safe_load(instance.info_str())["compute_logs"]["class"] == "LocalComputeLogManager"
