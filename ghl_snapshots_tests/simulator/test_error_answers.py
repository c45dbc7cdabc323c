"""Errors in the words of GHL and of the gateway in front of it, on demand."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
import requests

from ghl_snapshots.simulator.error_answers import GatewayPage, Refuse, RetryAt
from ghl_snapshots.simulator.faults import Fault
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.simulator.conftest import Client

WORKFLOWS = "/workflows/"


def ask(client: Client, path: str = WORKFLOWS) -> requests.Response:
    """One request about the location."""
    return client.get(path, locationId=client.location.location_id)


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        (401, "Location ID is required", "Unauthorized"),
        (401, "Token's user type mismatch!", "Unauthorized"),
        (
            401,
            "This route is not yet supported by the IAM Service. Please update your IAM config.",
            "Unauthorized",
        ),
        (403, "Forbidden resource", "Forbidden"),
    ],
)
def test_one_route_refuses_in_words_of_ghls_and_no_other_does(
    client: Client, simulator: Simulator, status: int, message: str, error: str
) -> None:
    simulator.inject(Fault(effect=Refuse(status=status, message=message), route=WORKFLOWS))
    content = ask(client).json()
    assert (content["statusCode"], content["message"], content["error"]) == (status, message, error)
    assert ask(client).status_code == status
    assert ask(client, "/calendars/").status_code == 200


@pytest.mark.parametrize("status", [403, 502, 520])
def test_a_gateway_answers_with_a_page_so_many_times_and_without_ghls_limits(
    client: Client, simulator: Simulator, status: int
) -> None:
    simulator.inject(Fault(effect=GatewayPage(status=status), times=2))
    first, second, third = (ask(client) for _ in range(3))
    assert [first.status_code, second.status_code, third.status_code] == [status, status, 200]
    assert first.headers["Content-Type"] == "text/html; charset=UTF-8"
    assert first.headers["Server"] == "cloudflare"
    assert first.text.startswith("<!DOCTYPE html>")
    assert first.headers["CF-RAY"].removesuffix("-FRA") in first.text
    assert not [name for name in first.headers if name.lower().startswith("x-ratelimit")]
    assert third.headers["X-RateLimit-Remaining"] == "99"


def test_a_429_can_say_when_to_come_again_as_a_date(client: Client, simulator: Simulator) -> None:
    simulator.inject(Fault(effect=RetryAt(seconds=90), times=1))
    before = datetime.now(UTC)
    answer = ask(client)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"].endswith(" GMT")
    ahead = parsedate_to_datetime(answer.headers["Retry-After"]) - before
    assert ahead >= timedelta(seconds=90)
    assert answer.headers["X-RateLimit-Max"] == "100"
    assert ask(client).status_code == 200
