"""The simulated world: agencies, locations and every entity's exact bytes; tests may change all of it."""

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeAlias

from ghl_snapshots.simulator.messages import Refusal, foreign_location, not_active, not_installed

LOCATION_SCOPES = frozenset(
    {
        "locations.readonly",
        "locations/customFields.readonly",
        "locations/customValues.readonly",
        "locations/tags.readonly",
        "locations/templates.readonly",
        "objects/schema.readonly",
        "opportunities.readonly",
        "workflows.readonly",
        "calendars.readonly",
        "calendars/groups.readonly",
        "calendars/events.readonly",
        "calendars/resources.readonly",
        "voice-ai-agents.readonly",
        "conversation-ai.readonly",
        "agent-studio.readonly",
        "knowledge-bases.readonly",
    }
)
AGENCY_SCOPES = frozenset({"locations.readonly", "oauth.readonly", "oauth.write", "companies.readonly"})


class EntityLists(MutableMapping[str, list[bytes]]):
    """Lists of entities by key, each made when it is first asked for."""

    def __init__(
        self,
        keys: Callable[[], Iterable[str]] = tuple,
        make: Callable[[str], list[bytes]] = lambda _key: [],
    ) -> None:
        self._keys = keys
        self._make = make
        self._lists: dict[str, list[bytes] | None] | None = None

    def __getitem__(self, key: str) -> list[bytes]:
        """The list under the key, to read or to change."""
        lists = self._by_key()
        entities = lists[key]
        if entities is None:
            # Two threads may both make it; the content is the same and the first one stays.
            made = self._make(key)
            entities = lists[key] = lists[key] or made
        return entities

    def __setitem__(self, key: str, entities: list[bytes]) -> None:
        self._by_key()[key] = entities

    def __delitem__(self, key: str) -> None:
        del self._by_key()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_key())

    def __len__(self) -> int:
        return len(self._by_key())

    def _by_key(self) -> dict[str, list[bytes] | None]:
        if self._lists is None:
            self._lists = dict.fromkeys(self._keys())
        return self._lists


@dataclass(slots=True, kw_only=True)
class Location:
    """A sub-account; `entities` holds raw JSON by kind, `children` by child kind and the parent's id."""

    location_id: str
    company_id: str
    name: str
    private_integration_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    """The first refresh token of the OAuth app's installation in this location."""
    scopes: set[str] = field(default_factory=lambda: set(LOCATION_SCOPES), repr=False)
    """What any token of the location may read; taking one out plays a missing permission."""
    lacking_features: set[str] = field(default_factory=set, repr=False)
    """Scopes and route templates that the plan lacks: 401 `You do not have access to this feature!`."""
    installed: bool = True
    """Whether it has the OAuth app; without it, its access tokens and the exchange get 401 `Unauthorized`."""
    not_installed_status: int = 401
    """The status that the exchange for it answers without the app; 400, 401, 403 and 422 were seen."""
    active: bool = True
    """False plays a suspended one: calls, exchange and refresh get 400 `Location is not active`."""
    removed: bool = False
    """Whether it is gone: in no list, its tokens get 403; as without its id in `Agency.location_ids`."""
    token_account_id: str | None = None
    """The account whose tokens the token endpoints answer with instead of its own."""
    entities: EntityLists = field(default_factory=EntityLists, repr=False)
    children: dict[str, EntityLists] = field(default_factory=dict, repr=False)
    least_bytes: dict[str, int] = field(default_factory=dict, repr=False)
    """The size up to which entities are padded when they are served, by kind or child kind."""


@dataclass(slots=True, kw_only=True)
class Agency:
    """A company with its locations, named by id in the order in which /locations/search gives them."""

    company_id: str
    name: str
    private_integration_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    """The first refresh token of the OAuth app's installation in this company."""
    location_ids: list[str] = field(default_factory=list, repr=False)
    scopes: set[str] = field(default_factory=lambda: set(AGENCY_SCOPES), repr=False)
    token_account_id: str | None = None
    """The account whose tokens the token endpoints answer with instead of its own."""
    installed: bool = True
    entities: EntityLists = field(default_factory=EntityLists, repr=False)
    """The company itself, under `company`."""


Holder: TypeAlias = Location | Agency


def account_id(holder: Holder) -> str:
    """The location's or company's id."""
    return holder.location_id if isinstance(holder, Location) else holder.company_id


@dataclass(slots=True, kw_only=True)
class Accounts:
    """Everything one simulated GHL holds, and the OAuth app that is installed in it."""

    seed: int
    client_id: str
    client_secret: str = field(repr=False)
    locations: dict[str, Location] = field(repr=False)
    agencies: dict[str, Agency] = field(repr=False)

    @property
    def app_id(self) -> str:
        """The OAuth app's id, with which its client id begins."""
        return self.client_id.partition("-")[0]

    @property
    def single_locations(self) -> tuple[Location, ...]:
        """The locations that no agency here owns."""
        owned = {location_id for agency in self.agencies.values() for location_id in agency.location_ids}
        return tuple(place for place in self.locations.values() if place.location_id not in owned)

    def holder(self, account_id: str) -> Holder | None:
        """The location or agency with this id."""
        return self.locations.get(account_id) or self.agencies.get(account_id)

    def holders(self) -> Iterator[Holder]:
        """Every location and agency."""
        yield from self.locations.values()
        yield from self.agencies.values()

    def locations_of(self, agency: Agency) -> list[Location]:
        """The agency's locations that still exist, in order."""
        places = [self.locations[name] for name in agency.location_ids if name in self.locations]
        return [place for place in places if not place.removed]

    def location_of(self, agency: Agency, location_id: str) -> Location:
        """The agency's location with this id.

        Raises:
            Refusal: 404 when there is none anywhere, 403 when it is another's or removed, 400 when suspended.
        """
        location = self.locations.get(location_id)
        if location is None:
            raise Refusal(HTTPStatus.NOT_FOUND, "Location not found.")
        if location_id not in agency.location_ids:
            raise foreign_location()
        self.check_open(location)
        return location

    def check_open(self, location: Location, *, by_app: bool = False) -> None:
        """Refuse what is asked about a location that is closed; `by_app` is for its own access tokens.

        Raises:
            Refusal: 403 for a removed location, 400 for a suspended one, 401 for one without the app.
        """
        if self.is_removed(location):
            raise foreign_location()
        if not location.active:
            raise not_active()
        if by_app and not location.installed:
            raise not_installed()

    def is_removed(self, location: Location) -> bool:
        """Whether GHL has deleted the location or taken it out of its agency."""
        agency = self.agencies.get(location.company_id)
        return location.removed or (agency is not None and location.location_id not in agency.location_ids)
