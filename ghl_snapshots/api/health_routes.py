"""Liveness, readiness and metrics, for those who operate the service."""

import hmac

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import choose_encoder

from ghl_snapshots.api.documents import Health
from ghl_snapshots.api.middleware import refuse_foreign_host
from ghl_snapshots.api.problems import ProblemError, ProblemKind, documented
from ghl_snapshots.api.services import Services
from ghl_snapshots.ledger.migrations import check_schema
from ghl_snapshots.metrics.exposition import exposition

router = APIRouter(tags=["operations"])


@router.get("/healthz")
async def healthz() -> Health:
    """Whether the process answers. It does not query the database: a restart would not bring that back."""
    return Health(status="ok")


@router.get("/readyz", responses={503: documented()[503]})
def readyz(request: Request) -> Health:
    """Whether calls can be served: the database answers and has this release's schema."""
    check_schema(_services(request).database)
    return Health(status="ready")


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        **{status: documented()[status] for status in (401, 403, 503)},
    },
)
def metrics(request: Request) -> Response:
    """Prometheus metrics; with GHL_SNAPSHOTS_METRICS_TOKEN set, only with that bearer token.

    Without it they name no tenant, account or trigger to other machines.
    """
    services = _services(request)
    strangers = services.metrics_for_strangers
    if services.metrics_token is not None:
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {services.metrics_token}".encode()):
            raise ProblemError(
                ProblemKind.UNAUTHORIZED,
                "Send the metrics token as `Authorization: Bearer ...`.",
                headers={"WWW-Authenticate": "Bearer"},
            )
    elif services.open_locally:
        refuse_foreign_host(
            request.headers,
            "Only calls to localhost are answered, unless GHL_SNAPSHOTS_METRICS_TOKEN is set.",
        )
    # OpenMetrics has exemplars, which name triggers.
    _, content_type = choose_encoder("" if strangers else request.headers.get("accept", ""))
    text = exposition(
        services.database,
        tenant_label=services.metrics_tenant_label and not strangers,
        openmetrics=content_type.startswith("application/openmetrics-text"),
    )
    return Response(text, headers={"Content-Type": content_type})


def _services(request: Request) -> Services:
    services: Services = request.state.context.services
    return services
