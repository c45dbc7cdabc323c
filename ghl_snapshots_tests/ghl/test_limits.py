"""No request is sent that GHL would refuse, and the customer keeps a part of each day's quota."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from typing import Final

import pytest

from ghl_snapshots.core.capture_settings import CaptureSettings
from ghl_snapshots.core.errors import ErrorKind, GhlError
from ghl_snapshots.ghl.deadline import Deadline
from ghl_snapshots.ghl.limits import RateLimiter, is_daily
from ghl_snapshots.ghl.transport import Transport
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.server import Simulator

PLACE: Final = "location-1"


@dataclass
class Time:
    """A clock that stands still until it is moved."""

    seconds: float = 1000.0
    day: date = date(2026, 3, 3)

    def monotonic(self) -> float:
        return self.seconds

    def today(self) -> date:
        return self.day


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def limiter(time: Time) -> RateLimiter:
    return RateLimiter(monotonic=time.monotonic, today=time.today)


def headers(
    *,
    remaining: int = 99,
    burst: int = 100,
    interval_ms: int = 10_000,
    daily: int = 200_000,
    left: int = 200_000,
) -> dict[str, str]:
    return {
        "X-RateLimit-Max": str(burst),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Interval-Milliseconds": str(interval_ms),
        "X-RateLimit-Limit-Daily": str(daily),
        "X-RateLimit-Daily-Remaining": str(left),
    }


def _taken(limiter: RateLimiter, place: str = PLACE, deadline: Deadline | None = None) -> ErrorKind | None:
    """Take a slot; what kept it from being taken, if anything."""
    try:
        limiter.acquire(place, deadline or Deadline(1))
    except GhlError as error:
        return error.kind
    return None


def slots(limiter: RateLimiter, place: str = PLACE) -> int:
    """How many requests may be sent at once now; each is taken."""
    taken = 0
    while (refused := _taken(limiter, place, Deadline(0))) is None:
        taken += 1
    assert refused is ErrorKind.TIMEOUT
    return taken


FIRST = 4
"""Requests of a location that may be out before its first answer."""


def answer(limiter: RateLimiter, place: str = PLACE) -> None:
    """One request and its answer."""
    limiter.acquire(place, Deadline(1))
    limiter.observe(place, headers(), 200)


def test_all_of_a_burst_is_used(limiter: RateLimiter) -> None:
    """A slot is kept from before its request is sent, so no delay can put one too many into GHL's window."""
    answer(limiter)
    assert slots(limiter) == 99


def test_few_requests_are_out_before_the_first_answer(limiter: RateLimiter) -> None:
    """It may say that other processes have used the burst up."""
    assert slots(limiter) == FIRST
    limiter.observe(PLACE, {}, None)
    assert slots(limiter) == 1, "a lost request is no answer"
    limiter.observe(PLACE, headers(remaining=100 - FIRST), 200)
    assert slots(limiter) == 100 - FIRST - 1


def test_each_location_has_a_burst_of_its_own(limiter: RateLimiter) -> None:
    for place in ("one", "two"):
        answer(limiter, place)
    assert (slots(limiter, "one"), slots(limiter, "two")) == (99, 99)


def test_a_slot_is_free_again_a_whole_interval_after_the_answer(limiter: RateLimiter, time: Time) -> None:
    """GHL may have counted the request as late as when it answered."""
    answer(limiter)
    time.seconds += 60
    assert slots(limiter) == 100
    time.seconds += 60
    assert slots(limiter) == 0
    limiter.observe(PLACE, {}, None)
    time.seconds += 9.99
    assert slots(limiter) == 0
    time.seconds += 0.02
    assert slots(limiter) == 1


def test_the_limit_is_the_one_that_the_headers_tell(limiter: RateLimiter, time: Time) -> None:
    limiter.acquire(PLACE, Deadline(1))
    limiter.observe(PLACE, headers(burst=20, remaining=19, interval_ms=2000), 200)
    assert slots(limiter) == 19
    time.seconds += 2.01
    assert slots(limiter) == 1


def sent_one_by_one(limiter: RateLimiter, *, external: int) -> int:
    """How many requests are sent before GHL would refuse one, each answered at once.

    GHL counts those of somebody else besides.
    """
    sent = 0
    while _taken(limiter, deadline=Deadline(5)) is None:
        sent += 1
        limiter.observe(PLACE, headers(remaining=max(0, 100 - external - sent)), 200)
    return sent


@pytest.mark.parametrize(("external", "sent"), [(0, 100), (1, 93), (40, 54), (99, 1)])
def test_external_usage_counts_too(limiter: RateLimiter, time: Time, external: int, sent: int) -> None:
    """And leaves six slots free, because GHL tells late of what others send meanwhile."""
    assert sent_one_by_one(limiter, external=external) == sent
    time.seconds += 10.01
    assert sent_one_by_one(limiter, external=0) == 100


