"""Through how many of our files and functions the capture of one list by one request passes.

python -m benchmarks.capture_path [--list]

One location's pipelines, captured by a Dagster run in this process against a simulated GHL and stored in an
embedded PostgreSQL, traced by the interpreter's profile function in all threads. What runs before the run's
first step and after its last, such as loading the definitions, is not part of it.
"""

import argparse
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import dagster as dg

import ghl_snapshots
from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.model import AccountKind, Tenant
from ghl_snapshots.definitions import definitions
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.environment import migrate_databases, product_environment
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.server import Simulator

PACKAGE = Path(ghl_snapshots.__file__).parent


@contextmanager
def traced(functions: set[tuple[str, str]]) -> Iterator[None]:
    """Note the file and the name of every function of ours that is called, in whichever thread."""

    def profile(frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE) and "simulator" not in path.parts:
            functions.add((str(path.relative_to(PACKAGE)), frame.f_code.co_qualname))

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def capture(functions: set[tuple[str, str]]) -> None:
    """Capture the pipelines of one location."""
    accounts = generated_accounts(1, tenants=1)
    [location] = accounts.single_locations
    with ExitStack() as stack:
        simulator = stack.enter_context(Simulator(accounts))
        os.environ["GHL_SNAPSHOTS_HOME"] = stack.enter_context(tempfile.TemporaryDirectory())
        os.environ["GHL_BASE_URL"] = simulator.base_url
        os.environ["TOKEN"] = location.private_integration_token
        settings = stack.enter_context(product_environment())
        migrate_databases(settings, print)
        tenant = Tenant(
            tenant_id="one",
            ghl_account_id=location.location_id,
            account_kind=AccountKind.LOCATION,
            credential="env:TOKEN",
        )
        with open_database(settings) as database:
            TenantRegistry(database).add(tenant)
        job = definitions().resolve_job_def("full_snapshot")
        instance = stack.enter_context(dg.DagsterInstance.get())
        instance.add_dynamic_partitions("tenants", ["one"])
        with traced(functions):
            result = job.execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey("pipelines")],
                partition_key="one",
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
        if not result.success or len(simulator.request_log) != 1:
            raise SystemExit("The capture was not one request with success.")


def main() -> None:
    """Print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--list", action="store_true", help="print the functions, too")
    options = parser.parse_args()
    functions: set[tuple[str, str]] = set()
    capture(functions)
    if options.list:
        sys.stdout.writelines(f"{file} {name}\n" for file, name in sorted(functions))
    files = {file for file, _ in functions}
    sys.stdout.write(f"{len(files)} files, {len(functions)} functions\n")


if __name__ == "__main__":
    main()
