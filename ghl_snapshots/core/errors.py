"""The exception tree; every error this product raises on purpose is one of these.

GhlSnapshotsError
├── ConfigurationError          a setting, an environment variable or an input file is wrong
├── UnknownTenantError          a tenant id that the registry does not hold
├── CredentialError             a credential reference that yields no usable token
├── GhlError                    a call to GHL that did not yield what it should
│   │                           (see ErrorKind for what went wrong and whether another attempt can help)
│   ├── ForeignAnswerError      it was answered with another account's entities
│   └── ListChangedError        a list changed while its pages were read
├── RequestRefusedError         a request for captures that was not accepted
│   ├── AccountMismatchError    its account is not the tenant's
│   ├── TenantDisabledError
│   ├── IdempotencyConflictError
│   └── RequestLimitError       the tenant has asked too often
├── RequestNotFoundError
├── SpoolError                  no room on disk for what a capture has fetched
└── LedgerError
    ├── DatabaseLostError       the server does not answer, or went away in between
    ├── SnapshotRefusedError    a capture that breaks the contract; nothing was stored
    ├── SnapshotNotFoundError
    ├── SnapshotCorruptError    stored bytes that no longer match their checksum or chain
    ├── TokensLockedError       another process is refreshing the tenant's OAuth tokens
    └── SchemaError             the database's schema is missing, older or newer than this release
"""

from enum import StrEnum


class GhlSnapshotsError(Exception):
    """Base of every error the product raises on purpose; its text is fit for a user and holds no secret."""


class ConfigurationError(GhlSnapshotsError):
    """A setting or an input is wrong; the message names it, the value's problem and what to do."""


class UnknownTenantError(GhlSnapshotsError):
    """A tenant id that the registry does not hold."""

    def __init__(self, tenant_id: str) -> None:
        super().__init__(f"Unknown tenant {tenant_id!r}; `ghl-snapshots tenants list` shows the known ones.")
        self.tenant_id = tenant_id


class CredentialError(GhlSnapshotsError):
    """A credential reference yields no usable token; the message names the reference, never the token."""


class ErrorKind(StrEnum):
    """What went wrong in a call to GHL; the values are stored in snapshots and label metrics."""

    INVALID_CREDENTIAL = "invalid_credential"
    """GHL refuses the token itself, in the credential's own words."""
    MISSING_SCOPE = "missing_scope"
    NOT_IN_PLAN = "not_in_plan"
    """The customer's GHL plan lacks the feature."""
    FORBIDDEN_LOCATION = "forbidden_location"
    """GHL says that the token does not open the location, or answers with another location's entities."""
    NOT_INSTALLED = "not_installed"
    """The OAuth app is not installed in the location."""
    SUSPENDED = "suspended"
    """GHL calls the location not active."""
    FORBIDDEN = "forbidden"
    """GHL refuses this one call, which says nothing of the token, the location or another call."""
    UNPROVEN = "unproven"
    """The answer names no location, and no other answer proves that the token is the location's."""
    NOT_FOUND = "not_found"
    INVALID_REQUEST = "invalid_request"
    RATE_LIMITED = "rate_limited"
    DAILY_LIMIT = "daily_limit"
    SERVER_ERROR = "server_error"
    CONNECTION = "connection"
    TIMEOUT = "timeout"
    MALFORMED_RESPONSE = "malformed_response"
    PAGING = "paging"
    REFUSED = "refused"
    """The client itself refused to send: not read-only, or to another host."""
    CONFIGURATION = "configuration"
    """What the tenant's record or ours says cannot be acted on; nothing was sent."""
    INTERNAL = "internal"
    """A defect of ours, which costs the call that brought it out and no other."""

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed if it is sent again soon."""
        return self in _RETRYABLE


_RETRYABLE = frozenset(
    {
        ErrorKind.RATE_LIMITED,
        ErrorKind.SERVER_ERROR,
        ErrorKind.CONNECTION,
        ErrorKind.TIMEOUT,
        ErrorKind.MALFORMED_RESPONSE,
    }
)


class GhlError(GhlSnapshotsError):
    """A call to GHL failed; `kind` says how, `status` is the HTTP status or None when there was no answer.

    `attempts` counts the requests sent for the call; `cursor` names the page of a list that the call was for.
    """

    cursor: str | None = None
    answer: str = ""
    """The status and GHL's own words, where an answer is the error."""

    def __init__(
        self, kind: ErrorKind, message: str, *, status: int | None = None, attempts: int = 1
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status
        self.attempts = attempts


class ForeignAnswerError(GhlError):
    """GHL answered with entities of another account; the message names both."""

    def __init__(self, message: str, *, status: int, attempts: int) -> None:
        super().__init__(ErrorKind.FORBIDDEN_LOCATION, message, status=status, attempts=attempts)


class ListChangedError(GhlError):
    """A list changed while its pages were read, so an entity may be missing between them."""


class RequestRefusedError(GhlSnapshotsError):
    """A request for captures was not accepted, and nothing of it was kept but an audit event."""


class AccountMismatchError(RequestRefusedError):
    """The request names an account that is not the tenant's."""


class TenantDisabledError(RequestRefusedError):
    """The request is for a tenant that is not captured any more."""


class IdempotencyConflictError(RequestRefusedError):
    """The Idempotency-Key was used for another request before."""


class RequestLimitError(RequestRefusedError):
    """The tenant has asked too often; `wait_seconds` says when it may ask again."""

    def __init__(self, message: str, *, wait_seconds: int) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class RequestNotFoundError(GhlSnapshotsError):
    """No request matches, or it belongs to a tenant that the caller may not see."""


class SpoolError(GhlSnapshotsError):
    """The disk has no room for what a capture has fetched, so nothing of it is stored."""


class LedgerError(GhlSnapshotsError):
    """The ledger could not do what was asked."""


class DatabaseLostError(LedgerError):
    """The server does not answer, or went away; what was asked for may succeed once it is back."""


class SnapshotRefusedError(LedgerError):
    """A capture breaks the snapshot contract, so it was not stored."""


class SnapshotNotFoundError(LedgerError):
    """No snapshot matches, or it belongs to a tenant that the caller may not see."""


class SnapshotCorruptError(LedgerError):
    """Stored bytes no longer match their checksum or chain."""


class TokensLockedError(LedgerError):
    """Another process is refreshing the tenant's OAuth tokens."""


class SchemaError(LedgerError):
    """The database's schema is missing, or older or newer than this release understands."""
