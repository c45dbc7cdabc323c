"""A run that is ended while it exchanges a refresh token stores GHL's answer first."""

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial

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


def send(number: signal.Signals, stack: Stack, run_id: str) -> None:
    os.kill(graphql.worker_pid(stack.webserver, run_id), number)


ENDS: Mapping[str, Callable[[Stack, str], None]] = {
    "t47": cancel,
    "t48": partial(send, signal.SIGTERM),
    "t49": partial(send, signal.SIGHUP),
}
"""How the run of each tenant is ended."""


@pytest.mark.usefixtures("idle")
def test_a_run_that_is_ended_during_an_exchange_loses_no_account(stack: Stack) -> None:
    before = refreshes(stack)
    held = {}
    for tenant_id in ENDS:
        install_app(stack, tenant_id)
        location_id = stack.product.tenants[tenant_id].ghl_account_id
        held[tenant_id] = hold_back(stack.product.simulator, REFRESH, location_id)
    runs = {tenant_id: launch(stack, tenant_id) for tenant_id in ENDS}
    for tenant_id, end in ENDS.items():
        assert held[tenant_id].reached.wait(TIMEOUT_SECONDS)
        end(stack, runs[tenant_id])
        held[tenant_id].released.set()
    for run_id in runs.values():
        assert graphql.finished_run(stack.webserver, run_id)["status"] in {"CANCELED", "FAILURE"}
    for run_id in [launch(stack, tenant_id) for tenant_id in ENDS]:
        assert graphql.finished_run(stack.webserver, run_id)["status"] == "SUCCESS"
    assert refreshes(stack) - before == len(ENDS)
