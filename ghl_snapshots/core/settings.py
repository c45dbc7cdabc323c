"""Every environment variable that the product reads, once."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from pydantic import Field, HttpUrl, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ghl_snapshots.core.capture_settings import CaptureSettings
from ghl_snapshots.core.cron import Cron, zone
from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.model import Tenant

_PREFIX = "GHL_SNAPSHOTS_"


class RunLauncher(StrEnum):
    """What starts the runs that leave the queue."""

    PROCESS = "process"
    CELERY = "celery"
    K8S = "k8s"


class Settings(BaseSettings, CaptureSettings):
    """The deployment's settings; a variable is GHL_SNAPSHOTS_ and the field's name, or the field's alias."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, populate_by_name=True)

    home: Path = Field(
        default=Path(".ghl_snapshots"),
        description="Folder for local state: the embedded PostgreSQL and Dagster's logs.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL to use, as postgresql://user:password@host:port/database; "
        "unset: an embedded one in the home folder.",
    )
    auditor_database_url: SecretStr | None = Field(
        default=None,
        description="The same database with another login, which may act as ghl_snapshots_auditor, for what "
        "reads across tenants; unset: the login of the database URL.",
    )
    encryption_keys: SecretStr | None = Field(
        default=None,
        description="Fernet keys that OAuth tokens are stored under, comma-separated, the newest first.",
    )
    checkpoint_key: SecretStr | None = Field(
        default=None, description="Ed25519 key in PEM that checkpoints are signed or verified with."
    )
    ghl_base_url: HttpUrl = Field(
        default=HttpUrl("https://services.leadconnectorhq.com"),
        validation_alias="GHL_BASE_URL",
        description="Where the GHL API is; the simulated GHL is one value of it.",
    )
    oauth_client_id: str | None = Field(
        default=None,
        validation_alias="GHL_OAUTH_CLIENT_ID",
        description="Client id of the GHL app, for tenants with the credential `oauth`.",
    )
    oauth_client_secret: SecretStr | None = Field(
        default=None,
        validation_alias="GHL_OAUTH_CLIENT_SECRET",
        description="Client secret of the GHL app.",
    )
    oauth_app_id: str | None = Field(
        default=None,
        validation_alias="GHL_OAUTH_APP_ID",
        description="Id of the GHL app; unset: the part of the client id before the first hyphen.",
    )
    hourly_cron: str = Field(default="0 * * * *", description="When pipelines and workflows are captured.")
    daily_cron: str = Field(default="0 2 * * *", description="When everything is captured.")
    weekly_cron: str = Field(
        default="0 3 * * 0", description="When everything is captured and then validated by all checks."
    )
    timezone: str = Field(default="UTC", description="Time zone of the three cron expressions.")
    tenants_per_run: int = Field(
        default=50, ge=1, le=1000, description="Most tenants that one Dagster run captures."
    )
    run_launcher: RunLauncher = Field(
        default=RunLauncher.PROCESS,
        description="What starts runs: process (beside the webserver and the daemon), celery (on the "
        "machines where `ghl-snapshots worker` runs) or k8s (a Kubernetes Job each).",
    )
    celery_broker_url: SecretStr | None = Field(
        default=None,
        description="Redis that hands runs to the workers, as redis://user:password@host:port/number; needed "
        "with the run launcher celery.",
    )
    run_history_days: int = Field(
        default=90, ge=1, description="Days after which Dagster's own records of a run are deleted."
    )
    max_concurrent_runs: int = Field(
        default=4,
        ge=1,
        le=10_000,
        description="Runs that work at once, on all machines; with workers at most the sum of their slots.",
    )
    daemon_threads: int = Field(
        default=4, ge=1, le=64, description="Threads of Dagster's daemon that create the runs of a tick."
    )
    compute_logs: str | None = Field(
        default=None,
        pattern=r"^s3://[^/]+(/.*)?$",
        description="Where the raw output of runs goes, as s3://bucket/prefix; unset: files in the home "
        "folder with the run launcher process, else nowhere.",
    )
    alert_webhook: SecretStr | None = Field(
        default=None,
        description="Where failed runs and failed checks are posted, as JSON that Slack understands.",
    )
    ui_url: HttpUrl | None = Field(
        default=None, description="Where people open Dagster's UI, for the links in alerts."
    )
    asset_owner: str = Field(
        default="team:data",
        pattern=r"^(team:\S+|[^@\s]+@[^@\s]+\.[^@\s]+)$",
        description="Who owns the assets in Dagster's UI: an e-mail address, or team: and a name.",
    )
    triggers_per_minute: int = Field(
        default=60, ge=1, le=100_000, description="Requests of a tenant that the API accepts in a minute."
    )
    metrics_token: SecretStr | None = Field(
        default=None, description="Bearer token that the API's /metrics asks for; unset: none is needed."
    )
    metrics_tenant_label: bool = Field(
        default=True, description="Whether metrics carry the label tenant_id; off caps their number."
    )

    @field_validator("alert_webhook")
    @classmethod
    def _is_webhook(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not value.get_secret_value().startswith(("https://", "http://")):
            raise ValueError("must begin with https:// or http://")
        return value

    @field_validator("celery_broker_url")
    @classmethod
    def _is_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not value.get_secret_value().startswith(("redis://", "rediss://")):
            raise ValueError("must begin with redis:// or rediss://")
        return value

    @field_validator("hourly_cron", "daily_cron", "weekly_cron")
    @classmethod
    def _is_cron(cls, value: str) -> str:
        try:
            return Cron(expression=value, timezone="UTC").expression
        except ConfigurationError as error:
            raise ValueError(str(error)) from None

    @field_validator("timezone")
    @classmethod
    def _is_timezone(cls, value: str) -> str:
        try:
            return zone(value).key
        except ConfigurationError as error:
            raise ValueError(str(error)) from None

    @property
    def base_url(self) -> str:
        """The GHL base URL without a trailing slash."""
        return str(self.ghl_base_url).rstrip("/")

    @property
    def encryption_keys_text(self) -> str | None:
        """The encryption keys in the clear, for the one place that encrypts."""
        return self.encryption_keys.get_secret_value() if self.encryption_keys else None


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        ConfigurationError: naming each variable that is wrong and why, without quoting its value.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{_variable(str(problem['loc'][0]))}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise ConfigurationError(f"The environment is not valid: {problems}.") from None


def describe_settings(settings: Settings) -> Iterator[str]:
    """A line for each setting: its variable, its value unless that is secret, and what it is for."""
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        shown = "(set)" if isinstance(value, SecretStr) else "(unset)" if value is None else str(value)
        yield f"{_variable(name)}={shown}"
        yield f"    {field.description}"


def describe_overrides(settings: Settings, tenant: Tenant) -> Iterator[str]:
    """A line for each setting that a tenant may override: its value for the tenant, and where that is from.

    Raises:
        ConfigurationError: the tenant overrides something that is no such setting.
    """
    effective = settings.overridden(tenant.overrides)
    for name, field in CaptureSettings.model_fields.items():
        origin = (
            f"   overridden for {tenant.tenant_id}; {_variable(name)} has {getattr(settings, name):g}"
            if name in tenant.overrides
            else ""
        )
        yield f"{name}={getattr(effective, name):g}{origin}"
        yield f"    {field.description}"


def _variable(name: str) -> str:
    """The environment variable of a field, or of a variable's own name."""
    field = Settings.model_fields.get(name)
    return str(field.validation_alias or f"{_PREFIX}{name.upper()}") if field else name
