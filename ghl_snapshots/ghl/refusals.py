"""What GHL's error answers mean: a verdict on the call that was made, and on no more than their words say.

A status alone proves nothing. GHL answers 401 to a bad token, to a missing scope, to a feature that the
customer's plan lacks, to a missing parameter and to a wrong Version header; 403 may be a gateway's page; 429
is a short burst or a spent day. The message in the body and the rate-limit headers say which it is. The words
are those of GHL's documents and of live accounts (November 2026).
"""

import re
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
    HTTPStatus.UNAUTHORIZED: ErrorKind.FORBIDDEN,
    HTTPStatus.FORBIDDEN: ErrorKind.FORBIDDEN,
    HTTPStatus.NOT_FOUND: ErrorKind.NOT_FOUND,
    HTTPStatus.GONE: ErrorKind.NOT_FOUND,
    HTTPStatus.REQUEST_TIMEOUT: ErrorKind.TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS: ErrorKind.RATE_LIMITED,
}
"""What a status means where the words do not say more."""
_IN_WORDS: Final = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
"""What counts in GHL's own words only."""
_WORDS: Final[Sequence[tuple[int, str, ErrorKind]]] = (
    (
        HTTPStatus.UNAUTHORIZED,
        r"invalid (jwt|private integration token|(access )?token)|(token|jwt)( has| is)? expired",
        ErrorKind.INVALID_CREDENTIAL,
    ),
    (HTTPStatus.UNAUTHORIZED, r"not authorized for this scope", ErrorKind.MISSING_SCOPE),
    (HTTPStatus.UNAUTHORIZED, r"version header", ErrorKind.INVALID_REQUEST),
    (HTTPStatus.UNAUTHORIZED, r"do not have access to this feature", ErrorKind.NOT_IN_PLAN),
    (HTTPStatus.FORBIDDEN, r"do not have access to this feature", ErrorKind.NOT_IN_PLAN),
    (HTTPStatus.FORBIDDEN, r"does not have access to this location", ErrorKind.FORBIDDEN_LOCATION),
    (HTTPStatus.BAD_REQUEST, r"location is not active", ErrorKind.SUSPENDED),
    (HTTPStatus.BAD_REQUEST, r"no agent found", ErrorKind.NOT_FOUND),
    # Not that there is none: GHL does not know the path, or not in this version of its API.
    (HTTPStatus.NOT_FOUND, r"^cannot get ", ErrorKind.INVALID_REQUEST),
)
_ADVICE: Final[Mapping[ErrorKind, str]] = {
    ErrorKind.INVALID_CREDENTIAL: "GHL does not accept the token of {reference}; put a valid one there",
    ErrorKind.MISSING_SCOPE: "grant the scope {scope} to the token of {reference}",
    ErrorKind.NOT_IN_PLAN: "the customer's GHL plan lacks this feature",
    ErrorKind.FORBIDDEN_LOCATION: "the token of {reference} does not open this location; see that the "
    "account's id is right, and that the token is that account's",
    ErrorKind.SUSPENDED: "GHL calls the location not active: it is captured again once it is active in GHL",
    ErrorKind.FORBIDDEN: "GHL refuses this call, and no other for it; its words say why",
    ErrorKind.NOT_FOUND: "it does not exist (any more) in GHL",
    ErrorKind.INVALID_REQUEST: "GHL does not take the request as it is; its API may have changed",
    ErrorKind.RATE_LIMITED: "too many requests in a short time",
    ErrorKind.DAILY_LIMIT: "the day's quota of API requests is spent; it begins anew at midnight UTC",
    ErrorKind.SERVER_ERROR: "GHL, or a gateway before it, is in trouble",
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
    return _error(
        kind,
        f"GHL answered {reply.status}: {quoted(message or reply.body, *secrets)}",
        status=reply.status,
        advice=_ADVICE[kind].format(reference=reference, scope=scope),
    )


def refusal_of_call(error: GhlError) -> GhlError:
    """The error as one of its call alone, where GHL accepts the token that it refuses there."""
    if error.kind is not ErrorKind.INVALID_CREDENTIAL or not error.answer:
        return error
    of_call = _error(
        ErrorKind.FORBIDDEN,
        error.answer,
        status=error.status,
        advice="GHL refuses this call, although it accepts the same token in others; try again later, and "
        "report it to GHL if it stays so",
        attempts=error.attempts,
    )
    of_call.cursor = error.cursor
    return of_call


def _error(kind: ErrorKind, answer: str, *, status: int | None, advice: str, attempts: int = 1) -> GhlError:
    error = GhlError(kind, f"{advice} ({answer})", status=status, attempts=attempts)
    error.answer = answer
    return error


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
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS and is_daily(reply.headers):
        return ErrorKind.DAILY_LIMIT
    if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR or _is_of_gateway(reply, message):
        return ErrorKind.SERVER_ERROR
    for status, words, kind in _WORDS:
        if reply.status == status and re.search(words, message, re.IGNORECASE):
            return kind
    return _KINDS.get(reply.status, ErrorKind.INVALID_REQUEST)


def _is_of_gateway(reply: Reply, message: str) -> bool:
    """Whether a gateway before GHL answered, with a page or nothing; GHL itself says in JSON what it is."""
    return reply.status in _IN_WORDS and not message


def _message(reply: Reply) -> str:
    """GHL's words, which are a list where it validates parameters; empty where the body is no such JSON."""
    try:
        message = read_object(reply.body).get("message")
    except GhlError:
        return ""
    if isinstance(message, list):
        return "; ".join(str(part) for part in message)
    return message if isinstance(message, str) else ""
