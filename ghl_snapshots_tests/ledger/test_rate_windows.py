"""Processes take places in one window, in order, and none is held up where the window cannot be reached."""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection

from ghl_snapshots.core.errors import ErrorKind, GhlError
from ghl_snapshots.core.shared_limits import Place, Quota
from ghl_snapshots.ghl.deadline import Deadline
from ghl_snapshots.ghl.limits import RateLimiter
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.rate_windows import RateWindows
from ghl_snapshots_tests.ledger.proxies import proxied

DAY = date(2026, 3, 3)
PLACE = "a-location"


@pytest.fixture
def windows(database: Database) -> Iterator[RateWindows]:
    windows = RateWindows(database)
    yield windows
    windows.close()


def waits(windows: RateWindows, number: int, *, patience_seconds: float = 1000) -> list[int]:
    """The waits for so many places of three in 100 s each, to the nearest 10 s."""
    claimed = [
        windows.claim(PLACE, day=DAY, most=3, hold_seconds=100, patience_seconds=patience_seconds)
        for _ in range(number)
    ]
    return [round(place.wait_seconds / 10) * 10 for place in claimed if place is not None]


def test_each_place_is_a_whole_hold_after_the_one_as_many_places_before(windows: RateWindows) -> None:
    assert waits(windows, 8) == [0, 0, 0, 100, 100, 100, 200, 200]


def test_windows_of_two_processes_are_one(windows: RateWindows, database: Database) -> None:
    other = RateWindows(database)
    assert [*waits(windows, 2), *waits(other, 2), *waits(windows, 1)] == [0, 0, 0, 100, 100]
    other.close()


def test_each_location_has_a_window_of_its_own(windows: RateWindows) -> None:
    assert waits(windows, 3) == [0, 0, 0]
    other = windows.claim("another-location", day=DAY, most=3, hold_seconds=100, patience_seconds=0)
    assert other is not None
    assert other.wait_seconds == 0


def test_a_place_that_is_too_far_off_is_left_to_others(windows: RateWindows) -> None:
    assert waits(windows, 3) == [0, 0, 0]
    assert waits(windows, 5, patience_seconds=20) == [100] * 5
    assert waits(windows, 1) == [100]


def test_what_is_taken_at_this_moment_is_told(windows: RateWindows) -> None:
    told = [windows.claim(PLACE, day=DAY, most=3, hold_seconds=100, patience_seconds=1000) for _ in range(6)]
    assert [place.taken for place in told if place is not None] == [0, 1, 2, 3, 3, 3]


def block(windows: RateWindows, wanted: int, *, most: int = 20, keep_seconds: float = 100) -> int:
    """How many places are given at once of so many that are wanted; 0 if the next one is not free yet."""
    place = windows.claim(
        PLACE,
        day=DAY,
        most=most,
        hold_seconds=200,
        patience_seconds=0,
        wanted=wanted,
        keep_seconds=keep_seconds,
    )
    assert place is not None
    return 0 if place.wait_seconds else place.places


def test_many_free_places_are_taken_together_and_the_last_ones_one_by_one(windows: RateWindows) -> None:
    """So that no process can take from the others what it may not need."""
    assert [block(windows, 16) for _ in range(13)] == [5, 3, 3, 2, 1, 1, 1, 1, 1, 1, 1, 0, 0]


def test_no_more_places_are_taken_together_than_wanted(windows: RateWindows) -> None:
    assert [block(windows, 2), block(windows, 1), block(windows, 4)] == [2, 1, 4]


def test_a_place_taken_with_others_is_held_from_the_end_of_its_time_on(windows: RateWindows) -> None:
    """Its request may be sent as late as then."""
    assert block(windows, 2, most=8) == 2
    assert [block(windows, 1, most=8) for _ in range(6)] == [1] * 6
    place = windows.claim(PLACE, day=DAY, most=8, hold_seconds=200, patience_seconds=1000)
    assert place is not None
    assert round(place.wait_seconds / 10) * 10 == 200, "behind those that were used at once"
    waits = [windows.claim(PLACE, day=DAY, most=8, hold_seconds=200, patience_seconds=1000) for _ in range(6)]
    assert [round(place.wait_seconds / 10) * 10 for place in waits if place] == [200] * 5 + [300]


