"""The catalogue of GHL calls: one row for each, and adding an endpoint is adding a row.

Paths, versions, paging and scopes are those of GHL's published OpenAPI documents (June 2026); where live
accounts behave otherwise, or a document says nothing, the row's comment says so. docs/endpoints.md is made
from the rows.
"""

from typing import Final

from ghl_snapshots.core.model import AccountKind, SnapshotType
from ghl_snapshots.ghl.endpoint import By, Endpoint, Fallback, Paging, Parent, Shape

_2021_04: Final = "2021-04-15"
_V3: Final = "v3"
_BY_LOCATION: Final = (("locationId", "{locationId}"),)
_GONE: Final = frozenset({404, 410})
_NOT_ZERO: Final = r"(?s)(?![+-]?0+(\.0*)?\Z).*"
"""Whatever else a count is, a call tells."""
_WEBSITE: Final = "the documents' website"

LOCATION_SEARCH: Final = Endpoint(
    snapshot_type=SnapshotType.LOCATIONS,
    path="/locations/search",
    holds="which locations an agency has",
    scope="locations.readonly",
    account=AccountKind.COMPANY,
    query=(("companyId", "{companyId}"), ("order", "asc")),
    paging=Paging(by=By.POSITION, start="skip", limit="limit", size=100),
    items=("locations",),
    agency_token=True,
    in_payload=False,
)
"""Lists the locations of a company; asked with the company's token before anything else of it."""

INSTALLED_LOCATIONS: Final = Endpoint(
    snapshot_type=SnapshotType.LOCATIONS,
    path="/oauth/installedLocations",
    holds="in which of an agency's locations the app is installed",
    scope="oauth.readonly",
    must=False,
    account=AccountKind.COMPANY,
    query=(("companyId", "{companyId}"), ("appId", "{appId}")),
    paging=Paging(by=By.POSITION, start="skip", limit="limit", size=100),
    items=("locations",),
    id="_id",
    in_payload=False,
)
"""Lists in which of a company's locations the OAuth app is installed; only the app's own token opens it."""

