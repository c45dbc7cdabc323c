"""What GHL's error answers mean.

A status alone does not tell: GHL answers 401 to a bad token, to a missing scope and to a wrong Version
header, and 429 to a short burst and to a spent day. The message in the body and the rate-limit headers do.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from ghl_snapshots.core.errors import ErrorKind, GhlError
from ghl_snapshots.ghl.json_slices import read_object
from ghl_snapshots.ghl.limits import is_daily
from ghl_snapshots.ghl.quoting import quoted
from ghl_snapshots.ghl.transport import Reply

_KINDS: Final[Mapping[int, ErrorKind]] = {
    HTTPStatus.FORBIDDEN: ErrorKind.FORBIDDEN_LOCATION,
    HTTPStatus.NOT_FOUND: ErrorKind.NOT_FOUND,
    HTTPStatus.GONE: ErrorKind.NOT_FOUND,
    HTTPStatus.REQUEST_TIMEOUT: ErrorKind.TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS: ErrorKind.RATE_LIMITED,
}
_ADVICE: Final[Mapping[ErrorKind, str]] = {
    ErrorKind.INVALID_CREDENTIAL: "GHL does not accept the token of {reference}; put a valid one there",
    ErrorKind.MISSING_SCOPE: "grant the scope {scope} to the token of {reference}",
    ErrorKind.FORBIDDEN_LOCATION: "the token of {reference} may not read this; "
    "see that the account's id is right and that it still belongs to the token's company",
    ErrorKind.NOT_FOUND: "it does not exist (any more) in GHL",
    ErrorKind.INVALID_REQUEST: "GHL does not take the request as it is; its API may have changed",
    ErrorKind.RATE_LIMITED: "too many requests in a short time",
    ErrorKind.DAILY_LIMIT: "the day's quota of API requests is spent; it begins anew at midnight UTC",
    ErrorKind.SERVER_ERROR: "GHL is in trouble",
    ErrorKind.TIMEOUT: "GHL gave up waiting for the request",
}


def refusal(reply: Reply, *, reference: str, scope: str, secrets: Sequence[str]) -> GhlError:
    """The error for an answer that is not a success: its kind, GHL's own words, and what to do.

    `reference` names the credential, `scope` what the call needs; `secrets` are kept out of the text.
    """
    if HTTPStatus.MULTIPLE_CHOICES <= reply.status < HTTPStatus.BAD_REQUEST:
        return _redirect(reply, secrets)
    message = _message(reply)
    kind = _kind(reply, message)
    advice = _ADVICE[kind].format(reference=reference, scope=scope)
    return GhlError(
        kind,
        f"{advice} (GHL answered {reply.status}: {quoted(message or reply.body, *secrets)})",
        status=reply.status,
    )


def _redirect(reply: Reply, secrets: Sequence[str]) -> GhlError:
    target = urlsplit(reply.headers.get("Location", ""))
    place = f"{target.scheme}://{target.hostname}" if target.hostname else "another path"
    return GhlError(
        ErrorKind.REFUSED,
        f"GHL answered {reply.status} with a redirect to {quoted(place, *secrets)}; redirects are not "
        "followed, because the token must not leave for another place",
        status=reply.status,
    )


def _kind(reply: Reply, message: str) -> ErrorKind:
    if reply.status == HTTPStatus.UNAUTHORIZED:
        return _kind_of_unauthorized(message.lower())
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS and is_daily(reply.headers):
        return ErrorKind.DAILY_LIMIT
    if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ErrorKind.SERVER_ERROR
    return _KINDS.get(reply.status, ErrorKind.INVALID_REQUEST)


def _kind_of_unauthorized(message: str) -> ErrorKind:
    if "scope" in message:
        return ErrorKind.MISSING_SCOPE
    if "version header" in message:
        return ErrorKind.INVALID_REQUEST
    return ErrorKind.INVALID_CREDENTIAL


def _message(reply: Reply) -> str:
    """GHL's words, which are a list where it validates parameters; empty where the body is no such JSON."""
    try:
        message = read_object(reply.body).get("message")
    except GhlError:
        return ""
    if isinstance(message, list):
        return "; ".join(str(part) for part in message)
    return message if isinstance(message, str) else ""
