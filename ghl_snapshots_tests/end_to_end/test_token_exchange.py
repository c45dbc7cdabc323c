"""A run that is ended while it exchanges a refresh token stores GHL's answer first."""

import os
import signal
from collections.abc import Callable, Mapping
from functools import partial

import pytest

from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.orchestration.partitions import TenantRange
from ghl_snapshots_tests.end_to_end import graphql
from ghl_snapshots_tests.end_to_end.conftest import Stack
from ghl_snapshots_tests.end_to_end.exchanges import accounts_kept, exchanges, held_exchange
from ghl_snapshots_tests.held_answers import TIMEOUT_SECONDS


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
    before = exchanges(stack.product)
    held = {tenant_id: held_exchange(stack.product, tenant_id) for tenant_id in ENDS}
    runs = {tenant_id: launch(stack, tenant_id) for tenant_id in ENDS}
    for tenant_id, end in ENDS.items():
        assert held[tenant_id].reached.wait(TIMEOUT_SECONDS)
        end(stack, runs[tenant_id])
        held[tenant_id].released.set()
    for run_id in runs.values():
        assert graphql.finished_run(stack.webserver, run_id)["status"] in {"CANCELED", "FAILURE"}
    assert accounts_kept(stack.product, ENDS)
    assert exchanges(stack.product) - before == len(ENDS)
