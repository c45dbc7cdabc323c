"""The demo: every simulated account captured once, end to end, in one command."""

import os
from collections import Counter
from collections.abc import Callable

from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.core.settings import Settings
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.captures_on_demand import capture
from ghl_snapshots.local.environment import migrate_databases, product_environment
from ghl_snapshots.local.foreground import script
from ghl_snapshots.local.simulated import simulated_ghl
from ghl_snapshots.simulator.server import Simulator

_QUERY = "SELECT tenant_id, snapshot_type, captured_at, record_count FROM ghl_snapshot"


def run(say: Callable[[str], None]) -> int:
    """Capture every type of every enabled demo tenant and print the results; the exit code.

    Raises:
        ConfigurationError: the database holds other tenants than the demo's.
    """
    with product_environment() as settings:
        migrate_databases(settings, say)
        with simulated_ghl(settings) as ghl:
            code = capture(_enabled(settings), list(SnapshotType), reason="ghl-snapshots demo")
            say(_requests(ghl))
        say(_checks())
    program = os.path.relpath(script("ghl-snapshots"))
    say(f"Look at it: {program} dev, or {program} psql -c '{_QUERY}'")
    return code


def _enabled(settings: Settings) -> list[str]:
    with open_database(settings) as database:
        return sorted(TenantRegistry(database).enabled())


def _checks() -> str:
    """Run all checks, so that Dagster shows verdicts from the start; the failed ones by name."""
    # Dagster takes a second to import, which no other command should wait for.
    from ghl_snapshots.definitions import all_definitions
    from ghl_snapshots.orchestration.launch import check_now

    verdicts = check_now(all_definitions())
    failed = sorted(name for name, passed in verdicts.items() if not passed)
    passed = f"Checks over all tenants: {len(verdicts) - len(failed)} of {len(verdicts)} passed"
    return f"{passed}; failed: {', '.join(failed)}" if failed else passed


def _requests(ghl: Simulator) -> str:
    """How many requests the simulated GHL received, by method."""
    methods: Counter[str] = Counter()
    for (method, route, _status), count in ghl.request_counts().items():
        methods[f"{method} {route}" if method != "GET" else method] += count
    counted = ", ".join(f"{count} {method}" for method, count in sorted(methods.items()))
    return f"Requests that the simulated GHL received: {counted or 'none'}"
