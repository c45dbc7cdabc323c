"""The endpoint of a call, and the ids that it is for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ghl_snapshots.core.errors import ErrorKind, GhlError
from ghl_snapshots.core.model import CaptureError, LeftOut, LeftOutReason
from ghl_snapshots.ghl.endpoints import Endpoint
from ghl_snapshots.ghl.quoting import quoted

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchTarget:
    """The endpoint to fetch, and the ids that it is for; `location_id` is None for a company itself."""

    endpoint: Endpoint
    company_id: str | None = None
    location_id: str | None = None
    parent_id: str | None = None
    app_id: str | None = None

    @property
    def names_account(self) -> bool:
        """Whether the call carries the location's or company's id, so that a good answer proves the token."""
        ids = {"{locationId}", "{companyId}"}
        return "{locationId}" in self.endpoint.path or not ids.isdisjoint(dict(self.endpoint.query).values())

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
            endpoint=self.endpoint.name, location_id=self.location_id, reason=reason, message=message
        )

    def _ids(self) -> Mapping[str, str]:
        named = {
            "locationId": self.location_id,
            "companyId": self.company_id,
            "agentId": self.parent_id,
            "appId": self.app_id,
        }
        ids = {name: value for name, value in named.items() if value is not None}
        for value in ids.values():
            if not _ID.fullmatch(value):
                raise GhlError(
                    ErrorKind.REFUSED, f"{quoted(value)} is no id that could stand in a request", attempts=0
                )
        return ids
