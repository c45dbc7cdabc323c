"""Tokens that expire soon are refreshed by a job of their own, and a tenant that fails costs no other."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import dagster as dg
import pytest

from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.capture.token_refresh import EXPIRES_WITHIN
from ghl_snapshots.core.tokens import AccessToken, StoredTokens
from ghl_snapshots.definitions import definitions
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.orchestration.token_refresh import expiring_tokens
from ghl_snapshots_tests.ghl.rig import KEY, now
from ghl_snapshots_tests.orchestration.product import Product
from ghl_snapshots_tests.orchestration.sensing import evaluated

REFRESH = "/oauth/token"
SOON, LATER = timedelta(hours=1), timedelta(hours=3)
WRONG = timedelta(days=400)
"""What a machine with a wrong clock has stored."""


@pytest.fixture
def store(product: Product, monkeypatch: pytest.MonkeyPatch) -> Iterator[OAuthTokens]:
    """The token store; t00 and t01 expire soon, t02 later, t03 has no access token yet, t04 no app."""
    accounts = product.simulator.accounts
    monkeypatch.setenv("GHL_OAUTH_CLIENT_ID", accounts.client_id)
    monkeypatch.setenv("GHL_OAUTH_CLIENT_SECRET", accounts.client_secret)
    monkeypatch.setenv("GHL_SNAPSHOTS_ENCRYPTION_KEYS", KEY)
    with product.registry() as registry:
        for tenant_id in ("t00", "t01", "t02", "t03", "t04"):
            registry.update(replace(product.tenants[tenant_id], credential="oauth"))
    with open_database(product.settings) as database:
        store = OAuthTokens(database, KEY)
        for tenant_id, life in (("t00", SOON), ("t01", SOON), ("t02", LATER), ("t03", None), ("t04", WRONG)):
            access = AccessToken(value="x", expires_at=now() + life) if life else None
            with store.locked(tenant_id) as locked:
                locked.install(
                    StoredTokens(refresh_token=product.location(tenant_id).refresh_token, access=access)
                )
        yield store


def asked(product: Product) -> list[str]:
    """The tenants for whom the sensor asks for a refresh."""
    requests = evaluated(product, expiring_tokens).run_requests or []
    return [
        name for request in requests for name in request.run_config["ops"]["refresh"]["config"]["tenant_ids"]
    ]


def config(tenant_ids: list[str]) -> dict[str, object]:
    """What such a request configures the run with."""
    return {"ops": {"refresh": {"config": {"tenant_ids": tenant_ids}}}}


def run(product: Product, tenant_ids: list[str]) -> dg.ExecuteInProcessResult:
    job = definitions().resolve_job_def("token_refresh")
    with product.instance() as instance:
        return job.execute_in_process(instance=instance, run_config=config(tenant_ids), raise_on_error=False)


def test_tokens_that_expire_soon_are_refreshed_once(product: Product, store: OAuthTokens) -> None:
    assert asked(product) == ["t03", "t00", "t01", "t04"]
    assert run(product, ["t00", "t01", "t02", "t03", "t04"]).success
    for tenant_id in ("t00", "t01", "t03", "t04"):
        stored = store.load(tenant_id)
        assert stored
        assert stored.access
        assert stored.access.expires_at - now() > EXPIRES_WITHIN
    assert [request.status for request in product.simulator.request_log if request.route == REFRESH] == [
        200
    ] * 4
    assert asked(product) == []


def test_a_refused_refresh_token_costs_no_other_and_is_left_alone_for_an_hour(
    product: Product, store: OAuthTokens
) -> None:
    product.simulator.tokens.spend_refresh_token(product.location("t00").refresh_token)
    result = run(product, ["t00", "t01", "t03", "t04"])
    assert not result.success
    [failed] = [event for event in result.all_events if event.is_step_failure]
    assert failed.step_failure_data.user_failure_data
    assert failed.step_failure_data.user_failure_data.description
    assert failed.step_failure_data.user_failure_data.description.startswith("t00: GHL gives no access token")
    assert asked(product) == []
    [event] = product.rows(
        "SELECT details FROM ghl.audit_event WHERE tenant_id = 't00' AND NOT success "
        "AND event_type = 'ghl_snapshot_credential_refreshed'"
    )
    assert isinstance(event["details"], dict)
    assert event["details"]["kind"] == "invalid_credential"


def test_nothing_is_asked_for_while_a_run_is_not_over(product: Product, store: OAuthTokens) -> None:
    job = definitions().resolve_job_def("token_refresh")
    with product.instance() as instance:
        instance.create_run_for_job(job, run_config=config(["t00"]), status=dg.DagsterRunStatus.STARTED)
    assert asked(product) == []


def test_without_an_app_nothing_is_asked_for(
    product: Product, store: OAuthTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GHL_OAUTH_CLIENT_ID")
    assert asked(product) == []
