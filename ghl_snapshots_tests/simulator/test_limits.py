"""Rate limits per location and company, burst and daily, and the headers that tell them apart."""

import time

import pytest
import requests

from ghl_snapshots.simulator.accounts import Agency, Location
from ghl_snapshots.simulator.limits import RateLimits
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.simulator.conftest import Client


def ask(client: Client, location: Location) -> requests.Response:
    """One request that counts."""
    return client.get(f"/locations/{location.location_id}/tags", token=location.private_integration_token)


def rates(answer: requests.Response) -> dict[str, int]:
    """The rate-limit headers by what follows X-RateLimit-."""
    prefix = "x-ratelimit-"
    return {
        name.lower().removeprefix(prefix): int(value)
        for name, value in answer.headers.items()
        if name.lower().startswith(prefix)
    }


def test_every_answer_carries_what_is_left(client: Client, location: Location) -> None:
    for used in (1, 2):
        assert rates(ask(client, location)) == {
            "limit-daily": 200_000,
            "daily-remaining": 200_000 - used,
            "interval-milliseconds": 10_000,
            "max": 100,
            "remaining": 100 - used,
        }


@pytest.mark.parametrize("status", [401, 404, 405])
def test_an_error_carries_the_headers_too(client: Client, status: int) -> None:
    answer = {
        401: lambda: client.get("/workflows/", token="nonsense"),
        404: lambda: client.get("/nothing"),
        405: lambda: client.session.delete(f"{client.simulator.base_url}/workflows/", timeout=5),
    }[status]()
    assert answer.status_code == status
    assert rates(answer)["max"] == 100


def test_the_burst_limit_is_per_location(
    client: Client, simulator: Simulator, location: Location, stranger: Location
) -> None:
    simulator.limits.burst_limit = 3
    answers = [ask(client, location) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    refused = answers[-1]
    assert refused.json()["message"] == "Too Many Requests"
    assert rates(refused)["remaining"] == 0
    assert rates(refused)["daily-remaining"] == 199_997
    assert ask(client, stranger).status_code == 200


def test_the_burst_limit_of_an_agency_is_its_own(
    client: Client, simulator: Simulator, agency: Agency, location: Location
) -> None:
    simulator.limits.burst_limit = 1
    assert ask(client, location).status_code == 200
    token = agency.private_integration_token
    assert [client.get("/locations/search", token=token).status_code for _ in range(2)] == [200, 429]


def test_the_burst_window_passes(client: Client, simulator: Simulator, location: Location) -> None:
    simulator.limits.burst_limit, simulator.limits.burst_window_seconds = 1, 0.1
    assert [ask(client, location).status_code for _ in range(2)] == [200, 429]
    time.sleep(0.12)
    assert ask(client, location).status_code == 200


def test_a_spent_day_is_refused_with_nothing_left_of_it(
    client: Client, simulator: Simulator, location: Location, stranger: Location
) -> None:
    simulator.limits.spend_daily(location.location_id, 199_999)
    assert ask(client, location).status_code == 200
    refused = ask(client, location)
    assert refused.status_code == 429
    assert (rates(refused)["daily-remaining"], rates(refused)["remaining"]) == (0, 99)
    assert ask(client, stranger).status_code == 200


def test_the_window_slides_and_the_day_turns() -> None:
    """No ten seconds hold more than the limit, wherever they begin; the quota is new at midnight UTC."""
    now = [1000.0]
    limits = RateLimits(
        burst_limit=2,
        burst_window_seconds=10,
        daily_limit=5,
        monotonic=lambda: now[0],
        wall_clock=lambda: now[0],
    )

    def allowed_at(moment: float) -> bool:
        now[0] = moment
        return limits.take("location").allowed

    moments = (1000, 1009, 1009.5, 1010, 1010.5, 1019, 1020, 1040)
    assert [allowed_at(moment) for moment in moments] == [True, True, False, True, False, True, True, False]
    assert limits.take("location").daily_remaining == 0
    assert allowed_at(86_400.0)


def test_token_refreshes_are_not_limited(client: Client, simulator: Simulator, agency: Agency) -> None:
    simulator.limits.burst_limit = 0
    assert client.refresh(agency).status_code == 200
