"""For those who run the service: is it alive, can it work, what has it done."""

import hmac

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import choose_encoder

from ghl_snapshots.api.documents import Health
from ghl_snapshots.api.problems import CallRefusedError, Kind, documented
from ghl_snapshots.api.services import Services
from ghl_snapshots.ledger.migrate import check_schema
from ghl_snapshots.metrics.exposition import exposition

router = APIRouter(tags=["operations"])


@router.get("/healthz")
async def healthz() -> Health:
    """Whether the process answers; it does not ask the database, whose failure no restart would mend."""
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
        **{status: documented()[status] for status in (401, 503)},
    },
)
def metrics(request: Request) -> Response:
    """Prometheus metrics, computed from the tables; with GHL_SNAPSHOTS_METRICS_TOKEN only for its bearer."""
    services = _services(request)
    if services.metrics_token is not None:
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {services.metrics_token}".encode()):
            raise CallRefusedError(
                Kind.UNAUTHORIZED,
                "Send the metrics token as `Authorization: Bearer ...`.",
                headers={"WWW-Authenticate": "Bearer"},
            )
    _, content_type = choose_encoder(request.headers.get("accept", ""))
    told = exposition(
        services.database,
        tenant_label=services.metrics_tenant_label,
        openmetrics=content_type.startswith("application/openmetrics-text"),
    )
    return Response(told, headers={"Content-Type": content_type})


def _services(request: Request) -> Services:
    services: Services = request.state.call.services
    return services