def test_with_external_usage_few_of_what_is_left_are_out_at_once(limiter: RateLimiter) -> None:
    """Several processes see the same slots free; if each took all of them GHL would refuse most."""
    limiter.acquire(PLACE, Deadline(1))
    limiter.observe(PLACE, headers(remaining=40), 200)
    assert slots(limiter) == 2
    for _ in range(2):
        limiter.observe(PLACE, headers(remaining=7), 200)
    assert slots(limiter) == 1


def test_few_requests_are_out_where_nothing_more_is_known_of_external_usage(
    limiter: RateLimiter, time: Time
) -> None:
    limiter.acquire(PLACE, Deadline(1))
    limiter.observe(PLACE, headers(remaining=40), 200)
    time.seconds += 10.01
    assert slots(limiter) == FIRST


def test_external_usage_is_forgotten_as_soon_as_ghl_says_so(limiter: RateLimiter) -> None:
    for remaining in (10, 98):
        limiter.acquire(PLACE, Deadline(1))
        limiter.observe(PLACE, headers(remaining=remaining), 200)
    assert slots(limiter) == 98


def test_nothing_is_sent_when_the_headers_leave_nothing(limiter: RateLimiter) -> None:
    limiter.acquire(PLACE, Deadline(1))
    limiter.observe(PLACE, headers(remaining=0), 200)
    assert slots(limiter) == 0


def test_after_a_burst_was_refused_the_interval_is_waited_out(limiter: RateLimiter, time: Time) -> None:
    limiter.acquire(PLACE, Deadline(1))
    limiter.observe(PLACE, headers(remaining=50), 429)
    assert slots(limiter) == 0
    time.seconds += 9.9
    assert slots(limiter) == 0
    time.seconds += 0.2
    assert slots(limiter) > 0


def test_a_longer_retry_after_is_waited_out(limiter: RateLimiter, time: Time) -> None:
    limiter.acquire(PLACE, Deadline(1))
    limiter.observe(PLACE, {"Retry-After": "30"}, 429)
    time.seconds += 29
    assert slots(limiter) == 0
    time.seconds += 2
    assert slots(limiter) == FIRST


@pytest.mark.parametrize(
    ("until", "seconds"),
    [
        ("Tue, 03 Mar 2026 12:00:30 GMT", 30),
        ("Tuesday, 03-Mar-26 12:00:30 GMT", 30),
        ("Tue, 03 Mar 2026 12:00:30 -0000", 30),
        ("Tue, 03 Mar 2026 11:00:00 GMT", 10),
        ("Wed, 04 Mar 2026 12:00:00 GMT", 3600),
        ("Tue, 03 Mar 99999999999 12:00:00 GMT", 10),
        ("soon", 10),
    ],
)
def test_a_retry_after_may_be_a_date_by_ghls_own_clock(
    limiter: RateLimiter, time: Time, until: str, seconds: int
) -> None:
    """And the interval is waited out at least, whatever the header says."""
    limiter.acquire(PLACE, Deadline(1))
    limiter.observe(PLACE, {"Retry-After": until, "Date": "Tue, 03 Mar 2026 12:00:00 GMT"}, 429)
    time.seconds += seconds - 0.1
    assert slots(limiter) == 0
    time.seconds += 0.2
    assert slots(limiter) == FIRST


def test_a_retry_after_date_is_compared_with_our_clock_where_ghl_tells_no_time(
    limiter: RateLimiter, time: Time
) -> None:
    limiter.acquire(PLACE, Deadline(1))
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    limiter.observe(PLACE, {"Retry-After": in_a_minute}, 429)
    time.seconds += 30
    assert slots(limiter) == 0
    time.seconds += 31
    assert slots(limiter) == FIRST


def test_a_retry_after_is_believed_for_an_hour_at_most(limiter: RateLimiter, time: Time) -> None:
    """One header gone wrong would close the location for as long as the process lives."""
    limiter.acquire(PLACE, Deadline(1))
    limiter.observe(PLACE, {"Retry-After": "999999999"}, 429)
    time.seconds += 3599
    assert slots(limiter) == 0
    time.seconds += 2
    assert slots(limiter) == FIRST


def test_an_interval_is_believed_for_a_minute_at_most(limiter: RateLimiter, time: Time) -> None:
    limiter.acquire(PLACE, Deadline(1))
    limiter.observe(PLACE, headers(burst=1, remaining=0, interval_ms=99_999_999_999), 429)
    time.seconds += 59
    assert slots(limiter) == 0
    time.seconds += 2
    assert slots(limiter) == 1


