"""The HTTP API from the command line."""

from collections.abc import Callable

from ghl_snapshots.api.server import serve
from ghl_snapshots.core.logs import configure_logs
from ghl_snapshots.local.environment import migrate_databases, product_environment
from ghl_snapshots.local.signals import ended_by_signals


def run(host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve the API over the environment's database until it is ended; raises like `serve`."""
    # uvicorn ends the process by the signal that it was sent, unless somebody takes it for an exception.
    with ended_by_signals(), product_environment() as settings:
        migrate_databases(settings)
        configure_logs()
        serve(settings, host=host, port=port, say=say)
