"""Errors as problem documents (RFC 9457), one kind for each cause."""

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
_MAX_DETAIL = 500


class ProblemKind(Enum):
    """What went wrong: the last part of the document's `type`, its HTTP status and its title."""

    MALFORMED_JSON = ("malformed-json", 400, "The body is not JSON")
    UNAUTHORIZED = ("unauthorized", 401, "A valid API key is required")
    FORBIDDEN = ("forbidden", 403, "The API key may not do this")
    FOREIGN_HOST = ("foreign-host", 403, "Without API keys only local calls are answered")
    ACCOUNT_MISMATCH = ("account-mismatch", 403, "The account does not belong to the tenant")
    UNKNOWN_TENANT = ("unknown-tenant", 404, "Unknown tenant")
    NOT_FOUND = ("not-found", 404, "Not found")
    METHOD_NOT_ALLOWED = ("method-not-allowed", 405, "The method is not allowed here")
    TENANT_DISABLED = ("tenant-disabled", 409, "The tenant is disabled")
    BODY_TOO_LARGE = ("body-too-large", 413, "The body is too large")
    UNSUPPORTED_MEDIA_TYPE = ("unsupported-media-type", 415, "The body must be application/json")
    INVALID_REQUEST = ("invalid-request", 422, "The request is not valid")
    IDEMPOTENCY_KEY_REUSED = (
        "idempotency-key-reused",
        422,
        "The Idempotency-Key was used for another request",
    )
    RATE_LIMITED = ("rate-limited", 429, "Too many requests for the tenant, or too many refused calls")
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
    """An RFC 9457 problem document."""

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


class ProblemError(GhlSnapshotsError):
    """A call to answer with a problem document; `detail` is for the caller."""

    def __init__(
        self,
        kind: ProblemKind,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[InvalidPart] = (),
    ) -> None:
        # What a caller sent may be quoted in it, and what is answered is stored.
        self.detail = detail if len(detail) <= _MAX_DETAIL else f"{detail[:_MAX_DETAIL]}…"
        super().__init__(self.detail)
        self.kind = kind
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


_KINDS: Mapping[type[GhlSnapshotsError], ProblemKind] = {
    UnknownTenantError: ProblemKind.UNKNOWN_TENANT,
    AccountMismatchError: ProblemKind.ACCOUNT_MISMATCH,
    TenantDisabledError: ProblemKind.TENANT_DISABLED,
    IdempotencyConflictError: ProblemKind.IDEMPOTENCY_KEY_REUSED,
    RequestNotFoundError: ProblemKind.NOT_FOUND,
    SnapshotNotFoundError: ProblemKind.NOT_FOUND,
    SnapshotCorruptError: ProblemKind.SNAPSHOT_CORRUPT,
}


def problem_for(error: GhlSnapshotsError) -> ProblemError:
    """The problem that an error of the domain amounts to, without details that only operators may read."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, RequestLimitError):
        return ProblemError(
            ProblemKind.RATE_LIMITED, str(error), headers={"Retry-After": str(error.wait_seconds)}
        )
    if isinstance(error, UnknownTenantError):
        return unknown_tenant(error.tenant_id)
    if type(error) in _KINDS:
        return ProblemError(_KINDS[type(error)], str(error))
    if isinstance(error, LedgerError):
        return database_unavailable()
    if isinstance(error, ConfigurationError):
        return ProblemError(ProblemKind.INVALID_REQUEST, str(error))
    return ProblemError(ProblemKind.INTERNAL, "The service failed; its log says why.")


def unknown_tenant(tenant_id: str) -> ProblemError:
    """A tenant that does not exist, or that the key has no access to: callers cannot tell which."""
    return ProblemError(
        ProblemKind.UNKNOWN_TENANT, f"There is no tenant {tenant_id!r} that this key has access to."
    )


def database_unavailable() -> ProblemError:
    """The database does not answer."""
    return ProblemError(
        ProblemKind.DATABASE_UNAVAILABLE,
        "The database does not answer, so nothing was accepted or read. Try again.",
        headers={"Retry-After": str(_RETRY_AFTER_SECONDS)},
    )


def documented(*kinds: ProblemKind) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses: those of these kinds, and those that any call may have."""
    of_any_call = (
        ProblemKind.UNAUTHORIZED,
        ProblemKind.FORBIDDEN,
        ProblemKind.NOT_FOUND,
        ProblemKind.INVALID_REQUEST,
        ProblemKind.RATE_LIMITED,
        ProblemKind.INTERNAL,
        ProblemKind.DATABASE_UNAVAILABLE,
    )
    responses: dict[int | str, dict[str, Any]] = {}
    for kind in (*of_any_call, *kinds):
        titles = responses.get(kind.status, {}).get("description", "")
        responses[kind.status] = {
            "description": f"{titles}; {kind.title}" if titles else kind.title,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    return responses
