"""OAuth tokens: never in the clear, one refresh at a time, durable before anything else happens."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from psycopg import Connection

from ghl_snapshots.core.errors import ConfigurationError, CredentialError, LedgerError
from ghl_snapshots.core.tokens import AccessToken, StoredTokens
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots_tests.ledger.captures import NOON

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))
TOKENS = StoredTokens(
    refresh_token="refresh-1",
    access=AccessToken(value="access-1", expires_at=NOON + timedelta(days=1)),
)


def store(tokens: OAuthTokens, value: StoredTokens, tenant_id: str = "acme") -> None:
    with tokens.locked(tenant_id) as locked:
        locked.store(value)


def test_tokens_come_back_and_are_not_in_the_database_in_the_clear(
    database: Database, superuser: Connection
) -> None:
    tokens = OAuthTokens(database, NEW)
    assert tokens.load("acme") is None
    store(tokens, TOKENS)
    assert tokens.load("acme") == TOKENS
    row: Any = superuser.execute("SELECT oauth_token::text, oauth_token FROM oauth_token").fetchone()
    for secret in (b"refresh-1", b"access-1"):
        assert secret.hex() not in row[0]
        assert secret.decode() not in row[0]
    assert "refresh-1" not in repr(tokens.load("acme"))


def test_a_refresh_token_without_an_access_token_is_kept(database: Database) -> None:
    tokens = OAuthTokens(database, NEW)
    store(tokens, StoredTokens(refresh_token="only"))
    assert tokens.load("acme") == StoredTokens(refresh_token="only")


def test_a_key_is_changed_by_putting_a_new_one_in_front(database: Database) -> None:
    store(OAuthTokens(database, OLD), TOKENS)
    both = OAuthTokens(database, f"{NEW}, {OLD}")
    assert both.load("acme") == TOKENS
    with pytest.raises(CredentialError, match="tenant acme were encrypted with a key that is not in"):
        OAuthTokens(database, NEW).load("acme")
    store(both, TOKENS)
    assert OAuthTokens(database, NEW).load("acme") == TOKENS


@pytest.mark.parametrize("keys", [None, "", "not-a-key", f"{NEW},"], ids=["none", "empty", "wrong", "two"])
def test_without_a_valid_key_nothing_is_read_or_written(database: Database, keys: str | None) -> None:
    tokens = OAuthTokens(database, keys)
    with pytest.raises(ConfigurationError, match="GHL_SNAPSHOTS_ENCRYPTION_KEYS") as refused:
        tokens.load("acme")
    assert "not-a-key" not in str(refused.value)
    with pytest.raises(ConfigurationError), tokens.locked("acme"):
        pass


def test_a_single_use_token_is_spent_once_by_many_at_once(database: Database) -> None:
    """Each takes the refresh token that the one before it stored."""
    tokens, spent = OAuthTokens(database, NEW), list[str]()
    store(tokens, StoredTokens(refresh_token="0"))

    def refresh() -> None:
        with tokens.locked("acme") as locked:
            assert locked.tokens is not None
            spent.append(locked.tokens.refresh_token)
            locked.store(StoredTokens(refresh_token=str(int(locked.tokens.refresh_token) + 1)))

    threads = [threading.Thread(target=refresh) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(spent, key=int) == [str(number) for number in range(8)]


def test_one_tenants_refresh_does_not_keep_anothers_waiting(database: Database) -> None:
    tokens = OAuthTokens(database, NEW)
    with tokens.locked("acme"), tokens.locked("zenith") as locked:
        locked.store(TOKENS)
    assert tokens.load("zenith") == TOKENS
    assert tokens.load("acme") is None


def test_tokens_are_durable_as_soon_as_they_are_stored(database: Database) -> None:
    tokens = OAuthTokens(database, NEW)

    def crash() -> None:
        with tokens.locked("acme") as locked:
            locked.store(TOKENS)
            assert tokens.load("acme") == TOKENS  # another connection sees it
            raise RuntimeError("the process ends here")

    with pytest.raises(RuntimeError):
        crash()
    assert tokens.load("acme") == TOKENS


def test_a_refresh_that_fails_leaves_the_tokens_and_lets_the_next_one_try(database: Database) -> None:
    tokens = OAuthTokens(database, NEW)
    store(tokens, TOKENS)
    with pytest.raises(RuntimeError), tokens.locked("acme"):
        raise RuntimeError("GHL does not answer")
    with tokens.locked("acme") as locked:
        assert locked.tokens == TOKENS


def test_a_lock_that_another_process_keeps_is_not_waited_for_for_ever(database: Database, url: str) -> None:
    with (
        OAuthTokens(database, NEW).locked("acme"),
        Database(url, lock_seconds=0.05) as impatient,
        pytest.raises(LedgerError, match=r"been refreshing them for more than 0\.05 s"),
        OAuthTokens(impatient, NEW).locked("acme"),
    ):
        pass
