"""Keys of the HTTP API: made, looked up by their secret, revoked; every change is an audit event."""

import hashlib
import secrets
import string
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow

from ghl_snapshots.core.api_keys import ApiKey, KeyRole
from ghl_snapshots.core.audit_events import AuditEvent, EventType
from ghl_snapshots.core.errors import ConfigurationError, UnknownTenantError
from ghl_snapshots.core.model import Source
from ghl_snapshots.ledger.audit import record
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.queries import query

_ALPHABET = string.ascii_lowercase + string.digits


class ApiKeys:
    """The keys that calls of the API are made with."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, tenant_ids: Collection[str], role: KeyRole, *, note: str = "") -> tuple[ApiKey, str]:
        """Make a key for these tenants; the key and its secret, which is not stored.

        Raises:
            ConfigurationError: no tenant is named, or the note is longer than 200 characters.
            UnknownTenantError: the registry does not hold one of them; nothing was made.
        """
        wanted = sorted(set(tenant_ids))
        if not wanted or len(note) > 200:
            raise ConfigurationError("A key needs a tenant, and its note has at most 200 characters.")
        key_id = "".join(secrets.choice(_ALPHABET) for _ in range(8))
        secret = f"ghls_{key_id}_{secrets.token_urlsafe(32)}"
        key = ApiKey(key_id=key_id, role=role, tenant_ids=frozenset(wanted), note=note)
        parameters = {"key_id": key_id, "secret_hash": _hash(secret), "role": role.value, "note": note}
        with self._database.writer(wanted[0]) as connection:
            connection.execute(query("add_key"), parameters)
            for tenant_id in wanted:
                _give(connection, key, tenant_id)
        return key, secret

    def list(self) -> Sequence[ApiKey]:
        """Every key, the oldest first, the revoked ones included."""
        with self._database.auditor() as connection:
            return [_key(row) for row in connection.execute(query("keys"), {"key_id": None})]

    def revoke(self, key_id: str) -> bool:
        """Revoke a key for good; False if it was revoked already.

        Raises:
            ConfigurationError: there is no such key.
        """
        with self._database.auditor() as connection:
            row = connection.execute(query("keys"), {"key_id": key_id}).fetchone()
        if row is None:
            raise ConfigurationError(f"There is no key {key_id!r}; `ghl-snapshots keys list` shows them all.")
        key = _key(row)
        tenant_ids = sorted(key.tenant_ids)
        with self._database.writer(tenant_ids[0]) as connection:
            revoked = connection.execute(query("revoke_key"), {"key_id": key_id}).fetchone() is not None
            for tenant_id in tenant_ids if revoked else ():
                connection.execute(query("set_tenant"), {"tenant_id": tenant_id})
                record(connection, _event(EventType.KEY_REVOKED, key, tenant_id))
        return revoked

    def any_made(self) -> bool:
        """Whether there is or was a key; without one the API is open to its own machine."""
        with self._database.auditor() as connection:
            row = connection.execute(query("any_key")).fetchone()
        return bool(row and row["made"])

    def find(self, secret: str) -> ApiKey | None:
        """The key with this secret, or None if there is none or it was revoked."""
        with self._database.reader("") as connection:
            row = connection.execute(query("key_of_secret"), {"secret_hash": _hash(secret)}).fetchone()
        return _key(row) if row else None


def _give(connection: Connection[DictRow], key: ApiKey, tenant_id: str) -> None:
    connection.execute(query("set_tenant"), {"tenant_id": tenant_id})
    if connection.execute(query("tenant"), {"tenant_id": tenant_id}).fetchone() is None:
        raise UnknownTenantError(tenant_id)
    connection.execute(query("add_key_tenant"), {"key_id": key.key_id, "tenant_id": tenant_id})
    record(connection, _event(EventType.KEY_CREATED, key, tenant_id))


def _hash(secret: str) -> bytes:
    """One round suffices: a secret is 256 random bits, so that none can be guessed from its hash."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def _key(row: Mapping[str, Any]) -> ApiKey:
    return ApiKey(**{**row, "role": KeyRole(row["role"]), "tenant_ids": frozenset(row["tenant_ids"])})


def _event(event_type: EventType, key: ApiKey, tenant_id: str) -> AuditEvent:
    return AuditEvent(
        event_type=event_type,
        tenant_id=tenant_id,
        correlation_id=f"key_{key.key_id}",
        success=True,
        source=Source.MANUAL,
        details={"keyId": key.key_id, "role": key.role.value},
    )
