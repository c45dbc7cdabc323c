"""One of the rate-limit benchmark's processes, which may run from another checkout than the benchmark itself.

So it imports nothing but what each checkout has, and looks for it by the names of before and now.
"""

import json
import sys
from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import ModuleType
from typing import Any


def main(order: dict[str, Any]) -> None:
    """Prepare the database, or capture when standard input says so and print the captures' statuses."""
    model = _module("core.model", "model")
    settings = _module("core.settings", "settings").Settings.model_validate(order["settings"])
    tenant = model.Tenant(
        **{**order["tenant"], "account_kind": model.AccountKind(order["tenant"]["account_kind"])},
        tenant_id="acme",
    )
    with _module("ledger.database").Database(order["settings"]["database_url"]) as database:
        if order.get("prepare"):
            _prepare(order, settings, tenant, database)
            return
        composition = _module("capture.composition", "composition")
        with composition.capture_engine(settings, database) as engine:
            _say("ready")
            sys.stdin.readline()
            captures = [
                engine.capture(
                    tenant, model.SnapshotType(name), source=model.Source.MANUAL, correlation_id="benchmark"
                )
                for name in order["types"]
            ]
        for error in [error for capture in captures for error in capture.errors][:3]:
            sys.stderr.write(f"{error}\n")
        _say(json.dumps([capture.status.value for capture in captures]))


def _prepare(order: dict[str, Any], settings: Any, tenant: Any, database: Any) -> None:  # noqa: ANN401
    _module("ledger.migrate").migrate(order["settings"]["database_url"])
    _module("ledger.tenants").TenantRegistry(database).add(tenant)
    if order["tokens"] is None:
        return
    tokens = _module("core.tokens", "stored_tokens")
    value, expires_at = order["tokens"]["access_token"], datetime.now(UTC) + timedelta(hours=20)
    access = (
        {"access": tokens.AccessToken(value=value, expires_at=expires_at)}
        if hasattr(tokens, "AccessToken")
        else {"access_token": value, "access_expires_at": expires_at}
    )
    stored = tokens.StoredTokens(refresh_token=order["tokens"]["refresh_token"], **access)
    store = _module("ledger.oauth_tokens").OAuthTokens(database, settings.encryption_keys_text)
    with store.locked(tenant.tenant_id) as locked:
        locked.install(stored)


def _module(*names: str) -> ModuleType:
    """The first of the product's modules that this checkout has."""
    for name in names:
        try:
            return import_module(f"ghl_snapshots.{name}")
        except ModuleNotFoundError:
            continue
    raise ModuleNotFoundError(f"This checkout has none of {', '.join(names)}.")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
