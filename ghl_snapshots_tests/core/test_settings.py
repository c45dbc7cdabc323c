"""A wrong setting is named by its variable, a right one is shown unless it is secret."""

import pytest

from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.settings import Settings, describe_settings, load_settings


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("GHL_SNAPSHOTS_HOURLY_CRON", "every hour", "five fields"),
        ("GHL_SNAPSHOTS_DAILY_CRON", "0 25 * * *", "bad hour"),
        ("GHL_SNAPSHOTS_WEEKLY_CRON", "", "five fields"),
        ("GHL_SNAPSHOTS_TIMEZONE", "Middle-earth", "not a time zone"),
        ("GHL_SNAPSHOTS_TENANTS_PER_RUN", "0", "greater than or equal to 1"),
        ("GHL_SNAPSHOTS_ALERT_WEBHOOK", "hooks.example/T0/secret", "must begin with"),
        ("GHL_SNAPSHOTS_ASSET_OWNER", "somebody", "match pattern"),
        ("GHL_BASE_URL", "nowhere", "valid URL"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=f"{variable}: .*{said}"):
        load_settings()


def test_a_wrong_secret_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GHL_SNAPSHOTS_ALERT_WEBHOOK", "hooks.example/T0/secret")
    with pytest.raises(ConfigurationError) as raised:
        load_settings()
    assert "secret" not in str(raised.value)


def test_every_setting_is_shown_with_its_variable_and_secrets_only_as_set() -> None:
    lines = list(describe_settings(Settings(checkpoint_key="confidential", daily_cron="30 4 * * *")))
    assert "GHL_SNAPSHOTS_DAILY_CRON=30 4 * * *" in lines
    assert "GHL_SNAPSHOTS_CHECKPOINT_KEY=(set)" in lines
    assert "confidential" not in "\n".join(lines)
