"""API keys: shown once, kept as a hash, revoked for good, and theirs only what their tenants' is."""

from collections.abc import Callable

import psycopg
import pytest
from psycopg import Connection

from ghl_snapshots.core.api_keys import KeyRole
from ghl_snapshots.core.errors import ConfigurationError, UnknownTenantError
from ghl_snapshots.ledger.api_keys import ApiKeys
from ghl_snapshots.ledger.audit import AuditTrail
from ghl_snapshots.ledger.database import Database


@pytest.fixture
def keys(database: Database) -> ApiKeys:
    return ApiKeys(database)


def test_a_key_is_found_by_its_secret_until_it_is_revoked(keys: ApiKeys, database: Database) -> None:
    assert not keys.any_made()
    key, secret = keys.create(["zenith", "acme"], KeyRole.READ, note="billing")
    found = keys.find(secret)
    assert found
    assert (found.key_id, found.role, found.tenant_ids) == (
        key.key_id,
        KeyRole.READ,
        frozenset({"acme", "zenith"}),
    )
    assert keys.find(secret[:-1]) is None
    assert keys.find("\udcff") is None
    assert keys.revoke(key.key_id)
    assert not keys.revoke(key.key_id)
    assert keys.find(secret) is None
    assert keys.any_made()
    [listed] = keys.list()
    assert listed.revoked_at
    reported = AuditTrail(database).events(correlation_id=f"key_{key.key_id}")
    assert sorted((event.event_type, event.tenant_id) for event in reported) == [
        ("ghl_snapshot_key_created", "acme"),
        ("ghl_snapshot_key_created", "zenith"),
        ("ghl_snapshot_key_revoked", "acme"),
        ("ghl_snapshot_key_revoked", "zenith"),
    ]


def test_a_key_for_an_unknown_tenant_is_not_made(keys: ApiKeys) -> None:
    with pytest.raises(UnknownTenantError):
        keys.create(["acme", "nobody"], KeyRole.READ)
    with pytest.raises(ConfigurationError):
        keys.create([], KeyRole.READ)
    with pytest.raises(ConfigurationError, match="no key 'none'"):
        keys.revoke("none")
    assert keys.list() == []


def test_the_database_holds_no_secret(keys: ApiKeys, superuser: Connection) -> None:
    _, secret = keys.create(["acme"], KeyRole.TRIGGER)
    rows = superuser.execute("SELECT api_key::text, secret_hash FROM api_key").fetchall()
    assert secret not in str(rows)
    assert secret.rpartition("_")[2] not in str(rows)


def test_a_session_sees_and_changes_only_keys_of_its_tenant(
    keys: ApiKeys, as_role: Callable[..., Connection]
) -> None:
    key, _ = keys.create(["acme"], KeyRole.ADMIN)
    stranger, own = as_role("writer", "zenith"), as_role("writer", "acme")
    assert stranger.execute("SELECT key_id FROM api_key").fetchall() == []
    assert stranger.execute("UPDATE api_key SET revoked_at = now()").rowcount == 0
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        stranger.execute("INSERT INTO api_key_tenant VALUES (%s, 'acme')", [key.key_id])
    for statement in (
        "SELECT secret_hash FROM api_key",
        "UPDATE api_key SET role = 'read'",
        "DELETE FROM api_key",
    ):
        for role in ("writer", "reader", "auditor"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                as_role(role, "acme").execute(statement)
    assert own.execute("UPDATE api_key SET revoked_at = now() WHERE key_id = %s", [key.key_id]).rowcount == 1
    assert own.execute("UPDATE api_key SET revoked_at = NULL").rowcount == 0
