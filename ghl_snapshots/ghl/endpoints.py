"""The catalogue of GHL calls: one row for each, and adding an endpoint is adding a row.

Paths, versions, paging and scopes are those of GHL's published OpenAPI documents (June 2026); where live
accounts behave otherwise, the row's comment says so.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from ghl_snapshots.core.model import SnapshotType

_VERSION_2021_07: Final = "2021-07-28"
_VERSION_2021_04: Final = "2021-04-15"


class Paging(Enum):
    """How an endpoint gives more than one page; each value names the query parameters it moves by."""

    NONE = "one answer holds everything"
    SKIP = "skip and limit; an empty page is the last"
    PAGE = "page (1-based) and pageSize; `total` in the envelope"
    CURSOR = "startAfter (the last entity's id) and limit; `totalCount` in the envelope"
    OFFSET = "offset and limit; `pagination.total` and `pagination.hasMore` in the envelope"


class Shape(Enum):
    """Where an answer holds its entities."""

    LIST = "a list under a key"
    OBJECT = "one object under a key"
    BARE_LIST = "the body itself is the list"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One GHL call: how it is asked, how it pages, and where its answer holds entities.

    `path` and the values of `query` may hold `{locationId}`, `{companyId}` and `{agentId}`.
    """

    snapshot_type: SnapshotType
    path: str
    api_version: str
    scope: str
    """The OAuth scope, or the Private Integration's permission, that the call needs."""
    items_key: str = ""
    shape: Shape = Shape.LIST
    query: tuple[tuple[str, str], ...] = ()
    paging: Paging = Paging.NONE
    page_size: int = 0
    id_key: str = "id"
    agency_token: bool = False
    """Whether an agency's own Private Integration Token opens it; GHL answers it 401 everywhere else."""
    parent: str | None = None
    """Path of the endpoint for each of whose entities this call is made, its id being `{agentId}`."""

    @property
    def name(self) -> str:
        """The path template, which names the endpoint in snapshots, metrics and errors."""
        return self.path


_BY_LOCATION: Final = (("locationId", "{locationId}"),)

LOCATION_SEARCH: Final = Endpoint(
    snapshot_type=SnapshotType.LOCATIONS,
    path="/locations/search",
    api_version=_VERSION_2021_07,
    scope="locations.readonly",
    items_key="locations",
    query=(("companyId", "{companyId}"), ("order", "asc")),
    paging=Paging.SKIP,
    page_size=100,
)
"""Lists the locations of a company; asked with the company's token before anything else of it."""

INSTALLED_LOCATIONS: Final = Endpoint(
    snapshot_type=SnapshotType.LOCATIONS,
    path="/oauth/installedLocations",
    api_version=_VERSION_2021_07,
    scope="oauth.readonly",
    items_key="locations",
    query=(("companyId", "{companyId}"), ("appId", "{appId}")),
    paging=Paging.SKIP,
    page_size=100,
    id_key="_id",
)
"""Lists in which of a company's locations the OAuth app is installed; only the app's own token opens it."""

LOCATION_DETAIL: Final = Endpoint(
    snapshot_type=SnapshotType.LOCATIONS,
    path="/locations/{locationId}",
    api_version=_VERSION_2021_07,
    scope="locations.readonly",
    items_key="location",
    shape=Shape.OBJECT,
    agency_token=True,
)
"""A location itself; a good answer proves that the token opens it."""

LOCATION_ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    LOCATION_DETAIL,
    Endpoint(
        snapshot_type=SnapshotType.LOCATIONS,
        path="/locations/{locationId}/customFields",
        api_version=_VERSION_2021_07,
        scope="locations/customFields.readonly",
        items_key="customFields",
        query=(("model", "all"),),  # without it GHL leaves out the fields of opportunities
    ),
    Endpoint(
        snapshot_type=SnapshotType.LOCATIONS,
        path="/locations/{locationId}/customValues",
        api_version=_VERSION_2021_07,
        scope="locations/customValues.readonly",
        items_key="customValues",
    ),
    Endpoint(
        snapshot_type=SnapshotType.LOCATIONS,
        path="/locations/{locationId}/tags",
        api_version=_VERSION_2021_07,
        scope="locations/tags.readonly",
        items_key="tags",
    ),
    Endpoint(
        snapshot_type=SnapshotType.PIPELINES,
        path="/opportunities/pipelines",
        api_version=_VERSION_2021_07,
        scope="opportunities.readonly",
        items_key="pipelines",
        query=_BY_LOCATION,
    ),
    Endpoint(
        snapshot_type=SnapshotType.WORKFLOWS,
        path="/workflows/",  # without the trailing slash GHL answers 404
        api_version=_VERSION_2021_07,
        scope="workflows.readonly",
        items_key="workflows",
        query=_BY_LOCATION,
    ),
    Endpoint(
        snapshot_type=SnapshotType.CALENDARS,
        path="/calendars/",
        api_version=_VERSION_2021_04,
        scope="calendars.readonly",
        items_key="calendars",
        query=(*_BY_LOCATION, ("showDrafted", "true")),
    ),
    Endpoint(
        snapshot_type=SnapshotType.CALENDARS,
        path="/calendars/groups",
        api_version=_VERSION_2021_04,
        scope="calendars/groups.readonly",
        items_key="groups",
        query=_BY_LOCATION,
    ),
    Endpoint(
        snapshot_type=SnapshotType.CALENDARS,
        path="/calendars/resources/rooms",
        api_version=_VERSION_2021_04,
        scope="calendars/resources.readonly",
        shape=Shape.BARE_LIST,
        query=_BY_LOCATION,
        paging=Paging.SKIP,
        page_size=100,
    ),
    Endpoint(
        snapshot_type=SnapshotType.CALENDARS,
        path="/calendars/resources/equipments",
        api_version=_VERSION_2021_04,
        scope="calendars/resources.readonly",
        shape=Shape.BARE_LIST,
        query=_BY_LOCATION,
        paging=Paging.SKIP,
        page_size=100,
    ),
    Endpoint(
        snapshot_type=SnapshotType.AI_WORKERS,
        path="/voice-ai/agents",
        api_version=_VERSION_2021_04,
        scope="voice-ai-agents.readonly",
        items_key="agents",
        query=_BY_LOCATION,
        paging=Paging.PAGE,
        page_size=50,
    ),
    Endpoint(
        snapshot_type=SnapshotType.AI_WORKERS,
        path="/conversation-ai/agents/search",  # takes no locationId: the location is the token's
        api_version=_VERSION_2021_04,
        scope="conversation-ai.readonly",
        items_key="agents",
        paging=Paging.CURSOR,
        page_size=100,
    ),
    Endpoint(
        snapshot_type=SnapshotType.AI_WORKERS,
        path="/conversation-ai/agents/{agentId}/actions/list",
        api_version=_VERSION_2021_04,
        scope="conversation-ai.readonly",
        items_key="data",
        parent="/conversation-ai/agents/search",
    ),
    Endpoint(
        snapshot_type=SnapshotType.AI_WORKERS,
        path="/agent-studio/agent",
        api_version=_VERSION_2021_04,
        scope="agent-studio.readonly",
        items_key="agents",
        query=_BY_LOCATION,
        paging=Paging.OFFSET,
        page_size=50,
        id_key="agentId",
    ),
)
"""Every call made for a location, in the order in which its entities stand in a payload."""


def endpoints_of(snapshot_type: SnapshotType) -> tuple[Endpoint, ...]:
    """The calls that make up a snapshot type for one location, in payload order."""
    return tuple(endpoint for endpoint in LOCATION_ENDPOINTS if endpoint.snapshot_type is snapshot_type)
