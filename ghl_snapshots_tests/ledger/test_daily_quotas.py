"""Processes tell each other what GHL still allows today, and the database's clock says which day that is."""

from datetime import UTC, date, datetime, timedelta

import pytest
from psycopg import Connection

from ghl_snapshots.core.daily_quota import DailyQuota
from ghl_snapshots.core.errors import ErrorKind, GhlError
from ghl_snapshots.ghl.deadline import Deadline
from ghl_snapshots.ghl.limits import RateLimiter
from ghl_snapshots.ledger.daily_quotas import DailyQuotas
from ghl_snapshots.ledger.database import Database

LOCATION = "a-location"


@pytest.fixture
def today(superuser: Connection) -> date:
    """The server's day."""
    [row] = superuser.execute("SELECT (now() AT TIME ZONE 'UTC')::date").fetchall()
    day: date = row[0]
    return day


@pytest.fixture
def quotas(database: Database) -> DailyQuotas:
    return DailyQuotas(database)


def quota(day: date, remaining: int, daily: int | None = 1000) -> DailyQuota:
    return DailyQuota(day=day, remaining=remaining, daily=daily)


def test_within_a_day_the_quota_only_shrinks(quotas: DailyQuotas, today: date) -> None:
    """Answers overtake each other, and so do the processes that note them."""
    assert quotas.read([LOCATION]) == {}
    for remaining, daily in ((500, 1000), (700, 1000), (499, None)):
        assert quotas.note({LOCATION: quota(today, remaining, daily)})
    assert quotas.note({LOCATION: quota(today - timedelta(days=1), 1)})
    assert quotas.read([LOCATION, "another"]) == {LOCATION: quota(today, 499)}


def test_yesterdays_quota_is_not_todays(quotas: DailyQuotas, today: date) -> None:
    quotas.note({LOCATION: quota(today - timedelta(days=1), 0)})
    assert quotas.read([LOCATION]) == {}


def test_a_day_that_has_not_come_is_today(quotas: DailyQuotas, superuser: Connection, today: date) -> None:
    """Nobody, a machine whose clock is ahead included, can end the noting of a quota by a day far ahead."""
    quotas.note({LOCATION: quota(date(9999, 12, 31), 500)})
    assert quotas.read([LOCATION]) == {LOCATION: quota(today, 500)}
    superuser.execute("UPDATE daily_quota SET day = '9999-12-31'")
    quotas.note({LOCATION: quota(today, 700)})
    assert quotas.read([LOCATION]) == {LOCATION: quota(today, 700)}


def test_the_quotas_of_several_locations_are_noted_together(quotas: DailyQuotas, today: date) -> None:
    several = {name: quota(today, len(name), None) for name in ("b", "aa", "ccc")}
    quotas.note(several)
    assert quotas.read(several) == several


def test_the_day_is_the_databases_whatever_the_clock_of_a_host_says(database: Database, today: date) -> None:
    """A host that is a day ahead would have all others wait for its tomorrow."""
    quotas = DailyQuotas(database, clock=lambda: datetime.now(UTC) + timedelta(days=1, hours=1))
    quotas.read([LOCATION])
    assert quotas.today() == today


def test_a_database_that_is_away_holds_nothing_up() -> None:
    with Database("postgresql://nobody@127.0.0.1:1/nothing") as database:
        assert DailyQuotas(database).read([LOCATION]) == {}


def left(remaining: int) -> dict[str, str]:
    return {"X-RateLimit-Limit-Daily": "1000", "X-RateLimit-Daily-Remaining": f"{remaining}"}


def test_a_quota_is_noted_at_the_end_of_a_capture(quotas: DailyQuotas, today: date) -> None:
    limiter = RateLimiter(quotas=quotas, today=quotas.today)
    limiter.observe(LOCATION, left(900), 200)
    assert quotas.read([LOCATION]) == {}
    limiter.note_quotas()
    assert quotas.read([LOCATION]) == {LOCATION: quota(today, 900)}


def test_a_spent_day_is_noted_at_once(quotas: DailyQuotas, today: date) -> None:
    """The capture that met it may end much later."""
    RateLimiter(quotas=quotas, today=quotas.today).observe(LOCATION, left(0), 429)
    assert quotas.read([LOCATION]) == {LOCATION: quota(today, 0)}


def test_what_could_not_be_noted_is_noted_the_next_time(database: Database, today: date) -> None:
    seconds = [100.0]
    with Database("postgresql://nobody@127.0.0.1:1/nothing") as nothing:
        away = DailyQuotas(nothing, monotonic=lambda: seconds[0])
        limiter = RateLimiter(quotas=away)
        limiter.observe(LOCATION, left(0), 429)
        away._database = database  # the server is there again
        limiter.note_quotas()
        assert DailyQuotas(database).read([LOCATION]) == {}, "a server that is away is left alone for a while"
        seconds[0] += 31
        limiter.note_quotas()
    assert DailyQuotas(database).read([LOCATION]) == {LOCATION: quota(today, 0)}


def test_the_last_request_above_the_reserve_is_sent(quotas: DailyQuotas, today: date) -> None:
    quotas.note({LOCATION: quota(today, 501)})
    limiter = RateLimiter(quotas=quotas, today=quotas.today)
    limiter.read_quotas([LOCATION])
    limiter.acquire(LOCATION, Deadline(1))
    with pytest.raises(GhlError) as raised:
        limiter.acquire(LOCATION, Deadline(1))
    assert raised.value.kind is ErrorKind.DAILY_LIMIT
