"""The catalogue says of each call what GHL's documents and live accounts say of it.

calls.txt is kept by hand, and each of its lines was compared with these: who changes a row changes its line
too, having looked it up.
"""

from pathlib import Path

from ghl_snapshots.ghl.endpoint import Endpoint
from ghl_snapshots.ghl.endpoints import ENDPOINTS

CALLS = Path(__file__).parent / "calls.txt"
DEFAULTS = Endpoint(snapshot_type=ENDPOINTS[0].snapshot_type, path="", holds="", scope="")


def described(endpoint: Endpoint) -> str:
    """A row as a line of calls.txt."""
    paging, parent, again = endpoint.paging, endpoint.parent, endpoint.fallback
    parts = {
        "query": "&".join("=".join(parameter) for parameter in endpoint.query),
        "pages": f"{paging.start} {paging.limit} {paging.size}" if paging else "",
        "a short page is the last": "yes" if paging and paging.short_is_last else "",
        "items": " ".join(endpoint.items) + (" (optional)" if endpoint.is_optional else ""),
        "id": endpoint.id,
        "total": " ".join(endpoint.total) if endpoint.total != DEFAULTS.total else "",
        "more": " ".join(endpoint.more) if endpoint.more != DEFAULTS.more else "",
        "none": " ".join(map(str, sorted(endpoint.absent))),
        "for each": f"{parent.path} {parent.value}".strip() if parent else "",
        "again after": " ".join(map(str, sorted(again.statuses))) if again else "",
        "where": " is ".join(parent.where) if parent and parent.where else "",
    }
    need = "must" if endpoint.must else "should"
    head = f"{need} {endpoint.path} ({endpoint.api_version}, {endpoint.scope})"
    return "; ".join([head, *(f"{name}: {value}" for name, value in parts.items() if value)])


def test_every_call_is_made_as_ghl_documents_it() -> None:
    assert [described(endpoint) for endpoint in ENDPOINTS] == CALLS.read_text(encoding="utf-8").splitlines()
