"""docs/endpoints.md as the catalogue has it.

python -m ghl_snapshots_tests.ghl.endpoints_document > docs/endpoints.md
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ghl_snapshots.core.model import AccountKind, SnapshotType
from ghl_snapshots.ghl.endpoint import Endpoint
from ghl_snapshots.ghl.endpoint_table import table
from ghl_snapshots.ghl.endpoints import ENDPOINTS

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "endpoints.md"

_INTRODUCTION: Final = """# What is captured

Made from the catalogue (`ghl_snapshots/ghl/endpoints.py`) by
`python -m ghl_snapshots_tests.ghl.endpoints_document > docs/endpoints.md`; a test says that it is current.

Every call is a GET. Where the token lacks a call's scope, or GHL refuses the call for another reason that
lasts, the last column says what that costs: the snapshot is *incomplete* (`partial_failure`), or the call is
*left out*, and the snapshot's metadata (`leftOut`), its materialization and the check `nothing_left_out` say
so. Of an agency, the calls are made for each of its locations, but for those marked as the agency's own."""

_REST: Final = """## Scopes

{scopes}

## History

The history of an entity goes by endpoint and id: an agent in a list and the same agent's detail are two
entities with one id. (An id that GHL gives in several parents, such as a question in two knowledge bases, has
a history in each; in SQL `parent_id` tells them apart.) When did an agent's prompt change?

    ghl-snapshots history TENANT AGENT_ID --endpoint '/conversation-ai/agents/{{agentId}}'

```sql
SELECT min(captured_at) AS first_captured, max(captured_at) AS last_captured, digest,
    convert_from(body, 'UTF8')::json ->> 'instructions' AS instructions
FROM ghl_snapshot_raw
WHERE tenant_id = 'TENANT' AND endpoint = '/conversation-ai/agents/{{agentId}}' AND entity_id = 'AGENT_ID'
GROUP BY digest, body ORDER BY first_captured;
```

Which schedules did a calendar have on 3 March? (What can be booked is decided by the members' own schedules
too, whose `calendarIds` is empty.)

    ghl-snapshots entities TENANT /calendars/schedules/search --as-of 2026-03-04 | grep CALENDAR_ID

```sql
SELECT convert_from(body, 'UTF8') FROM ghl_snapshot_raw
WHERE endpoint = '/calendars/schedules/search'
    AND convert_from(body, 'UTF8')::jsonb -> 'calendarIds' ? 'CALENDAR_ID'
    AND snapshot_id = (
        SELECT snapshot_id FROM ghl_snapshot
        WHERE tenant_id = 'TENANT' AND snapshot_type = 'calendars' AND status <> 'failed'
            AND captured_at < '2026-03-04Z'
        ORDER BY captured_at DESC LIMIT 1
    );
```

## Not captured

GHL's public API gives nobody the steps and triggers of workflows: a snapshot shows *that* a workflow changed
(version, date, status), not what. Of a knowledge base's rich texts, tables and web searches it gives only
their numbers, and of a crawled web page a link to the text.

Not read, because it is no configuration, or the same as what is read: users (personal data), appointments,
free and blocked slots, call logs, tasks, generations; the list of time zones; single calendars, voice agents
and pipelines, which the lists hold whole; a location's permissions, whose scope allows writing.

Outside the five types: forms, surveys, funnels and sites, the e-mail builder, trigger links, products, media,
phone numbers, chat widgets."""


def document() -> str:
    """The whole document."""
    parts = [_INTRODUCTION, *(_section(kind) for kind in SnapshotType), _REST.format(scopes=_scopes())]
    return "\n\n".join(parts) + "\n"


def _section(kind: SnapshotType) -> str:
    endpoints = [endpoint for endpoint in ENDPOINTS if endpoint.snapshot_type is kind]
    return "\n\n".join([f"## {kind.value}", table(endpoints), *_remarks(endpoints)])


def _remarks(endpoints: list[Endpoint]) -> Iterator[str]:
    own = [endpoint for endpoint in endpoints if endpoint.account is AccountKind.COMPANY]
    if own:
        yield f"The agency's own: {_named(own)}."
    elsewhere = [endpoint for endpoint in endpoints if endpoint.source]
    if elsewhere:
        yield f"Described on GHL's website for developers only, in no OpenAPI document: {_named(elsewhere)}."


def _named(endpoints: list[Endpoint]) -> str:
    return ", ".join(f"`{endpoint.path}`" for endpoint in endpoints)


def _scopes() -> str:
    needed = {endpoint.scope for endpoint in ENDPOINTS if endpoint.must}
    lines = []
    for title, must in (("A snapshot is incomplete without", True), ("More is captured with", False)):
        scopes = dict.fromkeys(
            endpoint.scope
            for endpoint in ENDPOINTS
            if endpoint.must is must and (must or endpoint.scope not in needed)
        )
        lines.append(f"- {title}: {', '.join(f'`{scope}`' for scope in scopes)}.")
    lines.append("- An agency's app also needs `oauth.write`, to be given its locations' tokens.")
    return "\n".join(lines)


if __name__ == "__main__":
    print(document(), end="")  # noqa: T201 (it is what the command is for)
