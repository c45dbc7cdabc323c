"""When a schedule is due, and how long it may rest."""

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from ghl_snapshots.core.cron import Cron
from ghl_snapshots.core.errors import ConfigurationError

NEW_YEAR = datetime(2025, 1, 1, tzinfo=UTC)  # a Wednesday


@pytest.mark.parametrize(
    ("expression", "pause"),
    [
        ("0 * * * *", timedelta(hours=1)),
        ("0 2 * * *", timedelta(days=1)),
        ("0 3 * * 0", timedelta(days=7)),
        ("0 9-17 * * 1-5", timedelta(hours=64)),
        ("0 2 1 * *", timedelta(days=31)),
        ("*/5 * * * *", timedelta(minutes=5)),
    ],
)
def test_the_longest_pause_is_that_of_a_whole_month(expression: str, pause: timedelta) -> None:
    assert Cron(expression=expression, timezone="UTC").longest_pause(NEW_YEAR) == pause


def test_ticks_are_those_of_the_time_zone_in_utc() -> None:
    cron = Cron(expression="0 2 * * *", timezone="Europe/Berlin")
    summer = datetime(2025, 7, 1, tzinfo=UTC)
    assert [next(cron.ticks(moment)).hour for moment in (NEW_YEAR, summer)] == [1, 0]


def test_the_moment_itself_is_not_a_tick_after_it() -> None:
    ticks = list(islice(Cron(expression="0 * * * *", timezone="UTC").ticks(NEW_YEAR), 2))
    assert ticks == [NEW_YEAR + timedelta(hours=1), NEW_YEAR + timedelta(hours=2)]


@pytest.mark.parametrize(
    ("expression", "timezone", "said"),
    [
        ("0 2 * *", "UTC", "five fields"),
        ("0 0 2 * * *", "UTC", "five fields"),
        ("@daily", "UTC", "five fields"),
        ("61 * * * *", "UTC", "bad minute"),
        ("0 0 31 2 *", "UTC", "31 2"),
        ("0 * * * *", "Mars/Olympus", "not a time zone"),
        ("0 * * * *", "../etc/passwd", "not a time zone"),
        ("0 * * * *", "", "not a time zone"),
    ],
)
def test_what_is_no_schedule_is_refused_with_its_reason(expression: str, timezone: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Cron(expression=expression, timezone=timezone)
