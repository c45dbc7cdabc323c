"""OAuth tokens in the database, encrypted; each tenant's are refreshed by one process at a time."""

import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from psycopg import Connection
from psycopg.errors import LockNotAvailable
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from uuid_utils import uuid7

from ghl_snapshots.core.audit_events import AuditEvent, EventType
from ghl_snapshots.core.errors import (
    ConfigurationError,
    CredentialError,
    ErrorKind,
    GhlError,
    GhlSnapshotsError,
    TokensLockedError,
)
from ghl_snapshots.core.json_text import legal_text
from ghl_snapshots.core.model import Source
from ghl_snapshots.core.tokens import AccessToken, RefusedLocation, StoredTokens
from ghl_snapshots.ledger.audit import record
from ghl_snapshots.ledger.database import LOCK_SECONDS, Database, limit_lock_wait
from ghl_snapshots.ledger.queries import query

_HOW_TO_MAKE_A_KEY = (
    'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
)


class LockedTokens:
    """A tenant's tokens while this process alone may refresh them."""

    def __init__(self, connection: Connection[DictRow], cipher: MultiFernet, tenant_id: str) -> None:
        self._connection = connection
        self._cipher = cipher
        self._tenant_id = tenant_id
        self._row = connection.execute(query("tokens"), {"tenant_id": tenant_id}).fetchone()

    @property
    def tokens(self) -> StoredTokens | None:
        """The tokens, or None if there are none.

        Raises:
            CredentialError: they were encrypted with a key that is not among ours; `store` replaces them.
        """
        return _decrypted(self._cipher, self._row, self._tenant_id) if self._row else None

    def install(self, tokens: StoredTokens, *, timeout_seconds: float = LOCK_SECONDS) -> None:
        """Begin anew with the tokens of a new authorization; they are durable when this returns.

        Location tokens of an older one expire: they would lack the scopes that the new one grants.
        """
        limit_lock_wait(self._connection, timeout_seconds)
        self._connection.execute(query("expire_location_tokens"), {"tenant_id": self._tenant_id})
        self._replace(tokens, EventType.TENANT_AUTHORIZED)

    def store(self, tokens: StoredTokens, *, timeout_seconds: float = LOCK_SECONDS) -> None:
        """Replace the tokens; they are durable when this returns, and the lock is given up."""
        limit_lock_wait(self._connection, timeout_seconds)
        self._replace(tokens, EventType.CREDENTIAL_REFRESHED)

    def set_aside(
        self, tokens: StoredTokens, account_id: str, *, timeout_seconds: float = LOCK_SECONDS
    ) -> None:
        """Store tokens that GHL gave for another account, where nothing uses them; the lock is given up."""
        limit_lock_wait(self._connection, timeout_seconds)
        row = {
            "tenant_id": self._tenant_id,
            "refresh_token": self._cipher.encrypt(tokens.refresh_token.encode()),
            "account_id": legal_text(account_id),
        }
        self._connection.execute(query("set_tokens_aside"), row)
        self._connection.commit()

    def _replace(self, tokens: StoredTokens, event_type: EventType) -> None:
        access = tokens.access
        row = {
            "tenant_id": self._tenant_id,
            "refresh_token": self._cipher.encrypt(tokens.refresh_token.encode()),
            "access_token": access and self._cipher.encrypt(access.value.encode()),
            "access_expires_at": access and access.expires_at,
        }
        self._connection.execute(query("store_tokens"), row)
        record(self._connection, _event(event_type, self._tenant_id))
        self._connection.commit()
        self._row = row


