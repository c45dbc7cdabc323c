"""The catalogue as a Markdown table, for people."""

from collections.abc import Iterable
from typing import Final

from ghl_snapshots.ghl.endpoint import Endpoint

_HEAD: Final = """| GHL call | what it gives | scope of the token | API version | without the scope |
|---|---|---|---|---|"""


def table(endpoints: Iterable[Endpoint]) -> str:
    """A row for each endpoint."""
    return "\n".join([_HEAD, *map(_row, endpoints)])


def _row(endpoint: Endpoint) -> str:
    without = "incomplete" if endpoint.must else "left out"
    cells = f"`GET {endpoint.path}`", endpoint.holds, f"`{endpoint.scope}`", endpoint.api_version, without
    return f"| {' | '.join(cells)} |"
