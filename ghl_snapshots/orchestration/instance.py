"""Dagster's instance: its storage, before several of its processes use it."""

import dagster as dg


def prepare_storage() -> None:
    """Create or upgrade the tables of the instance of DAGSTER_HOME.

    Dagster's processes would each do so when they start, and get into each other's way on an empty database.
    """
    with dg.DagsterInstance.get() as instance:
        instance.upgrade()
