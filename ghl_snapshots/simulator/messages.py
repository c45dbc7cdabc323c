"""A request as it came in, a reply as it goes out, and the body of a refusal."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from urllib.parse import parse_qsl

JSON_TYPE = "application/json; charset=utf-8"


@dataclass(frozen=True, kw_only=True)
class Request:
    """One HTTP request; header names are in lower case, `query` holds the last value of each parameter."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)
    invent_entities: bool = False
    """Answer from an endless row of made-up entities instead of the account's own (see faults)."""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @cached_property
    def form(self) -> dict[str, str]:
        """The fields of a form-encoded body; empty for any other content type."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            return {}
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One HTTP answer; Content-Length and the rate-limit headers are added when it is sent."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    from_gateway: bool = False
    """Whether it comes from before GHL, whose rate-limit headers it then lacks."""


class Refusal(Exception):  # noqa: N818 (it is an answer, not a fault of the simulator)
    """Ends the handling of a request with an error answer; `message` is a list where GHL validates fields.

    A `brief` answer holds status and message only, as those of GHL's older services do.
    """

    def __init__(
        self, status: int, message: str | list[str], error: str | None = None, *, brief: bool = False
    ) -> None:
        super().__init__(message)
        self.status = HTTPStatus(status)
        self.message = message
        self.error = error
        self.brief = brief

    def reply(self) -> Reply:
        """The error answer, in the shape of the documents' UnauthorizedDTO and its siblings."""
        content = {"statusCode": int(self.status), "message": self.message}
        if not self.brief:
            content |= {"error": self.error or self.status.phrase, "traceId": trace_id()}
        return Reply(status=self.status, body=json.dumps(content, separators=(",", ":")).encode())


def invalid(*problems: str) -> Refusal:
    """The 422 for parameters that are missing, unknown or out of range."""
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, list(problems), "Unprocessable Entity")


def not_authorized() -> Refusal:
    """The 401 for a good credential that lacks the scope, or whose kind the endpoint does not take."""
    return Refusal(HTTPStatus.UNAUTHORIZED, "The token is not authorized for this scope.")


def foreign_location() -> Refusal:
    """The 403 for a location that the token may not read."""
    return Refusal(HTTPStatus.FORBIDDEN, "The token does not have access to this location.")


def not_active() -> Refusal:
    """The 400 for a suspended location, whatever is asked about it."""
    return Refusal(HTTPStatus.BAD_REQUEST, "Location is not active")


def not_installed(status: int = HTTPStatus.UNAUTHORIZED) -> Refusal:
    """The answer about a location without the app: 401 `Unauthorized`, or another status."""
    return Refusal(status, HTTPStatus(status).phrase, brief=True)


def not_in_plan() -> Refusal:
    """The 401 for a feature that the plan of the location's customer lacks."""
    words = "You do not have access to this feature! Please contact the admin!"
    return Refusal(HTTPStatus.UNAUTHORIZED, words, brief=True)


def foreign_company() -> Refusal:
    """The 403 for a company that the token may not read."""
    return Refusal(HTTPStatus.FORBIDDEN, "The token does not have access to this company.")


def trace_id() -> str:
    """A fresh id, different on every call."""
    return str(uuid.uuid4())
