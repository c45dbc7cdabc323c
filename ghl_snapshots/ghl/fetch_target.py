"""The endpoint of a call, and the ids that it is for."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ghl_snapshots.core.errors import ErrorKind, GhlError
from ghl_snapshots.core.model import CaptureError, Entity, LeftOut, LeftOutReason
from ghl_snapshots.ghl.endpoint import Endpoint, Parent
from ghl_snapshots.ghl.json_slices import texts_at
from ghl_snapshots.ghl.quoting import quoted

_ID: Final = re.compile(r"(?=.{1,128}\Z)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
"""An id; the key of a custom object has dots inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchTarget:
    """The endpoint to fetch, and the ids that it is for; `location_id` is None for a company itself."""

    endpoint: Endpoint
    company_id: str | None = None
    location_id: str | None = None
    parent_id: str | None = None
    """The parent entity's value that the call is made for, which is its id in most."""
    app_id: str | None = None

    @property
    def names_account(self) -> bool:
        """Whether the call carries the location's or company's id, so that a good answer proves the token."""
        places = (self.endpoint.path, *dict(self.endpoint.query).values())
        return any(name in place for name in ("{locationId}", "{companyId}") for place in places)

    def path(self) -> str:
        """The path with the ids in their places.

        Raises:
            GhlError: REFUSED, when an id that GHL gave could lead to another path.
        """
        return self.endpoint.path.format_map(self._ids())

    def query(self) -> dict[str, str]:
        """The query parameters besides those of paging."""
        ids = self._ids()
        return {name: value.format_map(ids) for name, value in self.endpoint.query}

    def error(self, error: GhlError) -> CaptureError:
        """The error as a capture records it."""
        return CaptureError(
            endpoint=self.endpoint.name,
            location_id=self.location_id,
            parent_id=self.parent_id,
            kind=error.kind,
            status=error.status,
            message=error.message,
            attempts=error.attempts,
            cursor=error.cursor,
        )

    def left_out(self, reason: LeftOutReason, message: str) -> LeftOut:
        """What a capture records of a call that it is complete without."""
        return LeftOut(
            endpoint=self.endpoint.name,
            location_id=self.location_id,
            parent_id=self.parent_id,
            reason=reason,
            message=message,
        )

    def _ids(self) -> Mapping[str, str]:
        named = {"locationId": self.location_id, "companyId": self.company_id, "appId": self.app_id}
        if self.endpoint.parent is not None:
            named[self.endpoint.parent.into] = self.parent_id
        ids = {name: value for name, value in named.items() if value is not None}
        for value in ids.values():
            if not _ID.fullmatch(value):
                raise GhlError(
                    ErrorKind.REFUSED, f"{quoted(value)} is no id that could stand in a request", attempts=0
                )
        return ids


def parent_values(parent: Parent, entities: Iterable[Entity]) -> list[str]:
    """For which values of the parent's entities a call is made, each once however often GHL gave it."""
    return list(
        dict.fromkeys(
            value
            for entity in entities
            if _is_worth_asking(parent, entity)
            for value in (
                texts_at(bytes(entity.body), parent.value) if parent.value else [entity.entity_id or ""]
            )
        )
    )


def _is_worth_asking(parent: Parent, entity: Entity) -> bool:
    if parent.where is None:
        return True
    place, pattern = parent.where
    texts = texts_at(bytes(entity.body), place)
    return not texts or any(re.fullmatch(pattern, text) for text in texts)
