"""What a person reads about an asset: what it holds, and which GHL calls and scopes it needs."""

from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.ghl.endpoint_table import table
from ghl_snapshots.ghl.endpoints import ENDPOINTS

_HOLDS = {
    SnapshotType.LOCATIONS: "The tenant's locations (sub-accounts) with their settings, custom fields, "
    "custom values, tags, message templates, conversation channels and custom objects; of an agency, the "
    "agency itself too.",
    SnapshotType.PIPELINES: "The sales pipelines of each location, with their stages in order, and the "
    "reasons for which opportunities are lost.",
    SnapshotType.WORKFLOWS: "The workflows of each location: name, status, version and dates. GHL's public "
    "API gives neither their steps nor their triggers.",
    SnapshotType.CALENDARS: "The calendars of each location, drafts included, with their notifications; the "
    "schedules that decide what can be booked; calendar groups, rooms, equipment and services.",
    SnapshotType.AI_WORKERS: "The AI workers of each location: voice agents, conversation agents with their "
    "instructions and actions, Agent Studio agents with all versions, nodes and prompts; and the knowledge "
    "bases with their questions and answers, web pages and files.",
}


def asset_description(snapshot_type: SnapshotType) -> str:
    """Markdown on one snapshot type's asset."""
    calls = [endpoint for endpoint in ENDPOINTS if endpoint.snapshot_type is snapshot_type]
    return f"""{_HOLDS[snapshot_type]}

One partition is one tenant. A materialization is one immutable snapshot in the ledger; the data version is
its checksum, so that equal versions mean equal bytes. A red partition is a tenant of whom the last run could
capture nothing; where only a part is missing, the partition is green, its `status` is `partial_failure`, and
the run has failed. The run's log and its failure name the call, the location and the cause.

{table(calls)}

A call that a snapshot can do without is left out where the token lacks its scope, or GHL refuses it for
another reason that lasts: nothing fails, and `leftOut` in the payload's metadata says so.

In SQL they are the rows of `ghl_snapshot` whose `snapshot_type` is `{snapshot_type}`; in the terminal,
`ghl-snapshots show SNAPSHOT_ID` prints one."""
