"""Refusals as problem documents (RFC 9457), one kind for each cause."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from ghl_snapshots.core.errors import (
    AccountMismatchError,
    ConfigurationError,
    GhlSnapshotsError,
    IdempotencyConflictError,
    LedgerError,
    RequestLimitError,
    RequestNotFoundError,
    SnapshotCorruptError,
    SnapshotNotFoundError,
    TenantDisabledError,
    UnknownTenantError,
)

MEDIA_TYPE = "application/problem+json"
_TYPE_PREFIX = "urn:ghl-snapshots:problem:"
_RETRY_AFTER_SECONDS = 5


class Kind(Enum):
    """What went wrong: the last part of the document's `type`, its HTTP status and its title."""

    MALFORMED_JSON = ("malformed-json", 400, "The body is not JSON")
    UNAUTHORIZED = ("unauthorized", 401, "A valid API key is needed")
    FORBIDDEN = ("forbidden", 403, "The API key may not do this")
    FOREIGN_HOST = ("foreign-host", 403, "Without API keys only this machine is answered")
    ACCOUNT_MISMATCH = ("account-mismatch", 403, "The account is not the tenant's")
    UNKNOWN_TENANT = ("unknown-tenant", 404, "There is no such tenant")
    NOT_FOUND = ("not-found", 404, "There is nothing here")
    METHOD_NOT_ALLOWED = ("method-not-allowed", 405, "The method is not allowed here")
    TENANT_DISABLED = ("tenant-disabled", 409, "The tenant is disabled")
    BODY_TOO_LARGE = ("body-too-large", 413, "The body is too large")
    UNSUPPORTED_MEDIA_TYPE = ("unsupported-media-type", 415, "The body must be application/json")
    INVALID_REQUEST = ("invalid-request", 422, "The request is not valid")
    IDEMPOTENCY_KEY_REUSED = ("idempotency-key-reused", 422, "The Idempotency-Key stands for another request")
    RATE_LIMITED = ("rate-limited", 429, "The tenant has asked too often")
    INTERNAL = ("internal", 500, "The service failed")
    SNAPSHOT_CORRUPT = ("snapshot-corrupt", 500, "The stored snapshot is not what was captured")
    DATABASE_UNAVAILABLE = ("database-unavailable", 503, "The database does not answer")

    def __init__(self, slug: str, status: int, title: str) -> None:
        self.slug = slug
        self.status = status
        self.title = title


class InvalidPart(BaseModel):
    """One thing in a request that is not valid."""

    location: str = Field(description="Where it is, such as `body.snapshotTypes.0`.")
    detail: str


class Problem(BaseModel):
    """Why a call was refused, as RFC 9457 has it."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    type: str = Field(description="A URN that names the kind of problem.")
    title: str
    status: int
    detail: str
    instance: str = Field(description="The path that was called.")
    correlation_id: str = Field(description="Finds the call in the audit trail and in the logs.")
    errors: list[InvalidPart] = Field(
        default_factory=list, description="What is not valid, for `invalid-request`."
    )


class CallRefusedError(GhlSnapshotsError):
    """A call that is answered with a problem document; `detail` is for its caller."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[InvalidPart] = (),
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.headers = dict(headers or {})
        self.errors = list(errors)

    def response(self, instance: str, correlation_id: str) -> JSONResponse:
        """The problem document."""
        problem = Problem(
            type=f"{_TYPE_PREFIX}{self.kind.slug}",
            title=self.kind.title,
            status=self.kind.status,
            detail=self.detail,
            instance=instance,
            correlation_id=correlation_id,
            errors=self.errors,
        )
        return JSONResponse(
            problem.model_dump(by_alias=True),
            status_code=self.kind.status,
            headers=self.headers,
            media_type=MEDIA_TYPE,
        )


_KINDS: Mapping[type[GhlSnapshotsError], Kind] = {
    UnknownTenantError: Kind.UNKNOWN_TENANT,
    AccountMismatchError: Kind.ACCOUNT_MISMATCH,
    TenantDisabledError: Kind.TENANT_DISABLED,
    IdempotencyConflictError: Kind.IDEMPOTENCY_KEY_REUSED,
    RequestNotFoundError: Kind.NOT_FOUND,
    SnapshotNotFoundError: Kind.NOT_FOUND,
    SnapshotCorruptError: Kind.SNAPSHOT_CORRUPT,
}


def refusal_of(error: GhlSnapshotsError) -> CallRefusedError:
    """The refusal that an error of the domain amounts to; what only operators should read is left out."""
    if isinstance(error, CallRefusedError):
        return error
    if isinstance(error, RequestLimitError):
        return CallRefusedError(
            Kind.RATE_LIMITED, str(error), headers={"Retry-After": str(error.wait_seconds)}
        )
    if isinstance(error, UnknownTenantError):
        return unknown_tenant(error.tenant_id)
    if type(error) in _KINDS:
        return CallRefusedError(_KINDS[type(error)], str(error))
    if isinstance(error, LedgerError):
        return database_unavailable()
    if isinstance(error, ConfigurationError):
        return CallRefusedError(Kind.INVALID_REQUEST, str(error))
    return CallRefusedError(Kind.INTERNAL, "The service failed; its log says why.")


def unknown_tenant(tenant_id: str) -> CallRefusedError:
    """A tenant that is not registered, or not the key's: the two look alike."""
    return CallRefusedError(Kind.UNKNOWN_TENANT, f"There is no tenant {tenant_id!r} that this key may see.")


def database_unavailable() -> CallRefusedError:
    """The database does not answer."""
    return CallRefusedError(
        Kind.DATABASE_UNAVAILABLE,
        "The database does not answer, so nothing was accepted or read. Try again.",
        headers={"Retry-After": str(_RETRY_AFTER_SECONDS)},
    )


def documented(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses for these kinds, and for those that any call may end with."""
    any_call = (
        Kind.UNAUTHORIZED,
        Kind.FORBIDDEN,
        Kind.NOT_FOUND,
        Kind.INVALID_REQUEST,
        Kind.INTERNAL,
        Kind.DATABASE_UNAVAILABLE,
    )
    responses: dict[int | str, dict[str, Any]] = {}
    for kind in (*any_call, *kinds):
        titles = responses.get(kind.status, {}).get("description", "")
        responses[kind.status] = {
            "description": f"{titles}; {kind.title}" if titles else kind.title,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    return responses
