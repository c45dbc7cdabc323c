"""Keys of the HTTP API: their tenants and roles."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class KeyRole(StrEnum):
    """What an API key may do for its tenants: ask for captures, read snapshots, or both."""

    TRIGGER = "trigger"
    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key of the HTTP API, without its secret, which is not stored."""

    key_id: str
    role: KeyRole
    tenant_ids: frozenset[str]
    note: str = ""
    created_at: datetime | None = None
    revoked_at: datetime | None = None