LOCATION_DETAIL: Final = Endpoint(
    snapshot_type=SnapshotType.LOCATIONS,
    path="/locations/{locationId}",
    holds="the location with its settings",
    scope="locations.readonly",
    items=("location",),
    shape=Shape.OBJECT,
    is_account=True,
    agency_token=True,
)
"""A location itself; a good answer proves that the token opens it."""

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    LOCATION_SEARCH,
    INSTALLED_LOCATIONS,
    Endpoint(
        snapshot_type=SnapshotType.LOCATIONS,
        path="/companies/{companyId}",
        holds="the agency itself",
        scope="companies.readonly",
        must=False,
        account=AccountKind.COMPANY,
        items=("company",),
        shape=Shape.OBJECT,
        is_account=True,
        agency_token=True,
    ),
    LOCATION_DETAIL,
    Endpoint(
        snapshot_type=SnapshotType.LOCATIONS,
        path="/locations/{locationId}/customFields",
        holds="custom fields of contacts and opportunities",
        scope="locations/customFields.readonly",
        query=(("model", "all"),),  # without it GHL leaves out the fields of opportunities
        items=("customFields",),
    ),
    Endpoint(
        snapshot_type=SnapshotType.LOCATIONS,
        path="/locations/{locationId}/customValues",
        holds="custom values",
        scope="locations/customValues.readonly",
        items=("customValues",),
    ),
    Endpoint(
        snapshot_type=SnapshotType.LOCATIONS,
        path="/locations/{locationId}/tags",
        holds="tags",
        scope="locations/tags.readonly",
        items=("tags",),
    ),
    Endpoint(
        snapshot_type=SnapshotType.LOCATIONS,
        path="/locations/{locationId}/templates",
        holds="templates of SMS, e-mail and WhatsApp messages",
        scope="locations/templates.readonly",
        must=False,
        query=(("originId", "{locationId}"),),  # documented as required; live clients send the location's id
        paging=Paging(by=By.POSITION, start="skip", limit="limit", size=100),
        items=("templates",),
    ),
    Endpoint(
        snapshot_type=SnapshotType.LOCATIONS,
        path="/locations/{locationId}/conversationChannels/SMS",
        holds="providers of SMS",
        scope="locations.readonly",
        api_version=_V3,
        must=False,
        items=("conversationChannel.SMS",),
        is_optional=True,
        id="conversationProvider._id",
    ),
    Endpoint(
        snapshot_type=SnapshotType.LOCATIONS,
        path="/locations/{locationId}/conversationChannels/Email",
        holds="providers of e-mail",
        scope="locations.readonly",
        api_version=_V3,
        must=False,
        items=("conversationChannel.Email",),
        is_optional=True,
        id="conversationProvider._id",
    ),
    Endpoint(
        snapshot_type=SnapshotType.LOCATIONS,
        path="/objects/",
        holds="the kinds of objects, custom ones included",
        scope="objects/schema.readonly",
        must=False,
        query=_BY_LOCATION,
        items=("objects",),
        absent=_GONE,
        source=_WEBSITE,
    ),
    Endpoint(
        snapshot_type=SnapshotType.LOCATIONS,
        path="/custom-fields/object-key/{objectKey}",
        holds="custom fields and folders of companies and custom objects",
        scope="locations/customFields.readonly",
        must=False,
        query=_BY_LOCATION,
        items=("fields", "folders"),
        parent=Parent(
            path="/objects/", into="objectKey", value="key", where=("key", r"business|custom_objects\..+")
        ),
        absent=_GONE,
        source=_WEBSITE,
    ),
    Endpoint(
        snapshot_type=SnapshotType.PIPELINES,
        path="/opportunities/pipelines",
        holds="opportunity pipelines with their stages",
        scope="opportunities.readonly",
        query=_BY_LOCATION,
        items=("pipelines",),
    ),
    Endpoint(
        snapshot_type=SnapshotType.PIPELINES,
        path="/opportunities/lost-reason",
        holds="reasons for which opportunities are lost",
        scope="opportunities.readonly",
        query=(*_BY_LOCATION, ("getCount", "true")),
        paging=Paging(by=By.POSITION, start="skip", limit="limit", size=100),
        items=("lostReasons",),
    ),
    Endpoint(
        snapshot_type=SnapshotType.WORKFLOWS,
        path="/workflows/",  # without the trailing slash GHL answers 404
        holds="workflows: name, status, version and dates",
        scope="workflows.readonly",
        query=_BY_LOCATION,
        items=("workflows",),
    ),
    Endpoint(
        snapshot_type=SnapshotType.CALENDARS,
        path="/calendars/",
        holds="calendars, drafts included",
        scope="calendars.readonly",
        api_version=_2021_04,
        query=(*_BY_LOCATION, ("showDrafted", "true")),
        items=("calendars",),
    ),
    Endpoint(
        snapshot_type=SnapshotType.CALENDARS,
        path="/calendars/groups",
        holds="calendar groups",
        scope="calendars/groups.readonly",
        api_version=_2021_04,
        query=_BY_LOCATION,
        items=("groups",),
    ),
    Endpoint(
        snapshot_type=SnapshotType.CALENDARS,
        path="/calendars/resources/rooms",
        holds="rooms",
        scope="calendars/resources.readonly",
        api_version=_2021_04,
        query=_BY_LOCATION,
        paging=Paging(by=By.POSITION, start="skip", limit="limit", size=100),
        id="",
        absent=_GONE,  # deprecated in v3
    ),
    Endpoint(
        snapshot_type=SnapshotType.CALENDARS,
        path="/calendars/resources/equipments",
        holds="equipment",
        scope="calendars/resources.readonly",
        api_version=_2021_04,
        query=_BY_LOCATION,
        paging=Paging(by=By.POSITION, start="skip", limit="limit", size=100),
        id="",
        absent=_GONE,
    ),
    Endpoint(
        snapshot_type=SnapshotType.CALENDARS,
        path="/calendars/schedules/search",
        holds="schedules: when users and calendars can be booked",
        scope="calendars.readonly",
        api_version=_2021_04,
        query=_BY_LOCATION,
        paging=Paging(by=By.POSITION, start="skip", limit="limit", size=100, short_is_last=True),
        items=("schedules",),
        # `userId` is documented as required; live clients leave it out and get the location's.
        fallback=Fallback(
            statuses=frozenset({400, 422}),
            parent=Parent(path="/calendars/", into="userId", value="teamMembers[].userId"),
            query=(("userId", "{userId}"),),
        ),
    ),
    Endpoint(
        snapshot_type=SnapshotType.CALENDARS,
        path="/calendars/schedules/event-calendar/{calendarId}",
        holds="the schedule of each event calendar",
        scope="calendars.readonly",
        api_version=_V3,
        items=("schedule",),
        shape=Shape.OBJECT,
        id="calendarId",
        parent=Parent(path="/calendars/", into="calendarId", where=("calendarType", "event")),
        absent=frozenset({404}),
    ),
    Endpoint(
        snapshot_type=SnapshotType.CALENDARS,
        path="/calendars/{calendarId}/notifications",
        holds="notifications of each calendar",
        scope="calendars/events.readonly",
        api_version=_2021_04,
        paging=Paging(by=By.POSITION, start="skip", limit="limit", size=100, short_is_last=True),
        id="_id",
        parent=Parent(path="/calendars/", into="calendarId"),
        fallback=Fallback(statuses=frozenset({400}), unpaged=True),  # seen: limit is "a wrong type 'string'"
    ),
    Endpoint(
        snapshot_type=SnapshotType.CALENDARS,
        path="/calendars/services/catalog",
        holds="services with variations and staff",
        scope="calendars.readonly",
        api_version=_V3,
        query=_BY_LOCATION,
        items=("services",),
    ),
    Endpoint(
        snapshot_type=SnapshotType.CALENDARS,
        path="/calendars/services/locations",
        holds="places where services are given",
        scope="calendars.readonly",
        api_version=_V3,
        query=_BY_LOCATION,
        items=("serviceLocations",),
    ),
    Endpoint(
        snapshot_type=SnapshotType.AI_WORKERS,
        path="/voice-ai/agents",
        holds="voice agents with prompt and actions",
        scope="voice-ai-agents.readonly",
        api_version=_2021_04,
        query=_BY_LOCATION,
        paging=Paging(by=By.PAGE, start="page", limit="pageSize", size=50),
        items=("agents",),
    ),
    Endpoint(
        snapshot_type=SnapshotType.AI_WORKERS,
        path="/conversation-ai/agents/search",  # takes no locationId: the location is the token's
        holds="conversation agents as listed",
        scope="conversation-ai.readonly",
        api_version=_2021_04,
        paging=Paging(by=By.CURSOR, start="startAfter", limit="limit", size=100),
        items=("agents",),
    ),
    Endpoint(
        snapshot_type=SnapshotType.AI_WORKERS,
        path="/conversation-ai/agents/{agentId}",
        holds="each conversation agent with instructions and personality",
        scope="conversation-ai.readonly",
        api_version=_2021_04,
        shape=Shape.OBJECT,
        parent=Parent(path="/conversation-ai/agents/search", into="agentId"),
    ),
    Endpoint(
        snapshot_type=SnapshotType.AI_WORKERS,
        path="/conversation-ai/agents/{agentId}/actions/list",
        holds="actions of each conversation agent",
        scope="conversation-ai.readonly",
        api_version=_2021_04,
        items=("data",),
        parent=Parent(path="/conversation-ai/agents/search", into="agentId"),
    ),
    Endpoint(
        snapshot_type=SnapshotType.AI_WORKERS,
        path="/agent-studio/agent",
        holds="studio agents as listed",
        scope="agent-studio.readonly",
        api_version=_2021_04,
        query=_BY_LOCATION,
        paging=Paging(by=By.POSITION, start="offset", limit="limit", size=50),
        items=("agents",),
        id="agentId",
    ),
    Endpoint(
        snapshot_type=SnapshotType.AI_WORKERS,
        path="/agent-studio/agent/{agentId}",
        holds="each studio agent with all its versions: nodes, prompts, tools, variables",
        scope="agent-studio.readonly",
        api_version=_2021_04,
        query=_BY_LOCATION,
        items=("agent",),
        shape=Shape.OBJECT,
        id="agentId",
        parent=Parent(path="/agent-studio/agent", into="agentId"),
        absent=frozenset({404}),  # an inactive agent
    ),
    Endpoint(
        snapshot_type=SnapshotType.AI_WORKERS,
        path="/knowledge-bases/",
        holds="knowledge bases as listed",
        scope="knowledge-bases.readonly",  # in no document; live apps ask for it
        api_version=_2021_04,
        must=False,
        query=_BY_LOCATION,
        paging=Paging(by=By.CURSOR, start="lastKnowledgeBaseId", limit="limit", size=50),
        items=("data.knowledgeBases",),
        more=("data.hasMore",),
    ),
    Endpoint(
        snapshot_type=SnapshotType.AI_WORKERS,
        path="/knowledge-bases/{knowledgeBaseId}",
        holds="each knowledge base with the numbers of its contents",
        scope="knowledge-bases.readonly",
        api_version=_2021_04,
        must=False,
        items=("data",),
        shape=Shape.OBJECT,
        parent=Parent(path="/knowledge-bases/", into="knowledgeBaseId"),
    ),
    Endpoint(
        snapshot_type=SnapshotType.AI_WORKERS,
        path="/knowledge-bases/faqs",
        holds="questions and answers of each knowledge base",
        scope="knowledge-bases.readonly",
        api_version=_2021_04,
        must=False,
        query=(*_BY_LOCATION, ("knowledgeBaseId", "{knowledgeBaseId}")),
        paging=Paging(by=By.CURSOR, start="lastFaqId", limit="limit", size=10),
        items=("faqs",),
        parent=Parent(
            path="/knowledge-bases/{knowledgeBaseId}",
            into="knowledgeBaseId",
            where=("kbMetadata.faqs", _NOT_ZERO),
        ),
    ),
    Endpoint(
        snapshot_type=SnapshotType.AI_WORKERS,
        path="/knowledge-bases/crawler",
        holds="web pages of each knowledge base; `content` is a link, not the text",
        scope="knowledge-bases.readonly",
        api_version=_2021_04,
        must=False,
        query=(*_BY_LOCATION, ("knowledgeBaseId", "{knowledgeBaseId}")),
        paging=Paging(by=By.PAGE, start="page", limit="pageLength", size=50),
        items=("urls",),
        total=("count",),
        parent=Parent(
            path="/knowledge-bases/{knowledgeBaseId}",
            into="knowledgeBaseId",
            where=("kbMetadata.urls", _NOT_ZERO),
        ),
    ),
    Endpoint(
        snapshot_type=SnapshotType.AI_WORKERS,
        path="/knowledge-bases/files",
        holds="files of each knowledge base",
        scope="knowledge-bases.readonly",
        api_version=_V3,
        must=False,
        query=(("knowledgeBaseId", "{knowledgeBaseId}"),),
        paging=Paging(by=By.CURSOR, start="lastFileId", limit="limit", size=10, short_is_last=True),
        items=("data.files",),
        parent=Parent(
            path="/knowledge-bases/{knowledgeBaseId}",
            into="knowledgeBaseId",
            where=("kbMetadata.files", _NOT_ZERO),
        ),
        absent=_GONE,
        source=_WEBSITE,
    ),
)
"""Every call that captures make, in the order in which its entities stand in a payload."""


def endpoints_of(
    snapshot_type: SnapshotType, account: AccountKind = AccountKind.LOCATION
) -> tuple[Endpoint, ...]:
    """The calls that make up a snapshot type for one location, or for a company itself, in payload order."""
    return tuple(
        endpoint
        for endpoint in ENDPOINTS
        if endpoint.snapshot_type is snapshot_type and endpoint.account is account and endpoint.in_payload
    )
