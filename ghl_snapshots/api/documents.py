"""The JSON documents of requests and answers, in camelCase."""

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_validator
from pydantic.alias_generators import to_camel

from ghl_snapshots.core.model import Priority, Snapshot, SnapshotType, Source, Status, iso
from ghl_snapshots.core.snapshot_requests import RequestStatus, SnapshotRequest

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$")]
"""Text without control characters."""


def _written_as_a_date(value: object) -> object:
    if isinstance(value, str) and not _DATE.match(value):
        raise ValueError("a moment is written as in RFC 3339, such as 2026-03-01T12:00:00Z")
    return value


Moment = Annotated[datetime, BeforeValidator(_written_as_a_date)]
"""A date and time; pydantic alone also takes a number, of seconds or milliseconds since 1970."""


class _Document(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class TriggerBody(_Document):
    """A request for captures of one tenant."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "tenantId": "acme",
                    "ghlAccountId": "ve9EPM428h8vShlRW1KT",
                    "snapshotTypes": ["pipelines", "workflows"],
                    "priority": "high",
                    "reason": "before the campaign",
                }
            ]
        },
    )

    tenant_id: str = Field(max_length=200, description="Our name for the customer.")
    ghl_account_id: str = Field(max_length=200, description="The tenant's GHL location or company id.")
    snapshot_types: list[SnapshotType] = Field(
        default_factory=lambda: list(SnapshotType),
        min_length=1,
        max_length=len(SnapshotType),
        description="What to capture; all five types by default.",
    )
    priority: Priority = Field(default=Priority.NORMAL, description="How soon.")
    reason: Text | None = Field(default=None, max_length=500, description="Why, for the audit trail.")

    @field_validator("snapshot_types")
    @classmethod
    def _without_duplicates(cls, snapshot_types: list[SnapshotType]) -> list[SnapshotType]:
        return list(dict.fromkeys(snapshot_types))


class AcceptedRequest(_Document):
    """A request that is stored and will be served, even after restarts."""

    request_id: str = Field(
        description="Id of the request, and correlation id of its run, snapshots and audit events."
    )
    status: RequestStatus
    estimated_duration: str = Field(description="From the tenant's recent captures, such as `30s`.")

    @classmethod
    def of(cls, request: SnapshotRequest) -> "AcceptedRequest":
        """The answer to a trigger."""
        return cls(
            request_id=request.request_id,
            status=RequestStatus.ACCEPTED,
            estimated_duration=f"{request.estimated_seconds}s",
        )


class RequestedSnapshot(_Document):
    """The result for one of a request's types; all but the type is null until there is a snapshot."""

    snapshot_type: SnapshotType
    status: Status | None
    snapshot_id: str | None
    record_count: int | None
    captured_at: str | None
    errors: list[dict[str, Any]] = Field(
        description="What could not be captured, as the snapshot records it."
    )

    @classmethod
    def of(cls, snapshot_type: SnapshotType, snapshot: Snapshot | None) -> "RequestedSnapshot":
        """The result from the snapshot, if there is one."""
        return cls(
            snapshot_type=snapshot_type,
            status=snapshot.status if snapshot else None,
            snapshot_id=snapshot.snapshot_id if snapshot else None,
            record_count=snapshot.record_count if snapshot else None,
            captured_at=iso(snapshot.captured_at) if snapshot else None,
            errors=snapshot.metadata["errors"] if snapshot else [],
        )


class RequestDocument(_Document):
    """A request and its progress."""

    request_id: str
    status: RequestStatus
    tenant_id: str
    ghl_account_id: str
    priority: Priority
    reason: str | None
    run_id: str | None = Field(description="The Dagster run of the request.")
    accepted_at: str
    queued_at: str | None
    started_at: str | None
    finished_at: str | None
    snapshots: list[RequestedSnapshot] = Field(description="One for each requested type.")
    error: str | None = Field(description="Why a snapshot is missing.")

    @classmethod
    def of(cls, request: SnapshotRequest, snapshots: list[Snapshot]) -> "RequestDocument":
        """The request with its snapshots."""
        stored = {snapshot.snapshot_type: snapshot for snapshot in snapshots}
        finished = request.status in {
            RequestStatus.SUCCEEDED,
            RequestStatus.PARTIAL_FAILURE,
            RequestStatus.FAILED,
        }
        finished_at = request.ended_at or max((each.created_at for each in snapshots), default=None)
        return cls(
            request_id=request.request_id,
            status=request.status,
            tenant_id=request.tenant_id,
            ghl_account_id=request.ghl_account_id,
            priority=request.priority,
            reason=request.reason,
            run_id=request.run_id,
            accepted_at=iso(request.created_at),
            queued_at=_timestamp(request.queued_at),
            started_at=_timestamp(request.started_at),
            finished_at=_timestamp(finished_at) if finished else None,
            snapshots=[RequestedSnapshot.of(each, stored.get(each)) for each in request.snapshot_types],
            error=request.error,
        )


class SnapshotMetadata(_Document):
    """A snapshot without its payload."""

    snapshot_id: str
    tenant_id: str
    ghl_account_id: str
    snapshot_type: SnapshotType
    captured_at: str
    version: str
    status: Status
    record_count: int
    checksum: str = Field(description="SHA-256 in hex over the SHA-256 digests of the entities in order.")


class SnapshotAudit(_Document):
    """How a snapshot came to be."""

    created_at: str
    created_by: str
    source: Source
    correlation_id: str


class ListedSnapshot(_Document):
    """A snapshot in a list."""

    metadata: SnapshotMetadata
    audit: SnapshotAudit

    @classmethod
    def of(cls, snapshot: Snapshot) -> "ListedSnapshot":
        """The metadata and audit of the snapshot's document."""
        return cls.model_validate(snapshot.as_json())


class SnapshotList(_Document):
    """A page of snapshots, the newest first."""

    snapshots: list[ListedSnapshot]
    next_cursor: str | None = Field(description="Cursor of the next page; null on the last one.")


class SnapshotPayload(_Document):
    """What GHL returned."""

    data: list[Any] = Field(
        description="The entities, each as the exact bytes that GHL sent. Of a payload of more than 64 MB, "
        'those larger than their share of these are left out: `{"$tooLarge": ...}` in the place of one '
        "says how large it is; `?raw=true` gives all of them."
    )
    metadata: dict[str, Any]


class SnapshotDocument(_Document):
    """A whole snapshot."""

    metadata: SnapshotMetadata
    payload: SnapshotPayload
    audit: SnapshotAudit


class VerificationResult(_Document):
    """Whether a snapshot's checksum matches the stored bytes."""

    snapshot_id: str
    tenant_id: str
    checksum: str
    record_count: int
    valid: bool
    problem: str | None = Field(description="What does not match; null if everything does.")


class Health(_Document):
    """Whether the service is up."""

    status: str


def _timestamp(moment: datetime | None) -> str | None:
    return iso(moment) if moment else None
