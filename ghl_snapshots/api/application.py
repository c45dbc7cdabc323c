"""The application: routes behind the middleware, and every error a problem document."""

from collections.abc import Sequence
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ghl_snapshots.api import health_routes, snapshot_routes, trigger_routes
from ghl_snapshots.api.middleware import ApiMiddleware, handle_error
from ghl_snapshots.api.problems import InvalidPart, Problem, ProblemError, ProblemKind, database_unavailable
from ghl_snapshots.api.services import Services
from ghl_snapshots.core.errors import GhlSnapshotsError

_DESCRIPTION = """Ask for captures of a tenant's GoHighLevel configuration, follow them, and read snapshots.

Calls below `/api/` need an API key (`ghl-snapshots keys create`), sent as `Authorization: Bearer ghls_...`.
Errors are problem documents (RFC 9457). Every call has a correlation id, which is in its answer's header
`X-Correlation-Id`, in the audit trail and in the logs."""


def application(services: Services) -> FastAPI:
    """The ASGI application over open databases."""
    app = FastAPIOffline(
        redoc_url=None,
        title="ghl_snapshots",
        version="1.0.0",
        description=_DESCRIPTION,
    )
    # Fixed paths come first: the last router has a path parameter that matches any word.
    for router in (health_routes.router, trigger_routes.router, snapshot_routes.router):
        app.include_router(router)
    app.exception_handler(GhlSnapshotsError)(handle_error)
    for connection_error in (psycopg.OperationalError, psycopg.InterfaceError):
        app.exception_handler(connection_error)(_database_failed)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_not_routed)
    app.exception_handler(Exception)(_failed)
    app.add_middleware(ApiMiddleware, services=services)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return app


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    violations: Sequence[Any] = error.errors()
    if any(each["type"] == "json_invalid" for each in violations):
        return await handle_error(
            request, ProblemError(ProblemKind.MALFORMED_JSON, "The body is not valid JSON.")
        )
    parts = [InvalidPart(location=".".join(map(str, each["loc"])), detail=each["msg"]) for each in violations]
    detail = "; ".join(f"{part.location}: {part.detail}" for part in parts[:5])
    return await handle_error(request, ProblemError(ProblemKind.INVALID_REQUEST, detail, errors=parts))


async def _not_routed(request: Request, error: HTTPException) -> Response:
    kinds = {405: ProblemKind.METHOD_NOT_ALLOWED, 404: ProblemKind.NOT_FOUND, 400: ProblemKind.MALFORMED_JSON}
    kind = kinds.get(error.status_code, ProblemKind.INTERNAL)
    detail = f"{request.method} {request.url.path}: {kind.title.lower()}."
    return await handle_error(request, ProblemError(kind, detail, headers=dict(error.headers or {})))


async def _database_failed(request: Request, error: psycopg.Error) -> Response:
    return await handle_error(request, database_unavailable())


async def _failed(request: Request, error: Exception) -> Response:
    return await handle_error(
        request, ProblemError(ProblemKind.INTERNAL, "The service failed; its log says why.")
    )


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document with the problem's schema and the bearer scheme added."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        components = schema["components"]
        problem = Problem.model_json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
        components["schemas"].update({**problem.pop("$defs"), "Problem": problem})
        # Added by hand: the middleware checks the key, so FastAPI knows nothing of it.
        components["securitySchemes"] = {"apiKey": {"type": "http", "scheme": "bearer"}}
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                if path.startswith("/api/"):
                    operation["security"] = [{"apiKey": []}]
        app.openapi_schema = schema
    return app.openapi_schema