def test_an_answer_tells_of_the_day_on_which_its_request_was_sent(limiter: RateLimiter, time: Time) -> None:
    """Read after midnight, it must not take the new day for spent."""
    sent_on = limiter.acquire(PLACE, Deadline(1))
    time.day = date(2026, 3, 4)
    limiter.observe(PLACE, headers(daily=1000, left=0), 429, day=sent_on)
    assert _taken(limiter) is None
    limiter.observe(PLACE, headers(daily=1000, left=501), 200, day=time.day)
    limiter.observe(PLACE, headers(daily=1000, left=0), 429, day=sent_on)
    assert _taken(limiter) is None
    assert _taken(limiter) is ErrorKind.DAILY_LIMIT


@pytest.mark.parametrize("text", ["", "-1", "ten", "1.5", "9" * 400, "٣"])
def test_a_header_that_is_no_number_is_left_alone(limiter: RateLimiter, text: str) -> None:
    limiter.acquire(PLACE, Deadline(1))
    limiter.observe(PLACE, dict.fromkeys(headers(), text), 200)
    assert slots(limiter) == 99


def test_half_of_the_day_is_left_to_the_customer(limiter: RateLimiter) -> None:
    limiter.acquire(PLACE, Deadline(1))
    limiter.observe(PLACE, headers(daily=1000, left=503), 200)
    assert [_taken(limiter) for _ in range(4)] == [None, None, None, ErrorKind.DAILY_LIMIT]
    with pytest.raises(GhlError, match="has 503 of 1,000 requests left today, and 50%") as caught:
        limiter.acquire(PLACE, Deadline(1))
    assert caught.value.attempts == 0


def test_an_answer_that_was_overtaken_does_not_raise_the_quota_again(limiter: RateLimiter) -> None:
    limiter.observe(PLACE, headers(daily=1000, left=500), 200)
    limiter.observe(PLACE, headers(daily=1000, left=900), 200)
    assert _taken(limiter) is ErrorKind.DAILY_LIMIT


def test_a_new_day_brings_a_new_quota(limiter: RateLimiter, time: Time) -> None:
    limiter.observe(PLACE, headers(daily=1000, left=0), 429)
    assert _taken(limiter) is ErrorKind.DAILY_LIMIT
    time.day = date(2026, 3, 4)
    assert _taken(limiter) is None


def test_without_a_reserve_all_of_the_day_is_used(time: Time) -> None:
    limiter = RateLimiter(monotonic=time.monotonic, today=time.today)
    limiter.observe(PLACE, headers(daily=1000, left=1), 200)
    limiter.acquire(PLACE, Deadline(1), daily_reserve=0)
    with pytest.raises(GhlError) as caught:
        limiter.acquire(PLACE, Deadline(1), daily_reserve=0)
    assert caught.value.kind is ErrorKind.DAILY_LIMIT


def test_one_location_at_its_quota_leaves_the_others_alone(limiter: RateLimiter) -> None:
    limiter.observe("spent", headers(left=0), 429)
    assert _taken(limiter, "other") is None


def test_only_the_headers_tell_a_spent_day_from_a_burst() -> None:
    assert is_daily(headers(left=0))
    assert not is_daily(headers(remaining=0, left=7))
    assert not is_daily({})


def test_a_wait_that_would_outlast_the_capture_is_not_begun(limiter: RateLimiter) -> None:
    limiter.acquire(PLACE, Deadline(1))
    limiter.observe(PLACE, headers(), 429)
    with pytest.raises(
        GhlError, match=r"allows the next request in 10.0 s, but the capture's total time of 5 s"
    ):
        limiter.acquire(PLACE, Deadline(5))


def test_a_wait_ends_at_once_when_the_capture_is_cancelled() -> None:
    limiter = RateLimiter()
    limiter.observe(PLACE, headers(), 429)
    deadline = Deadline(60)
    threading.Timer(0.05, deadline.cancel).start()
    with pytest.raises(GhlError, match="interrupted"):
        limiter.acquire(PLACE, deadline)


@pytest.fixture(scope="module")
def tight() -> Iterator[Simulator]:
    with Simulator(generated_accounts(1, tenants=2), burst_limit=20, burst_window_seconds=0.5) as simulator:
        yield simulator


def test_many_threads_on_two_locations_meet_no_429(tight: Simulator) -> None:
    """Twelve threads and a limit that the client learns from the first answers only."""
    transport = Transport(tight.base_url)
    limiter = RateLimiter()
    places = list(tight.accounts.single_locations)

    def ask(number: int) -> int:
        place = places[number % 2]
        limiter.acquire(place.location_id, Deadline(30))
        reply = transport.send(
            "GET",
            "/workflows/",
            headers={"Authorization": f"Bearer {place.private_integration_token}", "Version": "2021-07-28"},
            query={"locationId": place.location_id},
            deadline=Deadline(30),
            settings=CaptureSettings(),
        )
        limiter.observe(place.location_id, reply.headers, reply.status)
        return reply.status

    with ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(ask, range(150)))
    transport.close()
    assert statuses == [200] * 150
