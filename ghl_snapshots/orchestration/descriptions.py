"""What a person reads about an asset: what it holds, and which GHL calls and scopes it needs."""

from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.ghl.endpoints import LOCATION_SEARCH, Endpoint, endpoints_of

_HOLDS = {
    SnapshotType.LOCATIONS: "The tenant's locations (sub-accounts) with their settings, custom fields, "
    "custom values and tags.",
    SnapshotType.PIPELINES: "The sales pipelines of each location, with their stages in order.",
    SnapshotType.WORKFLOWS: "The workflows of each location: name, status, version and dates. GHL's public "
    "API gives neither their steps nor their triggers.",
    SnapshotType.CALENDARS: "The calendars of each location with opening hours and availability, drafts "
    "included, and the calendar groups, rooms and equipment.",
    SnapshotType.AI_WORKERS: "The AI workers of each location: voice agents, conversation agents with their "
    "actions, and Agent Studio agents.",
}


def asset_description(snapshot_type: SnapshotType) -> str:
    """Markdown on one snapshot type's asset."""
    calls = endpoints_of(snapshot_type)
    if snapshot_type is SnapshotType.LOCATIONS:
        calls = (LOCATION_SEARCH, *calls)
    rows = "\n".join(_row(call) for call in calls)
    return f"""{_HOLDS[snapshot_type]}

One partition is one tenant. A materialization is one immutable snapshot in the ledger; the data version is
its checksum, so that equal versions mean equal bytes. A red partition is a tenant of whom the last run could
capture nothing; where only a part is missing, the partition is green, its `status` is `partial_failure`, and
the run has failed. The run's log and its failure name the call, the location and the cause.

| GHL call | scope of the token | API version |
|---|---|---|
{rows}

In SQL they are the rows of `ghl_snapshot` whose `snapshot_type` is `{snapshot_type}`; in the terminal,
`ghl-snapshots show SNAPSHOT_ID` prints one."""


def _row(call: Endpoint) -> str:
    return f"| `GET {call.path}` | `{call.scope}` | {call.api_version} |"
