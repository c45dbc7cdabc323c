"""What the audit trail holds: one event for each operation of the product."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from ghl_snapshots.core.model import Source


class EventType(StrEnum):
    """The operation that an audit event records; every one of the product is here."""

    CAPTURE = "ghl_snapshot_capture"
    """A snapshot was stored; in its transaction."""
    REFUSED = "ghl_snapshot_refused"
    """A capture broke the contract and was not stored."""
    FULL_RUN = "ghl_snapshot_full_run"
    """A run is over for a tenant, however it ended."""
    TENANT_ADDED = "ghl_snapshot_tenant_added"
    TENANT_CHANGED = "ghl_snapshot_tenant_changed"
    """Updated, enabled or disabled."""
    TENANT_AUTHORIZED = "ghl_snapshot_tenant_authorized"
    """The refresh token of a new installation of the OAuth app was stored."""
    CREDENTIAL_REFRESHED = "ghl_snapshot_credential_refreshed"
    KEY_CREATED = "ghl_snapshot_key_created"
    KEY_REVOKED = "ghl_snapshot_key_revoked"
    VERIFICATION = "ghl_snapshot_verification"
    """Without a tenant: of the whole ledger, or of one type or since a moment as the details say."""
    CHECKPOINT_CREATED = "ghl_snapshot_checkpoint_created"
    CHECKPOINT_VERIFICATION = "ghl_snapshot_checkpoint_verification"
    MIGRATED = "ghl_snapshot_migrated"
    READ = "ghl_snapshot_read"
    LISTED = "ghl_snapshot_listed"
    REQUEST_READ = "ghl_snapshot_request_read"
    SQL_SESSION = "ghl_snapshot_sql_session"
    """psql was opened on all tenants by way of the product."""
    TRIGGER_ACCEPTED = "ghl_snapshot_trigger_accepted"
    TRIGGER_REFUSED = "ghl_snapshot_trigger_refused"
    API_REFUSED = "ghl_snapshot_api_refused"
    """A call of the API that reached no operation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One fact of the append-only audit trail; `details` holds plain JSON values in camelCase."""

    event_type: str
    """An `EventType`, or one of a newer release."""
    correlation_id: str
    success: bool
    source: Source
    occurred_at: datetime | None = None
    """By the server's clock; None before it is recorded."""
    tenant_id: str | None = None
    ghl_account_id: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
