"""`python -m ghl_snapshots.simulator`: serve the demo's accounts until interrupted."""

import argparse
import signal
import sys
import threading
from collections.abc import Iterator

from ghl_snapshots.simulator.accounts import Accounts
from ghl_snapshots.simulator.application import COUNTS_PATH
from ghl_snapshots.simulator.generation import demo_accounts
from ghl_snapshots.simulator.server import Simulator


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; exit code 1 when the port is taken, 2 for wrong arguments."""
    options = _parser().parse_args(arguments)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    simulator = Simulator(
        demo_accounts(options.seed, gaps=True), port=options.port, latency_seconds=options.latency_ms / 1000
    )
    try:
        with simulator:
            sys.stdout.write("\n".join(_greeting(simulator, options.seed)) + "\n")
            sys.stdout.flush()
            stopped.wait()
    except OSError as error:
        sys.stderr.write(
            f"Cannot serve on port {options.port}: {error.strerror}. Choose another with --port.\n"
        )
        return 1
    return 0


def environment_name(name: str) -> str:
    """A name as the beginning of an environment variable, such as HARBOR_DENTAL_STUDIO."""
    return "_".join("".join(letter if letter.isalnum() else " " for letter in name).split()).upper()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ghl_snapshots.simulator",
        description="Serve a simulated GHL with demo accounts; prints their credentials when it is ready.",
    )
    parser.add_argument("--port", type=_port, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument(
        "--seed", type=int, default=1, help="the same seed gives the same accounts (default: 1)"
    )
    parser.add_argument("--latency-ms", type=_milliseconds, default=0.0, help="time added to every answer")
    return parser


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65_535:
        raise argparse.ArgumentTypeError("a port is 0 to 65535")
    return number


def _milliseconds(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 600_000:
        raise argparse.ArgumentTypeError("a latency is 0 to 600000 ms")
    return number


def _greeting(simulator: Simulator, seed: int) -> Iterator[str]:
    yield f"# Simulated GHL on {simulator.base_url} (seed {seed}); Ctrl-C ends it."
    yield f"# Requests so far: {simulator.base_url}{COUNTS_PATH}"
    yield f"export GHL_BASE_URL={simulator.base_url}"
    yield from _credentials(simulator.accounts)


def _credentials(accounts: Accounts) -> Iterator[str]:
    yield f"export GHL_OAUTH_CLIENT_ID={accounts.client_id}"
    yield f"export GHL_OAUTH_CLIENT_SECRET={accounts.client_secret}"
    for agency in accounts.agencies.values():
        yield f"# {agency.name}: agency {agency.company_id} with {len(agency.location_ids)} locations"
        yield f"export {environment_name(agency.name)}_GHL_TOKEN={agency.private_integration_token}"
        yield f"export {environment_name(agency.name)}_GHL_REFRESH_TOKEN={agency.refresh_token}"
    for location in accounts.locations.values():
        yield f"# {location.name}: location {location.location_id}"
        yield f"export {environment_name(location.name)}_GHL_TOKEN={location.private_integration_token}"
        yield f"export {environment_name(location.name)}_GHL_REFRESH_TOKEN={location.refresh_token}"


if __name__ == "__main__":
    sys.exit(main())
