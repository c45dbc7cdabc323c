"""A request to GHL as it is sent in each attempt, and what the attempts have come to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from tenacity import Future

from ghl_snapshots.core.errors import GhlError

_SECRET_FIELDS: Final = ("client_secret", "refresh_token", "code")


@dataclass(slots=True)
class Attempts:
    """How many requests a call has cost so far, and how the latest one went."""

    sent: int = 0
    requested_at: datetime | None = None
    duration_seconds: float = 0.0
    failure: str | None = None
    """Why it is tried again."""

    def note(self, outcome: Future | None) -> None:
        """Remember why the call is tried again."""
        error = outcome.exception() if outcome else None
        self.failure = error.message if isinstance(error, GhlError) else None

    def summarized(self, error: GhlError) -> GhlError:
        """The error with the number of attempts, and where no time was left for one, why the last failed."""
        out_of_time = error.attempts == 0 and self.failure is not None
        text = f"{error.message}; before that: {self.failure}" if out_of_time else error.message
        summarized = GhlError(error.kind, text, status=error.status, attempts=self.sent)
        summarized.answer = error.answer
        return summarized


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request as it is sent in each attempt."""

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
        fields = ((self.form or {}).get(name) for name in _SECRET_FIELDS)
        return tuple(secret for secret in (self.token, *fields) if secret)

    def headers(self) -> dict[str, str]:
        """The headers that differ from call to call."""
        authorization = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return {**authorization, "Version": self.api_version}
