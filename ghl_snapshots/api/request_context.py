"""One request of the API: its key, what that gives access to, and its audit event."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from ghl_snapshots.api.problems import ProblemError, ProblemKind, unknown_tenant
from ghl_snapshots.api.services import Services
from ghl_snapshots.core.api_keys import ApiKey, KeyRole
from ghl_snapshots.core.audit_events import AuditEvent, EventType
from ghl_snapshots.core.errors import (
    ConfigurationError,
    RequestNotFoundError,
    SnapshotNotFoundError,
    UnknownTenantError,
)
from ghl_snapshots.core.model import Snapshot, Source, tenant_id_of
from ghl_snapshots.core.snapshot_requests import SnapshotRequest

_SNAPSHOT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_REQUEST_ID = re.compile(r"manual_snapshot_[0-9]{13}_[0-9a-z]{6,32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What a route does: its audit event, and the roles that may call it."""

    event_type: EventType
    roles: frozenset[KeyRole]


_READERS = frozenset({KeyRole.READ, KeyRole.ADMIN})
_TRIGGERS = frozenset({KeyRole.TRIGGER, KeyRole.ADMIN})
OPERATIONS: Mapping[str, Operation] = {
    # An accepted trigger's event is recorded with the request, in one transaction.
    "trigger_snapshots": Operation(event_type=EventType.TRIGGER_REFUSED, roles=_TRIGGERS),
    "read_request": Operation(event_type=EventType.REQUEST_READ, roles=frozenset(KeyRole)),
    "list_snapshots": Operation(event_type=EventType.LISTED, roles=_READERS),
    "read_snapshot": Operation(event_type=EventType.READ, roles=_READERS),
    "verify_snapshot": Operation(event_type=EventType.VERIFICATION, roles=_READERS),
}
"""By the name of the route."""
UNROUTED = Operation(event_type=EventType.API_REFUSED, roles=frozenset())
"""For requests that reach no route."""


@dataclass(slots=True, kw_only=True)
class RequestContext:
    """A request being served; `key` is None for a local one while there are no keys at all."""

    services: Services
    correlation_id: str
    method: str
    path: str
    address: str
    """The caller's, for calls without a key."""
    key: ApiKey | None = None
    operation: Operation = UNROUTED
    tenant_id: str | None = field(default=None)
    """The tenant that the request is about, once the key is known to give access to it."""

    def bind(self, tenant_id: str | None) -> str:
        """Set the tenant that the request is about: the given one, or the only one of the key.

        Raises:
            ProblemError: it is unknown or not accessible, or none is given and the key has several.
        """
        if tenant_id is None:
            if self.key is None or len(self.key.tenant_ids) != 1:
                raise ProblemError(ProblemKind.INVALID_REQUEST, "Give the tenant as tenantId.")
            [tenant_id] = self.key.tenant_ids
        if self.key is not None and tenant_id not in self.key.tenant_ids:
            raise unknown_tenant(tenant_id)
        try:
            self.services.tenants.get(tenant_id_of(tenant_id))
        except (ConfigurationError, UnknownTenantError):
            raise unknown_tenant(tenant_id) from None
        self.tenant_id = tenant_id
        return tenant_id

    def snapshot(self, snapshot_id: str) -> Snapshot:
        """A snapshot that the key gives access to; raises SnapshotNotFoundError."""
        if not _SNAPSHOT_ID.fullmatch(snapshot_id):
            raise SnapshotNotFoundError(f"{snapshot_id!r} is not the id of a snapshot.")
        if self.key is None:
            snapshot = self.services.ledger.get(snapshot_id)
            self.tenant_id = snapshot.tenant_id
            return snapshot
        # One query for each tenant of the key, each under the row security of that tenant.
        for tenant_id in sorted(self.key.tenant_ids):
            try:
                snapshot = self.services.ledger.get(snapshot_id, tenant_id=tenant_id)
            except SnapshotNotFoundError:
                continue
            self.tenant_id = tenant_id
            return snapshot
        raise SnapshotNotFoundError(f"There is no snapshot {snapshot_id!r} that this key has access to.")

    def request(self, request_id: str) -> SnapshotRequest:
        """A request for captures that the key gives access to; raises RequestNotFoundError."""
        if not _REQUEST_ID.fullmatch(request_id):
            raise RequestNotFoundError(f"{request_id!r} is not the id of a request.")
        if self.key is None:
            request = self.services.requests.get(request_id)
            self.tenant_id = request.tenant_id
            return request
        for tenant_id in sorted(self.key.tenant_ids):
            try:
                request = self.services.requests.get(request_id, tenant_id=tenant_id)
            except RequestNotFoundError:
                continue
            self.tenant_id = tenant_id
            return request
        raise RequestNotFoundError(f"There is no request {request_id!r} that this key has access to.")

    def record_success(self, details: Mapping[str, Any], *, success: bool = True) -> None:
        """Store the audit event of an answer; raises LedgerError, and then nothing may be answered."""
        self._record(details, success=success)

    def record_refusal(self, problem: ProblemError, *, unrecorded: int) -> None:
        """Store the audit event of a problem, and how many have none; raises LedgerError."""
        details = {"problem": problem.kind.slug, "status": problem.kind.status, "detail": problem.detail}
        if self.key is None:
            details["address"] = self.address
        if unrecorded:
            details["unrecorded"] = unrecorded
        self._record(details, success=False)

    def _record(self, details: Mapping[str, Any], *, success: bool) -> None:
        key_id = self.key.key_id if self.key else None
        self.services.trail.record(
            AuditEvent(
                event_type=self.operation.event_type,
                tenant_id=self.tenant_id,
                correlation_id=self.correlation_id,
                success=success,
                source=Source.API,
                details={"method": self.method, "path": self.path, "keyId": key_id, **details},
            )
        )


def request_context(request: Request) -> RequestContext:
    """The context of the request that a route answers, once the key's role is allowed; for `Depends`."""
    context: RequestContext = request.state.context
    context.operation = OPERATIONS[request.scope["route"].name]
    if context.key is not None and context.key.role not in context.operation.roles:
        roles = " or ".join(sorted(context.operation.roles))
        raise ProblemError(
            ProblemKind.FORBIDDEN, f"The key has the role {context.key.role}, and this needs {roles}."
        )
    return context
