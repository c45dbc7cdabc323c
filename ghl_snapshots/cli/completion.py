"""What a shell offers to complete beside commands and options."""

from ghl_snapshots.cli.database import checked_database
from ghl_snapshots.ledger.tenants import TenantRegistry


def tenant_ids(incomplete: str) -> list[str]:
    """The tenants whose ids begin so; none where they cannot be read, since a shell shows no errors."""
    try:
        with checked_database() as (_, database):
            tenants = TenantRegistry(database).list()
    except Exception:  # noqa: BLE001 (whatever it is, the line that is being typed goes on)
        return []
    return [tenant.tenant_id for tenant in tenants if tenant.tenant_id.startswith(incomplete)]
