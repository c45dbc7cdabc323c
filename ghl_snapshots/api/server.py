"""Serving the application with uvicorn."""

import ipaddress
from collections.abc import Callable

import uvicorn

from ghl_snapshots.api.application import application
from ghl_snapshots.api.services import Services
from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.settings import Settings
from ghl_snapshots.ledger.api_keys import ApiKeys
from ghl_snapshots.ledger.migrations import check_schema

_LOOPBACK = "127.0.0.1"


def serve(settings: Settings, *, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM, and then finish open requests for at most ten seconds.

    As long as there is no API key, the service listens on this machine only, whatever the host.

    Raises:
        LedgerError: the database does not answer, or its schema is not this release's.
    """
    with open_database(settings) as database, open_database(settings) as streams:
        check_schema(database)
        keyless = not ApiKeys(database).any_made()
        if keyless:
            requested = "" if _is_loopback(host) else f" instead of {host}"
            host = host if _is_loopback(host) else _LOOPBACK
            say(
                f"There are no API keys yet: the API listens on {host}{requested}, and calls need no key. "
                "`ghl-snapshots keys create --tenant TENANT` creates one."
            )
        if settings.metrics_token is None and not _is_loopback(host):
            say(
                "/metrics is open to everybody who reaches this address and therefore names no tenant; "
                "GHL_SNAPSHOTS_METRICS_TOKEN gives it a token."
            )
        services = Services(
            database=database,
            streams=streams,
            triggers_per_minute=settings.triggers_per_minute,
            open_locally=_is_loopback(host),
            metrics_token=settings.metrics_token.get_secret_value() if settings.metrics_token else None,
            metrics_tenant_label=settings.metrics_tenant_label,
        )
        uvicorn.Server(server_config(services, host=host, port=port)).run()


def server_config(services: Services, *, host: str = _LOOPBACK, port: int = 0) -> uvicorn.Config:
    """How uvicorn serves the application."""
    return uvicorn.Config(
        application(services),
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        # A caller's address is the one that was seen; who writes X-Forwarded-For is not known.
        proxy_headers=False,
        timeout_graceful_shutdown=10,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
