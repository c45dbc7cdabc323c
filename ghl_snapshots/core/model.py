"""The glossary in code: the value objects that every other module speaks in."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol, Self
from uuid import UUID

from ghl_snapshots.core.errors import ConfigurationError, ErrorKind, LedgerError

SCHEMA_VERSION = "1.1.0"
"""Version of the snapshot record; a reader refuses a major version that it does not know.

1.1.0 has `leftOut`, `duplicates` and `locations` in the payload's metadata.
"""

# Two dots in a row are left out because Dagster's partition selections write a range as first...last.
_TENANT_ID = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MAJOR = SCHEMA_VERSION.split(".", maxsplit=1)[0]
_CREDENTIAL = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:/.+|oauth")


class SnapshotType(StrEnum):
    """A part of a tenant's configuration that is captured as one snapshot."""

    LOCATIONS = "locations"
    PIPELINES = "pipelines"
    WORKFLOWS = "workflows"
    CALENDARS = "calendars"
    AI_WORKERS = "ai_workers"


class Status(StrEnum):
    """How complete a capture is."""

    SUCCESS = "success"
    PARTIAL_FAILURE = "partial_failure"
    FAILED = "failed"


class Source(StrEnum):
    """What asked for a capture."""

    SCHEDULED = "scheduled"
    MANUAL = "manual"
    API = "api"


class Priority(StrEnum):
    """How soon the requested captures should run, before or after others that wait."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class AccountKind(StrEnum):
    """A GHL account is one location (sub-account) or a company (agency) with its locations."""

    LOCATION = "location"
    COMPANY = "company"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A customer of ours with one GHL account; `credential` is a reference, never a token.

    `credential` is `env:NAME` or `file:/absolute/path` for a Private Integration Token held there, or
    `oauth` for the OAuth app's tokens in the database.
    """

    tenant_id: str
    ghl_account_id: str
    account_kind: AccountKind
    credential: str
    enabled: bool = True
    overrides: Mapping[str, float] = field(default_factory=dict, hash=False)
    """What differs from the deployment's `CaptureSettings`, by name."""

    def __post_init__(self) -> None:
        """Refuse values that could not be a partition key, an account or a credential reference.

        Raises:
            ConfigurationError: naming the field and what is allowed. The credential's value is not quoted,
                in case a token was given where a reference belongs.
        """
        tenant_id_of(self.tenant_id)
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", self.ghl_account_id):
            raise ConfigurationError(
                f"Tenant {self.tenant_id}: GHL account id {self.ghl_account_id!r} is not valid: "
                "it is the 1 to 64 letters and digits of the location or company id."
            )
        if not _CREDENTIAL.fullmatch(self.credential):
            raise ConfigurationError(
                f"Tenant {self.tenant_id}: the credential must be a reference, never the token itself: "
                "env:NAME, file:/path or oauth."
            )


