"""What a generated location is, from which all of its entities follow."""

import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ghl_snapshots.simulator.identifiers import object_id, short_id, uuid_id
from ghl_snapshots.simulator.industries import Industry
from ghl_snapshots.simulator.names import FIRST_NAMES, STREETS, SURNAMES

_EPOCH = datetime(2024, 1, 8, 9, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How many entities of each kind a generated location has."""

    custom_fields: int = 6
    custom_values: int = 8
    tags: int = 7
    pipelines: int = 2
    workflows: int = 8
    calendars: int = 4
    calendar_groups: int = 2
    rooms: int = 3
    equipments: int = 2
    voice_ai_agents: int = 1
    conversation_ai_agents: int = 2
    agent_studio_agents: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One location: two with equal fields have byte for byte the same entities."""

    seed: int
    location_id: str
    company_id: str
    name: str
    industry: Industry
    city: tuple[str, str, str, str]
    """Name, state, postal code, time zone."""
    sizes: Sizes

    def random(self, *parts: object) -> random.Random:
        """A source of choices for one entity, independent of every other's."""
        return random.Random("/".join(map(str, (self.seed, self.location_id, *parts))))  # noqa: S311 (no secret)

    def short_id(self, noun: str, index: int) -> str:
        """The short id of the location's noun number `index`."""
        return short_id(self.seed, self.location_id, noun, index)

    def object_id(self, noun: str, index: int) -> str:
        """The hexadecimal id of the location's noun number `index`."""
        return object_id(self.seed, self.location_id, noun, index)

    def uuid(self, noun: str, index: object) -> str:
        """The UUID of the location's noun number `index`."""
        return uuid_id(self.seed, self.location_id, noun, index)

    def staff(self, index: int) -> str:
        """The user id of the location's colleague number `index`."""
        return self.short_id("user", index % 4)

    @property
    def owner(self) -> tuple[str, str]:
        """First name and surname."""
        choice = self.random("owner")
        return choice.choice(FIRST_NAMES), choice.choice(SURNAMES)

    @property
    def address(self) -> str:
        """Number and street."""
        choice = self.random("address")
        return f"{choice.randint(10, 980)} {choice.choice(STREETS)}"

    @property
    def slug(self) -> str:
        """The name as it stands in addresses on the web."""
        return "-".join("".join(letter if letter.isalnum() else " " for letter in self.name.lower()).split())

    def phone(self, index: int = 0) -> str:
        """A phone number out of the range that is kept for fiction."""
        return f"+1{self.random('area').randint(201, 989)}555{100 + index % 100:04}"


def moment(choice: random.Random, days: int = 600) -> str:
    """A moment in the two years of the simulated past, as GHL writes it."""
    at = _EPOCH + timedelta(seconds=choice.randrange(days * 86_400), milliseconds=choice.randrange(1000))
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"


def entity(content: dict[str, object]) -> bytes:
    """The JSON of an entity as GHL writes it: compact, and not escaped beyond need."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
