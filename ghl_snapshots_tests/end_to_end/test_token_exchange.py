"""A run that is ended while it exchanges a refresh token stores GHL's answer first."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.core.tokens import AccessToken, StoredTokens
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.orchestration.partitions import TenantRange
from ghl_snapshots_tests.end_to_end import graphql
from ghl_snapshots_tests.end_to_end.conftest import Stack
from ghl_snapshots_tests.ghl.rig import KEY, now
from ghl_snapshots_tests.held_answers import TIMEOUT_SECONDS, hold_back

REFRESH = "/oauth/token"


def install_app(stack: Stack, tenant_id: str) -> None:
    """Give the tenant the OAuth app and an access token that GHL does not accept, so that a run exchanges."""
    with open_database(stack.product.settings) as database, stack.product.registry() as registry:
        registry.update(replace(stack.product.tenants[tenant_id], credential="oauth"))
        access = AccessToken(value="revoked", expires_at=now() + timedelta(hours=12))
        refresh_token = stack.product.location(tenant_id).refresh_token
        with OAuthTokens(database, KEY).locked(tenant_id) as locked:
            locked.install(StoredTokens(refresh_token=refresh_token, access=access))


def refreshes(stack: Stack) -> int:
    return sum(request.route == REFRESH for request in stack.product.simulator.request_log)


def launch(stack: Stack, tenant_id: str) -> str:
    tags = TenantRange(first=tenant_id, last=tenant_id).tags()
    return graphql.launch(stack.webserver, [SnapshotType.WORKFLOWS], tags)


def cancel(stack: Stack, run_id: str) -> None:
    graphql.cancel_run(stack.webserver, run_id)


def send(number: signal.Signals) -> Callable[[Stack, str], None]:
    return lambda stack, run_id: os.kill(graphql.worker_pid(stack.webserver, run_id), number)


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("tenant_id", "end"),
    [("t47", cancel), ("t48", send(signal.SIGTERM)), ("t49", send(signal.SIGHUP))],
    ids=["cancelled", "SIGTERM", "SIGHUP"],
)
def test_a_run_that_is_ended_during_an_exchange_loses_no_account(
    stack: Stack, tenant_id: str, end: Callable[[Stack, str], None]
) -> None:
    install_app(stack, tenant_id)
    before = refreshes(stack)
    held = hold_back(stack.product.simulator, REFRESH)
    run_id = launch(stack, tenant_id)
    assert held.reached.wait(TIMEOUT_SECONDS)
    end(stack, run_id)
    held.released.set()
    assert graphql.finished_run(stack.webserver, run_id)["status"] in {"CANCELED", "FAILURE"}
    again = graphql.finished_run(stack.webserver, launch(stack, tenant_id))
    assert again["status"] == "SUCCESS"
    assert refreshes(stack) - before == 1
