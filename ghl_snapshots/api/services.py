"""What the routes use: the ledger's parts over the open database."""

from dataclasses import dataclass, field

from ghl_snapshots.api.refusals import Refusals
from ghl_snapshots.ledger.api_keys import ApiKeys
from ghl_snapshots.ledger.audit import AuditTrail
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.snapshot_requests import SnapshotRequests
from ghl_snapshots.ledger.tenants import TenantRegistry


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The ledger's parts, and the settings of the service.

    `streams` is a second pool of connections, for snapshots that are being streamed: each is in use for
    as long as its reader takes, which must not delay a trigger.
    """

    database: Database
    streams: Database
    triggers_per_minute: int
    open_locally: bool
    """Whether only this machine can call, so that calls without a key are answered before any was created."""
    metrics_token: str | None = None
    metrics_tenant_label: bool = True
    refusals: Refusals = field(default_factory=Refusals)

    @property
    def metrics_for_strangers(self) -> bool:
        """Whether anybody on the network may scrape, so that metrics must name no tenant."""
        return self.metrics_token is None and not self.open_locally

    @property
    def requests(self) -> SnapshotRequests:
        """Requests for captures."""
        return SnapshotRequests(self.database)

    @property
    def ledger(self) -> Ledger:
        """The snapshots."""
        return Ledger(self.database)

    @property
    def tenants(self) -> TenantRegistry:
        """The registry of tenants."""
        return TenantRegistry(self.database)

    @property
    def keys(self) -> ApiKeys:
        """The API keys."""
        return ApiKeys(self.database)

    @property
    def trail(self) -> AuditTrail:
        """The audit trail."""
        return AuditTrail(self.database)
