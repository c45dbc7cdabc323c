"""One call of the API: who makes it, what they may see, and the audit event that tells of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from ghl_snapshots.api.problems import CallRefusedError, Kind, unknown_tenant
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
    """What a route does: the audit event of it, and the roles that may do it."""

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
REFUSED = Operation(event_type=EventType.API_REFUSED, roles=frozenset())
"""For calls that reach no route."""


@dataclass(slots=True, kw_only=True)
class Call:
    """A call under way; `key` is None where no key was ever made and the caller is on this machine."""

    services: Services
    correlation_id: str
    method: str
    path: str
    key: ApiKey | None = None
    operation: Operation = REFUSED
    tenant_id: str | None = field(default=None)
    """The tenant that the call is about, once it is known to be the caller's."""

    def bind(self, tenant_id: str | None) -> str:
        """The tenant that the call is about; without one that is named, the key's only one.

        Raises:
            CallRefusedError: it is not the key's, or unknown, or the key has several and none is named.
        """
        if tenant_id is None:
            if self.key is None or len(self.key.tenant_ids) != 1:
                raise CallRefusedError(Kind.INVALID_REQUEST, "Name the tenant with tenantId.")
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
        """A snapshot that the caller may see; raises SnapshotNotFoundError."""
        if not _SNAPSHOT_ID.fullmatch(snapshot_id):
            raise SnapshotNotFoundError(f"{snapshot_id!r} is not the id of a snapshot.")
        if self.key is None:
            found = self.services.ledger.get(snapshot_id)
            self.tenant_id = found.tenant_id
            return found
        # One look for each tenant of the key, each under that tenant's row security.
        for tenant_id in sorted(self.key.tenant_ids):
            try:
                found = self.services.ledger.get(snapshot_id, tenant_id=tenant_id)
            except SnapshotNotFoundError:
                continue
            self.tenant_id = tenant_id
            return found
        raise SnapshotNotFoundError(f"There is no snapshot {snapshot_id!r} that this key may see.")

    def request(self, request_id: str) -> SnapshotRequest:
        """A request that the caller may see; raises RequestNotFoundError."""
        if not _REQUEST_ID.fullmatch(request_id):
            raise RequestNotFoundError(f"{request_id!r} is not the id of a request.")
        if self.key is None:
            found = self.services.requests.get(request_id)
            self.tenant_id = found.tenant_id
            return found
        for tenant_id in sorted(self.key.tenant_ids):
            try:
                found = self.services.requests.get(request_id, tenant_id=tenant_id)
            except RequestNotFoundError:
                continue
            self.tenant_id = tenant_id
            return found
        raise RequestNotFoundError(f"There is no request {request_id!r} that this key may see.")

    def allowed(self, details: Mapping[str, Any], *, success: bool = True) -> None:
        """Record that the call was answered; raises LedgerError, and then it must not be."""
        self._record(details, success=success)

    def refused(self, error: CallRefusedError) -> None:
        """Record that the call was refused; raises LedgerError."""
        self._record(
            {"problem": error.kind.slug, "status": error.kind.status, "detail": error.detail}, success=False
        )

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


def current_call(request: Request) -> Call:
    """The call that a route answers, once its key may make it; a dependency of every route."""
    call: Call = request.state.call
    call.operation = OPERATIONS[request.scope["route"].name]
    if call.key is not None and call.key.role not in call.operation.roles:
        roles = " or ".join(sorted(call.operation.roles))
        raise CallRefusedError(
            Kind.FORBIDDEN, f"The key has the role {call.key.role}, and this needs {roles}."
        )
    return call
