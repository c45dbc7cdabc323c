"""What every call passes before it reaches a route: its id, its key, the limits of its body, its log line."""

import time
from collections.abc import Awaitable, Callable, Mapping

import structlog
from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid7

from ghl_snapshots.api.problems import CallRefusedError, Kind, refusal_of
from ghl_snapshots.api.request_context import Call
from ghl_snapshots.api.services import Services
from ghl_snapshots.core.api_keys import ApiKey
from ghl_snapshots.core.errors import GhlSnapshotsError, LedgerError

LONGEST_BODY = 16_384
"""Bytes of a request's body; a trigger with everything in it has less than 2,000."""
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
_ADDED_HEADERS: Mapping[str, str] = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
_log = structlog.stdlib.get_logger("ghl_snapshots.api")


class Gate:
    """ASGI middleware around the application: refuses before a body is parsed, and tells of every call."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = Call(
            services=self._services,
            correlation_id=f"api_{uuid7()}",
            method=scope["method"],
            path=scope["path"][:500],
        )
        scope.setdefault("state", {})["call"] = call
        began, status = time.perf_counter(), 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Correlation-Id"] = call.correlation_id
                for name, value in _ADDED_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._answer(call, scope, receive, sending)
        finally:
            _log.info(
                "api_call",
                method=call.method,
                path=call.path,
                status=status,
                duration_ms=round((time.perf_counter() - began) * 1000, 1),
                correlation_id=call.correlation_id,
                tenant_id=call.tenant_id,
                key_id=call.key.key_id if call.key else None,
            )

    async def _answer(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        if not call.path.startswith("/api/"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            call.key = await run_in_threadpool(self._key, headers)
            _check_media_type(call.method, headers)
            receive = await _limited(headers, receive)
        except GhlSnapshotsError as error:
            response = await run_in_threadpool(refuse, call, error)
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _key(self, headers: Headers) -> ApiKey | None:
        scheme, _, secret = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and (key := self._services.keys.find(secret.strip())):
            return key
        if scheme or not self._services.open_locally or self._services.keys.any_made():
            raise CallRefusedError(
                Kind.UNAUTHORIZED,
                "Send an API key that was not revoked, as `Authorization: Bearer ghls_...`; "
                "`ghl-snapshots keys create` makes one.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        # A page in a browser can call by another name that leads here; the name then gives it away.
        if (
            headers.get("host", "").rpartition(":")[0] not in _LOCAL_HOSTS
            and headers.get("host") not in _LOCAL_HOSTS
        ):
            raise CallRefusedError(
                Kind.FOREIGN_HOST,
                "No API key was made yet, so only calls to localhost are answered; "
                "`ghl-snapshots keys create` makes one.",
            )
        return None


def refuse(call: Call, error: GhlSnapshotsError) -> Response:
    """The problem document for an error, after its audit event; if that cannot be kept, the reason for it."""
    refusal = refusal_of(error)
    if refusal.kind in {Kind.DATABASE_UNAVAILABLE, Kind.INTERNAL}:
        cause = error.__cause__ or error
        _log.error("api_failure", error=str(error), cause=repr(cause), correlation_id=call.correlation_id)
    if refusal.kind is not Kind.DATABASE_UNAVAILABLE and call.path.startswith("/api/"):
        try:
            call.refused(refusal)
        except LedgerError as lost:
            refusal = refusal_of(lost)
    return refusal.response(call.path, call.correlation_id)


async def refused(request: Request, error: GhlSnapshotsError) -> Response:
    """Handle an error that a route raised on purpose."""
    return await run_in_threadpool(refuse, request.state.call, error)


def _check_media_type(method: str, headers: Headers) -> None:
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if method in {"POST", "PUT", "PATCH"} and media_type != "application/json":
        raise CallRefusedError(
            Kind.UNSUPPORTED_MEDIA_TYPE, "Send the body as JSON with `Content-Type: application/json`."
        )


async def _limited(headers: Headers, receive: Receive) -> Callable[[], Awaitable[Message]]:
    """The same body, read whole, after which nothing but the end of the connection is to come."""
    length = headers.get("content-length", "0")
    body, more = b"", length.isdecimal() and int(length) <= LONGEST_BODY
    if not more:
        raise _too_large()
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > LONGEST_BODY:
            raise _too_large()
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return whole.pop() if whole else await receive()

    return replayed


def _too_large() -> CallRefusedError:
    return CallRefusedError(Kind.BODY_TOO_LARGE, f"A body has at most {LONGEST_BODY:,} bytes.")