@given(
    claims=st.lists(
        st.tuples(st.integers(1, 40), st.integers(1, 16), st.sampled_from([0, 100, 200])), max_size=60
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_no_window_ever_holds_more_than_its_places(
    windows: RateWindows, claims: list[tuple[int, int, int]]
) -> None:
    """Of whatever is claimed by whomever: each place, as early as its request may be sent, finds the window
    with room, even if every request of an earlier place was sent as late as it may be."""
    resource_id, latest = uuid4().hex, list[int]()
    for most, wanted, keep in claims:
        place = windows.claim(
            resource_id,
            day=DAY,
            most=most,
            hold_seconds=1000,
            patience_seconds=10**6,
            wanted=wanted,
            keep_seconds=keep,
        )
        assert place is not None
        begins = round(place.wait_seconds / 50) * 50
        for _ in range(place.places):
            in_window = sum(until + 1000 > begins for until in latest)
            assert in_window < most
            latest.append(begins + (keep if place.places > 1 else 0))


def test_places_of_blocks_are_told_as_taken_from_the_start(windows: RateWindows) -> None:
    """GHL may count their requests at any moment of the time for which they are kept."""
    assert (block(windows, 4), block(windows, 1)) == (4, 1)
    place = windows.claim(PLACE, day=DAY, most=20, hold_seconds=200, patience_seconds=0, keep_seconds=100)
    assert place is not None
    assert place.taken == 5


def test_places_further_off_are_not_told_as_taken(windows: RateWindows) -> None:
    assert waits(windows, 5) == [0, 0, 0, 100, 100]
    place = windows.claim(PLACE, day=DAY, most=3, hold_seconds=100, patience_seconds=0, keep_seconds=50)
    assert place is not None
    assert place.taken == 3


class CountedWindow:
    """The shared window with a count of what is asked of it."""

    def __init__(self, windows: RateWindows) -> None:
        self._windows = windows
        self.asked: list[int] = []

    def claim(self, resource_id: str, **given: Any) -> Place | None:
        self.asked.append(given["wanted"])
        return self._windows.claim(resource_id, **given)

    def note_quotas(self, quotas: Mapping[str, Quota]) -> bool:
        return self._windows.note_quotas(quotas)

    def close(self) -> None:
        self._windows.close()


def test_a_busy_location_asks_for_larger_and_larger_blocks(windows: RateWindows) -> None:
    counted = CountedWindow(windows)
    limiter = RateLimiter(shared=counted)
    for _ in range(8 + 16 + 16 + 1):
        limiter.acquire(PLACE, Deadline(60))
    assert counted.asked == [8, 16, 16, 16]


def test_a_block_that_was_not_used_up_is_followed_by_a_smaller_one(windows: RateWindows) -> None:
    seconds = [0.0]
    counted = CountedWindow(windows)
    limiter = RateLimiter(shared=counted, monotonic=lambda: seconds[0])
    for _ in range(8 + 3):
        limiter.acquire(PLACE, Deadline(60))
    seconds[0] = 0.5  # the time for which places are kept with GHL's interval of 10 s
    for _ in range(4):
        limiter.acquire(PLACE, Deadline(60))
    assert counted.asked == [8, 16, 3, 6]


def test_threads_that_need_places_at_once_take_them_of_one_block(windows: RateWindows) -> None:
    counted = CountedWindow(windows)
    limiter = RateLimiter(shared=counted)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: limiter.acquire(PLACE, Deadline(60)), range(8)))
    assert counted.asked == [8]


def test_places_left_unused_by_one_process_stop_no_other(windows: RateWindows, database: Database) -> None:
    """Of a burst of 100 a process that goes away at once has kept no more than the block it asked for."""
    other = RateWindows(database)
    idle, busy = RateLimiter(shared=windows), RateLimiter(shared=other)
    idle.acquire(PLACE, Deadline(60))
    for _ in range(100 - 8):
        busy.acquire(PLACE, Deadline(1))
    with pytest.raises(GhlError, match="allows the next request in"):
        busy.acquire(PLACE, Deadline(1))
    other.close()


def test_a_window_out_of_reach_holds_nothing_up_and_is_looked_for_again(
    database: Database, superuser: Connection
) -> None:
    seconds = [0.0]
    windows = RateWindows(database, monotonic=lambda: seconds[0])

    def claim() -> Place | None:
        return windows.claim(PLACE, day=DAY, most=3, hold_seconds=100, patience_seconds=0)

    assert claim() == Place(wait_seconds=0, taken=0)
    superuser.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert claim() is None
    seconds[0] = 4.9
    assert claim() is None, "a server that is away is not asked for every request"
    seconds[0] = 5.1
    assert claim() == Place(wait_seconds=0, taken=1)
    windows.close()


def test_a_window_whose_server_is_not_there_holds_nothing_up() -> None:
    with Database("postgresql://nobody@127.0.0.1:1/nothing") as database:
        assert RateWindows(database).claim(PLACE, day=DAY, most=3, hold_seconds=1, patience_seconds=0) is None


