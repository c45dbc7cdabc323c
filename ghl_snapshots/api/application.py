"""The application: routes behind the gate, and every refusal a problem document."""

from collections.abc import Sequence
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ghl_snapshots.api import health_routes as operating
from ghl_snapshots.api import snapshot_routes as snapshots
from ghl_snapshots.api import trigger_routes as triggering
from ghl_snapshots.api.middleware import Gate, refused
from ghl_snapshots.api.problems import CallRefusedError, InvalidPart, Kind, Problem, database_unavailable
from ghl_snapshots.api.services import Services
from ghl_snapshots.core.errors import GhlSnapshotsError

_DESCRIPTION = """Ask for captures of a tenant's GoHighLevel configuration, follow them, and read snapshots.

Calls below `/api/` need an API key (`ghl-snapshots keys create`), sent as `Authorization: Bearer ghls_...`.
Refusals are problem documents as RFC 9457 has them. Every call has a correlation id, which its answer's
header `X-Correlation-Id`, the audit trail and the logs share."""


def application(services: Services) -> FastAPI:
    """The ASGI application over open databases."""
    app = FastAPIOffline(
        redoc_url=None,
        title="ghl_snapshots",
        version="1.0.0",
        description=_DESCRIPTION,
    )
    # The fixed paths come first, since the last router takes any word for a snapshot's id.
    for router in (operating.router, triggering.router, snapshots.router):
        app.include_router(router)
    app.exception_handler(GhlSnapshotsError)(refused)
    for lost in (psycopg.OperationalError, psycopg.InterfaceError):
        app.exception_handler(lost)(_database_failed)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_unroutable)
    app.exception_handler(Exception)(_failed)
    app.add_middleware(Gate, services=services)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return app


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    found: Sequence[Any] = error.errors()
    if any(each["type"] == "json_invalid" for each in found):
        return await refused(request, CallRefusedError(Kind.MALFORMED_JSON, "The body is not valid JSON."))
    parts = [InvalidPart(location=".".join(map(str, each["loc"])), detail=each["msg"]) for each in found]
    detail = "; ".join(f"{part.location}: {part.detail}" for part in parts[:5])
    return await refused(request, CallRefusedError(Kind.INVALID_REQUEST, detail, errors=parts))


async def _unroutable(request: Request, error: HTTPException) -> Response:
    kinds = {405: Kind.METHOD_NOT_ALLOWED, 404: Kind.NOT_FOUND, 400: Kind.MALFORMED_JSON}
    kind = kinds.get(error.status_code, Kind.INTERNAL)
    detail = f"{request.method} {request.url.path}: {kind.title.lower()}."
    return await refused(request, CallRefusedError(kind, detail, headers=dict(error.headers or {})))


async def _database_failed(request: Request, error: psycopg.Error) -> Response:
    return await refused(request, database_unavailable())


async def _failed(request: Request, error: Exception) -> Response:
    return await refused(request, CallRefusedError(Kind.INTERNAL, "The service failed; its log says why."))


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document with the problem's schema and the bearer scheme added."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        components = schema["components"]
        problem = Problem.model_json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
        components["schemas"].update({**problem.pop("$defs"), "Problem": problem})
        # Told by hand, since the gate looks at the key before a route is reached.
        components["securitySchemes"] = {"apiKey": {"type": "http", "scheme": "bearer"}}
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                if path.startswith("/api/"):
                    operation["security"] = [{"apiKey": []}]
        app.openapi_schema = schema
    return app.openapi_schema
