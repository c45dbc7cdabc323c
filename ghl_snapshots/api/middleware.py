"""ASGI middleware: correlation id, API key, limits of the body and log line of every request."""

import time
from collections.abc import Awaitable, Callable, Mapping

import structlog
from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid7

from ghl_snapshots.api.problems import ProblemError, ProblemKind, problem_for
from ghl_snapshots.api.request_context import RequestContext
from ghl_snapshots.api.services import Services
from ghl_snapshots.core.api_keys import ApiKey
from ghl_snapshots.core.errors import GhlSnapshotsError, LedgerError

MAX_BODY_BYTES = 16_384
"""Of a request; a trigger with every field filled has less than 2,000."""
_WITH_BODY = ("POST", "/api/snapshots/trigger")
"""The one call that takes a body; others are refused by their path or method."""
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
_DEFAULT_HEADERS: Mapping[str, str] = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
_log = structlog.stdlib.get_logger("ghl_snapshots.api")


class ApiMiddleware:
    """Refuses a request before its body is parsed, and logs every one."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = RequestContext(
            services=self._services,
            correlation_id=f"api_{uuid7()}",
            method=scope["method"],
            path=scope["path"][:500],
            address=(scope.get("client") or ("",))[0][:100],
        )
        scope.setdefault("state", {})["context"] = context
        started, status = time.perf_counter(), 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Correlation-Id"] = context.correlation_id
                for name, value in _DEFAULT_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._answer(context, scope, receive, send_with_headers)
        finally:
            _log.info(
                "api_call",
                method=context.method,
                path=context.path,
                status=status,
                duration_ms=round((time.perf_counter() - started) * 1000, 1),
                correlation_id=context.correlation_id,
                tenant_id=context.tenant_id,
                key_id=context.key.key_id if context.key else None,
            )

    async def _answer(self, context: RequestContext, scope: Scope, receive: Receive, send: Send) -> None:
        if not context.path.startswith("/api/"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            context.key = await run_in_threadpool(self._authenticate, headers)
            _check_media_type(context, headers)
            receive = await _read_body(headers, receive)
        except GhlSnapshotsError as error:
            response = await run_in_threadpool(_problem_response, context, error)
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _authenticate(self, headers: Headers) -> ApiKey | None:
        scheme, _, secret = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and (key := self._services.keys.find(secret.strip())):
            return key
        if scheme or not self._services.open_locally or self._services.keys.any_made():
            raise ProblemError(
                ProblemKind.UNAUTHORIZED,
                "Send a valid API key as `Authorization: Bearer ghls_...`; "
                "`ghl-snapshots keys create` creates one.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        refuse_foreign_host(
            headers,
            "There are no API keys yet, so only calls to localhost are answered; "
            "`ghl-snapshots keys create` creates one.",
        )
        return None


def refuse_foreign_host(headers: Headers, detail: str) -> None:
    """Refuse a call to another name than this machine's own.

    A web page could reach this machine by a DNS name of its own, which is then in the Host header.
    """
    host = headers.get("host", "")
    if host not in _LOCAL_HOSTS and host.rpartition(":")[0] not in _LOCAL_HOSTS:
        raise ProblemError(ProblemKind.FOREIGN_HOST, detail)


def _problem_response(context: RequestContext, error: GhlSnapshotsError) -> Response:
    """The problem document for an error, once its audit event is stored; if that fails, the one for why."""
    problem = problem_for(error)
    if problem.kind in {ProblemKind.DATABASE_UNAVAILABLE, ProblemKind.INTERNAL}:
        cause = error.__cause__ or error
        _log.error("api_failure", error=str(error), cause=repr(cause), correlation_id=context.correlation_id)
    if problem.kind is not ProblemKind.DATABASE_UNAVAILABLE and context.path.startswith("/api/"):
        problem = _counted(context, problem)
    return problem.response(context.path, context.correlation_id)


def _counted(context: RequestContext, problem: ProblemError) -> ProblemError:
    """The answer to a refused call, and its audit event if it gets one."""
    key_id = context.key.key_id if context.key else None
    refusal = context.services.refusals.count(key_id=key_id, address=context.address)
    if refusal.wait_seconds:
        return ProblemError(
            ProblemKind.RATE_LIMITED,
            f"Too many calls were refused within a minute. Try again in {refusal.wait_seconds} s.",
            headers={"Retry-After": str(refusal.wait_seconds)},
        )
    if refusal.recorded:
        try:
            context.record_refusal(problem, unrecorded=refusal.unrecorded)
        except LedgerError as failure:
            return problem_for(failure)
    return problem


async def handle_error(request: Request, error: GhlSnapshotsError) -> Response:
    """The answer to an error that a route raised on purpose."""
    return await run_in_threadpool(_problem_response, request.state.context, error)


def _check_media_type(context: RequestContext, headers: Headers) -> None:
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if (context.method, context.path) == _WITH_BODY and media_type != "application/json":
        raise ProblemError(
            ProblemKind.UNSUPPORTED_MEDIA_TYPE, "Send the body as JSON with `Content-Type: application/json`."
        )


async def _read_body(headers: Headers, receive: Receive) -> Callable[[], Awaitable[Message]]:
    """A `receive` that replays the body, which has been read whole and is not too large."""
    length = headers.get("content-length", "0")
    body, more = b"", length.isdecimal() and int(length) <= MAX_BODY_BYTES
    if not more:
        raise _too_large()
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY_BYTES:
            raise _too_large()
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return whole.pop() if whole else await receive()

    return replay


def _too_large() -> ProblemError:
    return ProblemError(ProblemKind.BODY_TOO_LARGE, f"A body has at most {MAX_BODY_BYTES:,} bytes.")