@dataclass(frozen=True, slots=True)
class Line:
    """The way to the server, which can fall silent without being cut."""

    url: str
    silent: threading.Event
    reached: threading.Event
    """Something was sent while the line was silent."""


@pytest.fixture
def line(url: str, tmp_path: Path) -> Iterator[Line]:
    silent, reached, audible = threading.Event(), threading.Event(), threading.Event()

    def passes(_data: bytes, _from_server: bool) -> bool:  # noqa: FBT001 - the proxy's form
        while silent.is_set():
            reached.set()
            audible.wait(0.05)
        return True

    with proxied(url, tmp_path / "s", passes) as proxy:
        yield Line(proxy, silent, reached)
        silent.clear()


def test_a_server_that_falls_silent_holds_nothing_up(line: Line) -> None:
    """Neither by an answer that does not come nor by a connection that does not."""
    seconds = [0.0]
    with Database(line.url) as database:
        windows = RateWindows(database, longest_seconds=0.2, monotonic=lambda: seconds[0])
        assert waits(windows, 1) == [0]
        line.silent.set()
        assert waits(windows, 1) == []
        seconds[0] = 5.1
        assert waits(windows, 1) == []
        line.silent.clear()
        seconds[0] = 10.2
        assert waits(windows, 1) == [0]
        windows.close()


def test_one_thread_finds_out_whether_the_server_is_back_and_the_others_go_on(
    line: Line, superuser: Connection
) -> None:
    seconds = [0.0]
    with Database(line.url) as database, ThreadPoolExecutor(1) as pool:
        windows = RateWindows(database, longest_seconds=60, monotonic=lambda: seconds[0])
        assert waits(windows, 1) == [0]
        superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert waits(windows, 1) == []
        line.silent.set()
        seconds[0] = 5.1
        first = pool.submit(waits, windows, 1)
        assert line.reached.wait(60)
        assert waits(windows, 3) == []
        assert not first.done()
        line.silent.clear()
        assert first.result(60) == [0]
        assert waits(windows, 1) == [0]
        windows.close()


