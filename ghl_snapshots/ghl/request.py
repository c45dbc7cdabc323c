"""A request to GHL as it is to be sent each time it is tried, and what the tries have come to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

_SECRET_FIELDS: Final = ("client_secret", "refresh_token")


@dataclass(slots=True)
class Tries:
    """How many requests a call has cost so far, and when the latest one went out."""

    sent: int = 0
    requested_at: datetime | None = None
    started: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request as it is to be sent, each time it is tried."""

    method: str
    path: str
    endpoint: str
    api_version: str
    scope: str
    reference: str
    resource_id: str | None
    token: str | None = field(repr=False)
    query: Mapping[str, str] | None = None
    form: Mapping[str, str] | None = field(default=None, repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no error may repeat, even if GHL does."""
        held = (self.form or {}).get
        return tuple(secret for secret in (self.token, *map(held, _SECRET_FIELDS)) if secret)

    def headers(self) -> dict[str, str]:
        """The headers that differ from call to call."""
        authorization = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return {**authorization, "Version": self.api_version}