class OAuthTokens:
    """Every tenant's OAuth tokens; `encryption_keys` are Fernet keys, comma-separated, the newest first.

    The newest key encrypts, each of them decrypts; so a key is changed by putting a new one in front, and the
    old one may go once every tenant's tokens were stored again, which each refresh does.
    """

    def __init__(self, database: Database, encryption_keys: str | None) -> None:
        self._database = database
        self._keys = encryption_keys

    def load(self, tenant_id: str) -> StoredTokens | None:
        """The tenant's tokens, or None if it has none.

        Raises:
            CredentialError: they were encrypted with a key that is not among ours.
            ConfigurationError: there is no valid key.
        """
        cipher = self._cipher()
        with self._database.writer(tenant_id) as connection:
            row = connection.execute(query("tokens"), {"tenant_id": tenant_id}).fetchone()
        return _decrypted(cipher, row, tenant_id) if row else None

    @contextmanager
    def locked(self, tenant_id: str, *, timeout_seconds: float = math.inf) -> Iterator[LockedTokens]:
        """The tenant's tokens as they are once no other process can refresh them.

        Raises:
            TokensLockedError: another process has the lock for longer than the timeout, or than any lock is
                waited for.
            LedgerError: the server does not answer.
            CredentialError, ConfigurationError: like `load`.
        """
        cipher = self._cipher()
        timeout = min(timeout_seconds, self._database.lock_seconds)
        with self._database.writer(tenant_id) as connection:
            try:
                limit_lock_wait(connection, timeout)
                connection.execute(query("lock_tokens"), {"tenant_id": tenant_id})
            except LockNotAvailable:
                raise TokensLockedError(
                    f"Another process has been refreshing them for more than {timeout:g} s."
                ) from None
            yield LockedTokens(connection, cipher, tenant_id)

    def expiring(self, *, within: timedelta, limit: int) -> list[str]:
        """Enabled tenants whose access token expires so soon, the first to expire first.

        One whose refresh failed within the last hour is left out. Raises LedgerError like `load`.
        """
        with self._database.auditor() as connection:
            rows = connection.execute(query("expiring_tokens"), {"within": within, "limit": limit})
            return [row["tenant_id"] for row in rows]

    def record_failed_refresh(self, tenant_id: str, error: GhlSnapshotsError) -> None:
        """Leave in the audit trail that the tokens could not be refreshed, and why.

        Raises:
            LedgerError: the server does not answer.
        """
        details = {"error": str(error)}
        if isinstance(error, GhlError):
            details["kind"] = error.kind.value
        event = _event(EventType.CREDENTIAL_REFRESHED, tenant_id, success=False, details=details)
        with self._database.writer(tenant_id) as connection:
            record(connection, event)

    def location_tokens(
        self, tenant_id: str, *, known: Collection[str] = ()
    ) -> dict[str, AccessToken | RefusedLocation]:
        """The stored tokens of the company's locations that we can decrypt and GHL's refusals to give any.

        Those of the known locations are left out.

        Raises:
            LedgerError: the server does not answer.
            ConfigurationError: there is no valid key.
        """
        cipher = self._cipher()
        named = {"tenant_id": tenant_id, "known": list(known)}
        with self._database.writer(tenant_id) as connection:
            rows = connection.execute(query("location_tokens"), named).fetchall()
        tokens: dict[str, AccessToken | RefusedLocation] = {}
        for row in rows:
            with suppress(InvalidToken, ValueError):
                tokens[row["location_id"]] = _location_token(cipher, row)
        return tokens

    def store_location_tokens(
        self, tenant_id: str, tokens: Mapping[str, AccessToken | RefusedLocation]
    ) -> None:
        """Store locations' tokens and refusals in the place of older ones; raises like `location_tokens`."""
        cipher = self._cipher()
        # In one order, so that two processes that store the same ones cannot deadlock.
        ordered = sorted(tokens.items())
        rows = {
            "tenant_id": tenant_id,
            "location_ids": [location_id for location_id, _ in ordered],
            "tokens": [
                cipher.encrypt(token.value.encode()) if isinstance(token, AccessToken) else None
                for _, token in ordered
            ],
            "refusals": [
                Jsonb({"kind": token.kind.value, "message": legal_text(token.message)})
                if isinstance(token, RefusedLocation)
                else None
                for _, token in ordered
            ],
            "expiries": [token.expires_at for _, token in ordered],
        }
        with self._database.writer(tenant_id) as connection:
            connection.execute(query("store_location_tokens"), rows)

    def _cipher(self) -> MultiFernet:
        if not self._keys:
            raise ConfigurationError(
                "GHL_SNAPSHOTS_ENCRYPTION_KEYS is not set, and OAuth tokens are only kept encrypted. "
                f"Make a key with: {_HOW_TO_MAKE_A_KEY}"
            )
        try:
            return MultiFernet([Fernet(key.strip()) for key in self._keys.split(",")])
        except ValueError:
            raise ConfigurationError(
                "GHL_SNAPSHOTS_ENCRYPTION_KEYS holds something that is no Fernet key. "
                f"Make one with: {_HOW_TO_MAKE_A_KEY}"
            ) from None


def _event(
    event_type: EventType, tenant_id: str, *, success: bool = True, details: Mapping[str, Any] | None = None
) -> AuditEvent:
    by_hand = event_type is EventType.TENANT_AUTHORIZED
    return AuditEvent(
        event_type=event_type,
        tenant_id=tenant_id,
        correlation_id=f"credential_{uuid7()}",
        success=success,
        source=Source.MANUAL if by_hand else Source.SCHEDULED,
        details=details or {},
    )


def _location_token(cipher: MultiFernet, row: Mapping[str, Any]) -> AccessToken | RefusedLocation:
    if row["refusal"] is None:
        return AccessToken(value=cipher.decrypt(row["token"]).decode(), expires_at=row["expires_at"])
    refusal = row["refusal"]
    return RefusedLocation(
        kind=ErrorKind(refusal["kind"]), message=refusal["message"], expires_at=row["expires_at"]
    )


def _decrypted(cipher: MultiFernet, row: Mapping[str, Any], tenant_id: str) -> StoredTokens:
    try:
        access = row["access_token"] and AccessToken(
            value=cipher.decrypt(row["access_token"]).decode(), expires_at=row["access_expires_at"]
        )
        return StoredTokens(refresh_token=cipher.decrypt(row["refresh_token"]).decode(), access=access)
    except InvalidToken:
        raise CredentialError(
            f"The OAuth tokens of tenant {tenant_id} were encrypted with a key that is not in "
            "GHL_SNAPSHOTS_ENCRYPTION_KEYS; add that key behind the newest one."
        ) from None