@pytest.mark.parametrize("role", ["writer", "reader", "auditor"])
def test_no_role_reads_which_locations_are_asked(as_role: Callable[..., Connection], role: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(role, "acme").execute("SELECT * FROM ghl.rate_window")


def test_a_slot_whose_place_is_too_far_off_is_given_back(windows: RateWindows, superuser: Connection) -> None:
    """Or a limiter that met a full window could send nothing any more when the window is free again."""
    first, second = (RateLimiter(shared=windows) for _ in range(2))
    for _ in range(100):
        first.acquire(PLACE, Deadline(60))
    for _ in range(100):
        with pytest.raises(GhlError, match="allows the next request in"):
            second.acquire(PLACE, Deadline(2))
    superuser.execute("DELETE FROM ghl.rate_window")
    for _ in range(100):
        second.acquire(PLACE, Deadline(2))


def known(windows: RateWindows, day: date = DAY, resource_id: str = PLACE) -> Quota | None:
    """What comes of a day's quota with a place."""
    place = windows.claim(resource_id, day=day, most=1000, hold_seconds=1, patience_seconds=0)
    assert place is not None
    return place.quota


def test_what_is_left_of_a_day_is_known_to_all_for_that_day(windows: RateWindows) -> None:
    assert known(windows) is None
    for remaining, daily in ((500, 1000), (700, 1000), (499, None)):
        windows.note_quotas({PLACE: Quota(day=DAY, remaining=remaining, daily=daily)})
    assert known(windows) == Quota(day=DAY, remaining=499, daily=1000)
    assert known(windows, DAY + timedelta(days=1)) is None
    assert known(windows, resource_id="another") is None
    windows.note_quotas({PLACE: Quota(day=DAY - timedelta(days=1), remaining=1, daily=1000)})
    assert known(windows) == Quota(day=DAY, remaining=499, daily=1000)


def test_the_quotas_of_several_locations_are_noted_together(windows: RateWindows) -> None:
    quotas = {name: Quota(day=DAY, remaining=len(name), daily=None) for name in ("b", "aa", "ccc")}
    windows.note_quotas(quotas)
    assert {name: known(windows, resource_id=name) for name in quotas} == quotas


def quota(remaining: int, daily: int = 1000) -> dict[str, str]:
    return {"X-RateLimit-Limit-Daily": f"{daily}", "X-RateLimit-Daily-Remaining": f"{remaining}"}


def test_others_hear_of_a_day_after_fifty_answers_and_at_the_end(windows: RateWindows) -> None:
    limiter = RateLimiter(shared=windows, today=lambda: DAY)
    for number in range(49):
        limiter.observe(PLACE, quota(999 - number), 200)
    assert known(windows) is None
    limiter.observe(PLACE, quota(950), 200)
    assert known(windows) == Quota(day=DAY, remaining=950, daily=1000)
    limiter.observe(PLACE, quota(900), 200)
    limiter.close()
    assert known(windows) == Quota(day=DAY, remaining=900, daily=1000)


@pytest.mark.parametrize("answers", [[500], [0], [900, 880, 10], [999, 949]], ids=str)
def test_others_hear_at_once_of_a_day_of_which_little_is_left(
    windows: RateWindows, answers: list[int]
) -> None:
    """This process may have nothing more to ask there, and end much later."""
    limiter = RateLimiter(shared=windows, today=lambda: DAY)
    for number, remaining in enumerate(answers):
        if number:
            limiter.acquire(PLACE, Deadline(1), daily_reserve=0)
        limiter.observe(PLACE, quota(remaining), 200 if remaining else 429)
    told = known(windows)
    assert told == (Quota(day=DAY, remaining=answers[-1], daily=1000) if answers[-1] <= 500 else None)


def test_a_fall_is_told_against_what_others_have_told(windows: RateWindows) -> None:
    windows.note_quotas({PLACE: Quota(day=DAY, remaining=999, daily=1000)})
    limiter = RateLimiter(shared=windows, today=lambda: DAY)
    for remaining, told in ((950, 999), (949, 949), (900, 949), (899, 899)):
        limiter.acquire(PLACE, Deadline(1))
        limiter.observe(PLACE, quota(remaining), 200)
        assert known(windows) == Quota(day=DAY, remaining=told, daily=1000)


def test_the_word_of_a_day_is_told_later_where_the_database_was_away(database: Database) -> None:
    seconds = [0.0]
    windows = RateWindows(database, monotonic=lambda: seconds[0])
    windows._away_until = 5.0  # as after a failure
    limiter = RateLimiter(shared=windows, today=lambda: DAY)
    limiter.observe(PLACE, quota(0), 429)
    seconds[0] = 6.0
    assert known(windows) is None
    limiter.close()
    assert known(windows) == Quota(day=DAY, remaining=0, daily=1000)
    windows.close()


def test_the_last_request_above_the_reserve_is_sent(windows: RateWindows) -> None:
    windows.note_quotas({PLACE: Quota(day=DAY, remaining=501, daily=1000)})
    limiter = RateLimiter(shared=windows, today=lambda: DAY)
    assert [refused(limiter) for _ in range(2)] == [None, ErrorKind.DAILY_LIMIT]


def test_others_hear_at_once_of_a_day_that_is_spent(windows: RateWindows, database: Database) -> None:
    """And those that ask at the same time, with places of one block, send nothing either."""
    first, second = RateLimiter(shared=windows), RateLimiter(shared=RateWindows(database))
    first.observe(PLACE, quota(500), 200)
    for limiter in (first, second):
        with ThreadPoolExecutor(4) as pool:
            kinds = list(pool.map(lambda _, limiter=limiter: refused(limiter), range(4)))
        assert kinds == [ErrorKind.DAILY_LIMIT] * 4
    second.close()


def refused(limiter: RateLimiter) -> ErrorKind | None:
    """Why no request may be sent, if none may."""
    try:
        limiter.acquire(PLACE, Deadline(60))
    except GhlError as error:
        return error.kind
    return None


def sent_in_turns(database: Database, *, processes: int, strange: int = 0) -> int:
    """How many requests so many processes send at once, one after the other, before GHL would refuse some.

    It answers each at once, and counts those of a stranger besides.
    """
    windows = [RateWindows(database) for _ in range(processes)]
    limiters = [RateLimiter(shared=window, monotonic=lambda: 0.0) for window in windows]
    sent = 0
    while limiters:
        for limiter in list(limiters):
            try:
                limiter.acquire(PLACE, Deadline(5))
            except GhlError:
                limiters.remove(limiter)
                continue
            sent += 1
            remaining = f"{100 - strange - sent}"
            limiter.observe(PLACE, {"X-RateLimit-Max": "100", "X-RateLimit-Remaining": remaining}, 200)
    for window in windows:
        window.close()
    return sent


def test_no_process_takes_the_others_requests_for_a_strangers(database: Database) -> None:
    """Any that did would leave a part of the burst unused."""
    assert sent_in_turns(database, processes=4) == 100


def test_a_strangers_requests_are_told_from_the_other_processes(database: Database) -> None:
    assert sent_in_turns(database, processes=2, strange=40) == 60
