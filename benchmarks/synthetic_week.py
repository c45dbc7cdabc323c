"""A seeded week of captures: tenants of 1 to 200 locations, 0.5 % of their entities changing every hour."""

import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from ghl_snapshots.core.model import (
    AccountKind,
    Capture,
    Entity,
    RequestRecord,
    SnapshotType,
    Source,
    Status,
    Tenant,
)

START = datetime(2020, 3, 2, tzinfo=UTC)
CHANGING = 0.005
HOURLY = (SnapshotType.PIPELINES, SnapshotType.WORKFLOWS)
# Endpoint, entities in a location, bytes in an entity: roughly what the simulated accounts have.
CONTENT = {
    SnapshotType.LOCATIONS: (
        ("/locations/{locationId}", 1, 1800),
        ("/locations/{locationId}/customFields", 15, 260),
        ("/locations/{locationId}/customValues", 8, 180),
        ("/locations/{locationId}/tags", 12, 90),
    ),
    SnapshotType.PIPELINES: (("/opportunities/pipelines", 3, 1500),),
    SnapshotType.WORKFLOWS: (("/workflows/", 20, 260),),
    SnapshotType.CALENDARS: (
        ("/calendars/", 6, 1900),
        ("/calendars/groups", 2, 240),
        ("/calendars/resources/rooms", 2, 220),
        ("/calendars/resources/equipments", 2, 220),
    ),
    SnapshotType.AI_WORKERS: (
        ("/voice-ai/agents", 1, 3200),
        ("/conversation-ai/agents/search", 1, 2600),
        ("/agent-studio/agent", 1, 900),
    ),
}
WORDS = ("lead", "new", "booked", "won", "lost", "call", "follow", "demo", "trial", "invoice")


@dataclass(frozen=True, slots=True)
class Moment:
    """One tick of a schedule: when, and which types it captures."""

    at: datetime
    types: tuple[SnapshotType, ...]


def moments(days: int, *, everything: bool = False) -> Iterator[Moment]:
    """Hourly ticks for pipelines and workflows (or for everything), and at two in the morning for all."""
    for hour in range(24 * days):
        at = START + timedelta(hours=hour)
        yield Moment(at, tuple(SnapshotType) if everything or at.hour == 2 else HOURLY)


class Account:
    """One tenant's account, which changes by the hour."""

    def __init__(self, number: int, locations: int | None = None) -> None:
        self.number = number
        self.random = random.Random(number)  # noqa: S311 - the week must be the same every time
        self.locations = locations or round(math.exp(self.random.uniform(0, math.log(200))))
        self.tenant = Tenant(
            tenant_id=f"tenant-{number:04}",
            ghl_account_id=f"account-{number:04}",
            account_kind=AccountKind.COMPANY,
            credential="env:TOKEN",
        )
        self._lists = {
            kind: [
                (endpoint, location, [self._entity(endpoint, location, size) for _ in range(count)])
                for endpoint, count, size in content
                for location in range(self.locations)
            ]
            for kind, content in CONTENT.items()
        }

    def change(self, types: tuple[SnapshotType, ...] = tuple(SnapshotType)) -> None:
        """Let an hour pass."""
        for kind in types:
            for endpoint, location, entities in self._lists[kind]:
                for place, entity in enumerate(entities):
                    if self.random.random() < CHANGING:
                        entities[place] = self._entity(endpoint, location, len(entity.body), entity.entity_id)

    def capture(self, kind: SnapshotType, at: datetime, trigger: str) -> Capture:
        """What a capture of one type yields now."""
        entities: list[Entity] = []
        requests = []
        for endpoint, location, some in self._lists[kind]:
            requests.append(self._request(endpoint, location, len(entities), len(some), at))
            entities += some
        return Capture(
            tenant_id=self.tenant.tenant_id,
            ghl_account_id=self.tenant.ghl_account_id,
            snapshot_type=kind,
            captured_at=at + timedelta(microseconds=self.random.randrange(10**6)),
            duration_ms=self.random.randrange(200, 5000),
            status=Status.SUCCESS,
            entities=tuple(entities),
            requests=tuple(requests),
            errors=(),
            api_calls={(requests[0].endpoint, 200): len(requests)},
            api_version="2021-07-28",
            source=Source.SCHEDULED,
            correlation_id=f"scheduled_{trigger}_{int(at.timestamp() * 1000)}",
        )

    def _entity(self, endpoint: str, location: int, size: int, entity_id: str | None = None) -> Entity:
        id_ = entity_id or f"{self.random.getrandbits(120):020x}"
        stages: list[dict[str, str]] = []
        value = {
            "id": id_,
            "name": " ".join(self.random.choices(WORDS, k=3)).title(),
            "locationId": self._location(location),
            "dateUpdated": f"2026-03-02T{self.random.randrange(24):02}:{self.random.random():.9f}Z",
            "status": self.random.choice(("draft", "published")),
            "stages": stages,
        }
        missing = size - len(json.dumps(value))
        while missing > 60:
            stage = {"id": str(UUID(int=self.random.getrandbits(128))), "name": self.random.choice(WORDS)}
            stages.append(stage)
            missing -= len(json.dumps(stage)) + 2
        return Entity(
            body=json.dumps(value).encode(),
            endpoint=endpoint,
            entity_id=id_,
            location_id=self._location(location),
        )

    def _request(self, endpoint: str, location: int, offset: int, count: int, at: datetime) -> RequestRecord:
        return RequestRecord(
            endpoint=endpoint,
            location_id=self._location(location),
            parent_id=None,
            offset=offset,
            count=count,
            status=200,
            api_version="2021-07-28",
            trace_id=str(UUID(int=self.random.getrandbits(128))),
            requested_at=at + timedelta(microseconds=self.random.randrange(5 * 10**6)),
            duration_ms=self.random.randrange(20, 400),
            attempts=1,
        )

    def _location(self, number: int) -> str:
        return f"{self.tenant.tenant_id[-4:]}Ue8sHxTPXdQ{number:05}"