class StoredBody(Protocol):
    """An entity's exact bytes that are not in memory."""

    @property
    def digest(self) -> bytes:
        """Their SHA-256, 32 bytes."""

    def __len__(self) -> int:
        """Number of bytes."""

    def __bytes__(self) -> bytes:
        """The bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """One JSON object that GHL returned, as the exact bytes received.

    `entity_id` and `location_id` are read out of the body or the request and serve look-ups only.
    """

    body: bytes | StoredBody = field(repr=False, compare=False)
    endpoint: str
    entity_id: str | None = None
    location_id: str | None = None
    digest: bytes = field(init=False, repr=False)
    """SHA-256 of `body`, 32 bytes."""

    def __post_init__(self) -> None:
        """Compute the digest once; entities are compared and stored by it."""
        body = self.body
        digest = hashlib.sha256(body).digest() if isinstance(body, bytes) else body.digest
        object.__setattr__(self, "digest", digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One HTTP request that contributed entities `data[offset:offset + count]` to a capture."""

    endpoint: str
    location_id: str | None
    parent_id: str | None
    """Id of the entity that the request was made for, such as the agent whose actions are listed."""
    offset: int
    count: int
    status: int
    api_version: str
    trace_id: str | None
    requested_at: datetime
    duration_ms: int
    attempts: int

    @property
    def trace_uuid(self) -> UUID | None:
        """The trace id as a UUID, if that has no other text than this one."""
        try:
            value = UUID(self.trace_id)
        except (TypeError, ValueError):
            return None
        return value if str(value) == self.trace_id else None

    def provenance(self) -> dict[str, Any]:
        """The record in a payload's metadata without its moment, its duration and a UUID as trace id."""
        shared = {
            "endpoint": self.endpoint,
            "locationId": self.location_id,
            "parentId": self.parent_id,
            "items": {"offset": self.offset, "count": self.count},
            "status": self.status,
            "apiVersion": self.api_version,
            "attempts": self.attempts,
        }
        return shared if self.trace_uuid else {**shared, "traceId": self.trace_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureError:
    """A part of a capture that is missing, and why."""

    endpoint: str
    location_id: str | None
    parent_id: str | None
    kind: ErrorKind
    status: int | None
    message: str
    attempts: int
    cursor: str | None = None
    """Where paging stopped: the skip, page, offset or cursor of the page that failed."""

    def as_json(self) -> dict[str, Any]:
        """The error as it stands in a payload's metadata."""
        return {
            "endpoint": self.endpoint,
            "locationId": self.location_id,
            "parentId": self.parent_id,
            "kind": self.kind.value,
            "status": self.status,
            "message": self.message,
            "attempts": self.attempts,
            "cursor": self.cursor,
        }


class LeftOutReason(StrEnum):
    """Why something is not in a capture although nothing failed."""

    NOT_GRANTED = "notGranted"
    """A call that a capture can do without, whose scope the credential lacks."""
    NOT_IN_PLAN = "notInPlan"
    NOT_INSTALLED = "notInstalled"
    """A location of an agency in which the OAuth app is not installed."""
    SUSPENDED = "suspended"
    REFUSED = "refused"
    """A call that a capture can do without, which GHL refuses for another reason, and will again."""
    ABSENT = "absent"
    """A call to which GHL answers that there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A call, or all calls for a location, that a capture is complete without; `message` has GHL's words."""

    endpoint: str | None
    """None for all calls for the location."""
    location_id: str | None
    reason: LeftOutReason
    message: str
    parent_id: str | None = None
    """The entity that the call was made for."""

    def as_json(self) -> dict[str, Any]:
        """What was left out as it stands in a payload's metadata."""
        return {
            "endpoint": self.endpoint,
            "locationId": self.location_id,
            "parentId": self.parent_id,
            "reason": self.reason.value,
            "message": self.message,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """An entity that a list held more than once; all copies are in the payload."""

    endpoint: str
    location_id: str | None
    entity_id: str | None
    """None for an entity without an id, of which an equal one came before."""

    def as_json(self) -> dict[str, Any]:
        """The duplicate as it stands in a payload's metadata."""
        return {"endpoint": self.endpoint, "locationId": self.location_id, "entityId": self.entity_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """What fetching one snapshot type of one tenant yielded, complete or not, ready to be stored."""

    tenant_id: str
    ghl_account_id: str
    snapshot_type: SnapshotType
    captured_at: datetime
    duration_ms: int
    status: Status
    entities: tuple[Entity, ...] = field(repr=False)
    requests: tuple[RequestRecord, ...] = field(repr=False)
    errors: tuple[CaptureError, ...]
    api_calls: Mapping[tuple[str, int | None], int] = field(repr=False)
    """HTTP requests sent, retries included, by (endpoint, status); status None where no answer came."""
    api_version: str
    source: Source
    correlation_id: str
    left_out: tuple[LeftOut, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    location_ids: tuple[str, ...] | None = None
    """A company's locations as this capture's own listing has them; None for a single location."""

    @property
    def record_count(self) -> int:
        """Number of entities captured."""
        return len(self.entities)

    @property
    def checksum(self) -> str:
        """Lower-case hex SHA-256 over the entities' 32-byte digests in order."""
        return checksum_of(entity.digest for entity in self.entities)

    @property
    def api_call_count(self) -> int:
        """HTTP requests sent, retries included."""
        return sum(self.api_calls.values())

    @property
    def has_more(self) -> bool:
        """Whether GHL holds more of this type than was captured."""
        return self.status is not Status.SUCCESS

    @property
    def next_cursor(self) -> str | None:
        """Where paging stopped first, if a page failed."""
        return next((error.cursor for error in self.errors if error.cursor), None)

    def provenance(self) -> dict[str, Any]:
        """The payload's metadata without what differs between two captures that went alike.

        That is each request's moment, duration and trace id, and the capture's own moment: the function
        `metadata` in schema.sql adds them for reading.
        """
        return {
            "totalCount": self.record_count,
            "hasMore": self.has_more,
            "nextCursor": self.next_cursor,
            "ghlApiVersion": self.api_version,
            "requests": [request.provenance() for request in self.requests],
            "errors": [error.as_json() for error in self.errors],
            "leftOut": [left_out.as_json() for left_out in self.left_out],
            "duplicates": [duplicate.as_json() for duplicate in self.duplicates],
            "locations": None if self.location_ids is None else list(self.location_ids),
            "apiCalls": [
                {"endpoint": endpoint, "status": status, "count": count}
                for (endpoint, status), count in self.api_calls.items()
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The immutable record of one capture as the ledger holds it, without the entities' bytes."""

    snapshot_id: str
    tenant_id: str
    ghl_account_id: str
    snapshot_type: SnapshotType
    captured_at: datetime
    version: str
    status: Status
    record_count: int
    checksum: str
    metadata: dict[str, Any] = field(repr=False)
    duration_ms: int
    api_calls: int
    created_at: datetime
    created_by: str
    source: Source
    correlation_id: str
    seq: int
    """Place in the chain of the tenant's snapshots of this type, from 1."""
    chain: str
    """Lower-case hex chain hash."""

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The snapshot of a row with this class's field names, such as one of the view snapshot_record.

        Raises:
            LedgerError: the record has a version that this release does not know.
        """
        if row["version"].split(".", maxsplit=1)[0] != _MAJOR:
            raise LedgerError(
                f"Snapshot {row['snapshot_id']} is a record of version {row['version']}; this release reads "
                f"{_MAJOR}.x. Use a newer release."
            )
        typed = {
            "snapshot_type": SnapshotType(row["snapshot_type"]),
            "status": Status(row["status"]),
            "source": Source(row["source"]),
        }
        return cls(**{**row, **typed})

    def as_json(self) -> dict[str, Any]:
        """The `metadata` and `audit` parts of the snapshot's JSON form; the payload is added by a reader."""
        return {
            "metadata": {
                "snapshotId": self.snapshot_id,
                "tenantId": self.tenant_id,
                "ghlAccountId": self.ghl_account_id,
                "snapshotType": self.snapshot_type.value,
                "capturedAt": iso(self.captured_at),
                "version": self.version,
                "status": self.status.value,
                "recordCount": self.record_count,
                "checksum": self.checksum,
            },
            "audit": {
                "createdAt": iso(self.created_at),
                "createdBy": self.created_by,
                "source": self.source.value,
                "correlationId": self.correlation_id,
            },
        }


def tenant_id_of(text: str) -> str:
    """The text, which can be a tenant's id.

    Raises:
        ConfigurationError: it cannot; says what can.
    """
    if not _TENANT_ID.fullmatch(text):
        raise ConfigurationError(
            f"Tenant id {text!r} is not valid: use 1 to 64 letters, digits, '_', '.' or '-', "
            "beginning with a letter or digit, without two dots in a row."
        )
    return text


def checksum_of(digests: Iterable[bytes]) -> str:
    """Lower-case hex SHA-256 over an iterable of 32-byte digests in order: a snapshot's checksum."""
    return hashlib.sha256(b"".join(digests)).hexdigest()


def iso(moment: datetime) -> str:
    """A moment as ISO 8601 in UTC with microseconds, such as 2026-03-03T02:00:00.000000Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
