"""Processes take places in one window, in order, and none is held up where the window cannot be reached."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import Connection

from ghl_snapshots.errors import GhlError
from ghl_snapshots.ghl.deadline import Deadline
from ghl_snapshots.ghl.limits import RateLimiter
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.rate_windows import RateWindows
from ghl_snapshots.model import Place

PLACE = "a-location"


@pytest.fixture
def windows(database: Database) -> Iterator[RateWindows]:
    windows = RateWindows(database)
    yield windows
    windows.close()


def waits(windows: RateWindows, number: int, *, patience_seconds: float = 1000) -> list[int]:
    """The waits for so many places of three in 100 s each, to the nearest 10 s."""
    claimed = [
        windows.claim(PLACE, most=3, hold_seconds=100, patience_seconds=patience_seconds)
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
    other = windows.claim("another-location", most=3, hold_seconds=100, patience_seconds=0)
    assert other is not None
    assert other.wait_seconds == 0


def test_a_place_that_is_too_far_off_is_left_to_others(windows: RateWindows) -> None:
    assert waits(windows, 3) == [0, 0, 0]
    assert waits(windows, 5, patience_seconds=20) == [100] * 5
    assert waits(windows, 1) == [100]


def test_what_is_taken_at_this_moment_is_told(windows: RateWindows) -> None:
    told = [windows.claim(PLACE, most=3, hold_seconds=100, patience_seconds=1000) for _ in range(6)]
    assert [place.taken for place in told if place is not None] == [0, 1, 2, 3, 3, 3]


def test_a_window_out_of_reach_holds_nothing_up_and_is_looked_for_again(
    database: Database, superuser: Connection
) -> None:
    seconds = [0.0]
    windows = RateWindows(database, monotonic=lambda: seconds[0])

    def claim() -> Place | None:
        return windows.claim(PLACE, most=3, hold_seconds=100, patience_seconds=0)

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
        assert RateWindows(database).claim(PLACE, most=3, hold_seconds=1, patience_seconds=0) is None


@pytest.mark.parametrize("role", ["writer", "reader", "auditor"])
def test_no_role_reads_which_locations_are_asked(as_role: Callable[..., Connection], role: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(role, "acme").execute("SELECT * FROM ghl.rate_window")


def test_a_slot_whose_place_is_too_far_off_is_given_back(windows: RateWindows, superuser: Connection) -> None:
    """Or a limiter that met a full window could send nothing any more when the window is free again."""
    first, second = (RateLimiter(shared=windows) for _ in range(2))
    for _ in range(95):
        first.acquire(PLACE, Deadline(60))
    for _ in range(95):
        with pytest.raises(GhlError, match="allows the next request in"):
            second.acquire(PLACE, Deadline(2))
    superuser.execute("DELETE FROM ghl.rate_window")
    for _ in range(95):
        second.acquire(PLACE, Deadline(2))
