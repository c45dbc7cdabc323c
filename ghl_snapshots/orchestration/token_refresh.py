"""The job that refreshes OAuth tokens which expire soon, and the sensor that asks for it."""

import dagster as dg

from ghl_snapshots.capture.token_refresh import EXPIRES_WITHIN, refresh_tokens
from ghl_snapshots.core.settings import load_settings
from ghl_snapshots.core.signals import heeded_signals
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.orchestration import dagster_tags
from ghl_snapshots.orchestration.resources import DatabaseResource

TOKEN_REFRESH = "token_refresh"  # noqa: S105 (a job's name)
_TENANTS_PER_TICK = 50
_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


class TenantIds(dg.Config):
    """Whose tokens to refresh."""

    tenant_ids: list[str]


@dg.op
def refresh(config: TenantIds, database: DatabaseResource) -> None:
    """Refresh the tenants' tokens; fails naming those whose could not be, when all were tried."""
    with heeded_signals():
        failures = refresh_tokens(load_settings(), database.database, config.tenant_ids)
    if failures:
        raise dg.Failure("\n".join(f"{tenant_id}: {why}" for tenant_id, why in failures.items()))


@dg.job(
    tags={dagster_tags.JOB: "token_refresh"},
    name=TOKEN_REFRESH,
    executor_def=dg.in_process_executor,
    description="Refreshes OAuth tokens that expire within two hours, so that captures need not.",
)
def token_refresh() -> None:
    """One step for all the tenants of a tick."""
    refresh()


@dg.sensor(
    job_name=TOKEN_REFRESH,
    name="expiring_tokens",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for a run of `token_refresh` for the tenants whose token expires within two hours, "
    f"at most {_TENANTS_PER_TICK} at a time. A tenant whose refresh failed is left alone for an hour.",
)
def expiring_tokens(
    context: dg.SensorEvaluationContext, database: DatabaseResource
) -> dg.RunRequest | dg.SkipReason:
    """Ask for one run at a time."""
    settings = load_settings()
    if settings.oauth_client_id is None or settings.oauth_client_secret is None:
        return dg.SkipReason("No OAuth app is configured.")
    if context.instance.get_runs(dg.RunsFilter(job_name=TOKEN_REFRESH, statuses=_UNFINISHED), limit=1):
        return dg.SkipReason("The run asked for before is not over.")
    store = OAuthTokens(database.database, settings.encryption_keys_text)
    tenant_ids = store.expiring(within=EXPIRES_WITHIN, limit=_TENANTS_PER_TICK)
    if not tenant_ids:
        return dg.SkipReason("No token expires soon.")
    return dg.RunRequest(run_config={"ops": {"refresh": {"config": {"tenant_ids": tenant_ids}}}})
