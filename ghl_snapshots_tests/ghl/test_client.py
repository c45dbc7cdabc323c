"""Every row of GHL's table of errors: what it is called, whether it is tried again, what the user is told."""

import json
from collections.abc import Iterator

import pytest

from ghl_snapshots.core.errors import ErrorKind, GhlError
from ghl_snapshots.simulator.accounts import Location
from ghl_snapshots.simulator.faults import (
    CutBody,
    Drip,
    Effect,
    Fault,
    Hang,
    ReplaceBody,
    ResetConnection,
    Respond,
)
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.ghl.rig import Rig, rigged

ATTEMPTS = 3
HTML = {"Content-Type": "text/html"}


@pytest.fixture(scope="module")
def world() -> Iterator[Simulator]:
    with Simulator(generated_accounts(3, tenants=1), burst_limit=10**9) as simulator:
        yield simulator


@pytest.fixture
def rig(world: Simulator) -> Iterator[Rig]:
    world.clear_request_log()
    with rigged(world, read_timeout_seconds=0.2) as rig:
        yield rig
    world.clear_faults()


@pytest.fixture
def location(world: Simulator) -> Location:
    return world.accounts.single_locations[0]


def answer(status: int, message: object) -> Respond:
    """An error as GHL words it."""
    body = {"statusCode": status, "message": message, "error": "Error", "traceId": "0"}
    return Respond(status=status, body=json.dumps(body).encode())


ONCE = [
    (answer(401, "Invalid JWT"), ErrorKind.INVALID_CREDENTIAL, "does not accept the token of env:"),
    (answer(401, "Invalid Private Integration token"), ErrorKind.INVALID_CREDENTIAL, "put a valid one"),
    (answer(401, "Unauthorized"), ErrorKind.FORBIDDEN, "GHL refuses this call, and no other for it"),
    (answer(401, "Location ID is required"), ErrorKind.FORBIDDEN, "“Location ID is required”"),
    (answer(401, "Token's user type mismatch!"), ErrorKind.FORBIDDEN, "user type mismatch"),
    (answer(401, "This route is not yet supported by the IAM Service."), ErrorKind.FORBIDDEN, "IAM Service"),
    (
        answer(401, "You do not have access to this feature! Please contact the admin!"),
        ErrorKind.NOT_IN_PLAN,
        "the customer's GHL plan lacks this feature",
    ),
    (answer(403, "Forbidden resource"), ErrorKind.FORBIDDEN, "“Forbidden resource”"),
    (answer(400, "Location is not active"), ErrorKind.SUSPENDED, "once it is active in GHL"),
    (answer(400, "No Agent found for the id"), ErrorKind.NOT_FOUND, "does not exist (any more)"),
    (
        answer(401, "The token is not authorized for this scope."),
        ErrorKind.MISSING_SCOPE,
        "grant the scope workflows.readonly to the token of env:",
    ),
    (answer(401, "version header was not found."), ErrorKind.INVALID_REQUEST, "version header"),
    (answer(401, "version header is invalid"), ErrorKind.INVALID_REQUEST, "version header"),
    (
        answer(403, "The token does not have access to this location."),
        ErrorKind.FORBIDDEN_LOCATION,
        "does not open this location",
    ),
    (answer(404, "Location not found."), ErrorKind.NOT_FOUND, "does not exist (any more)"),
    (answer(404, "Cannot GET /workflows/"), ErrorKind.INVALID_REQUEST, "does not take the request as it is"),
    (answer(400, "limit must be a number string"), ErrorKind.INVALID_REQUEST, "limit must be a number"),
    (answer(422, ["skip is missing", "limit is missing"]), ErrorKind.INVALID_REQUEST, "skip is missing; "),
    (Respond(status=418, body=b"teapot"), ErrorKind.INVALID_REQUEST, "GHL answered 418: “teapot”"),
    (
        Respond(status=302, headers={"Location": "https://elsewhere.test/a?b"}),
        ErrorKind.REFUSED,
        "redirect to “https://elsewhere.test”",
    ),
    (Respond(status=307, headers={"Location": "/other"}), ErrorKind.REFUSED, "another path"),
    (
        Respond(status=429, headers={"X-RateLimit-Daily-Remaining": "0"}),
        ErrorKind.DAILY_LIMIT,
        "the day's quota of API requests is spent; it begins anew at midnight UTC (GHL answered 429",
    ),
]  # fmt: skip
AGAIN = [
    (answer(500, "Internal Server Error"), ErrorKind.SERVER_ERROR, "GHL answered 500"),
    (answer(502, "Bad Gateway"), ErrorKind.SERVER_ERROR, "GHL answered 502"),
    (Respond(status=403, body=b"<!DOCTYPE html><p>x", headers=HTML), ErrorKind.SERVER_ERROR, "a gateway"),
    (Respond(status=404, body=b"<html>nginx", headers=HTML), ErrorKind.SERVER_ERROR, "a gateway"),
    (Respond(status=404), ErrorKind.SERVER_ERROR, "a gateway"),
    (Respond(status=410, body=b'{"statusCode":410}'), ErrorKind.SERVER_ERROR, "a gateway"),
    (Respond(status=503, body=b"<html>busy</html>", headers=HTML), ErrorKind.SERVER_ERROR, "<html>busy"),
    (answer(504, "Gateway Timeout"), ErrorKind.SERVER_ERROR, "GHL answered 504"),
    (Respond(status=524, body=b"error code: 524"), ErrorKind.SERVER_ERROR, "524"),
    (ResetConnection(), ErrorKind.CONNECTION, "reset"),
    (ResetConnection(after_bytes=40), ErrorKind.CONNECTION, "reset"),
    (CutBody(after_bytes=40), ErrorKind.CONNECTION, ""),
    (Hang(seconds=30), ErrorKind.TIMEOUT, "silent for 0.2 s"),
    (Drip(bytes_per_second=4), ErrorKind.TIMEOUT, "silent for 0.2 s"),
    (Respond(status=200, body=b"<!doctype html>", headers=HTML), ErrorKind.MALFORMED_RESPONSE, "<!doctype"),
    (Respond(status=200, body=b""), ErrorKind.MALFORMED_RESPONSE, "received nothing"),
    (Respond(status=204), ErrorKind.MALFORMED_RESPONSE, "received nothing"),
    (ReplaceBody(change=lambda body: body[:-1]), ErrorKind.MALFORMED_RESPONSE, "not JSON"),
    (ReplaceBody(change=lambda body: b"\xff" + body), ErrorKind.MALFORMED_RESPONSE, "not UTF-8"),
    (Respond(status=200, body=b"[" * 200_000), ErrorKind.MALFORMED_RESPONSE, ""),
    (Respond(status=200, body=b'{"things":[]}'), ErrorKind.MALFORMED_RESPONSE, "'workflows' is missing"),
]


@pytest.mark.parametrize(("effect", "kind", "text"), ONCE)
def test_what_another_try_cannot_change_is_not_tried_again(
    rig: Rig, location: Location, effect: Effect, kind: ErrorKind, text: str
) -> None:
    rig.simulator.inject(Fault(effect=effect))
    with pytest.raises(GhlError) as raised:
        rig.fetch(rig.pit(location), locationId=location.location_id)
    assert (raised.value.kind, raised.value.attempts) == (kind, 1)
    assert text in raised.value.message
    assert len(rig.simulator.request_log) == 1


@pytest.mark.parametrize(("effect", "kind", "text"), AGAIN)
def test_what_lasts_is_tried_so_often_and_then_named(
    rig: Rig, location: Location, effect: Effect, kind: ErrorKind, text: str
) -> None:
    rig.simulator.inject(Fault(effect=effect))
    with pytest.raises(GhlError) as raised:
        rig.fetch(rig.pit(location), locationId=location.location_id)
    assert (raised.value.kind, raised.value.attempts) == (kind, ATTEMPTS)
    assert text in raised.value.message
    assert len(rig.simulator.request_log) == ATTEMPTS


@pytest.mark.parametrize("effect", [effect for effect, _, _ in AGAIN])
def test_what_passes_costs_a_try_and_nothing_else(rig: Rig, location: Location, effect: Effect) -> None:
    rig.simulator.inject(Fault(effect=effect, times=ATTEMPTS - 1))
    fetched = rig.fetch(rig.pit(location), locationId=location.location_id)
    assert [entity.body for entity in fetched.entities] == location.entities["workflows"]
    assert (fetched.status, fetched.attempts) == (200, ATTEMPTS)


def test_a_burst_is_waited_out_by_its_headers(world: Simulator, location: Location) -> None:
    """GHL's answer says how long the window is; the next try is not made before it is over."""
    world.inject(
        Fault(effect=Respond(status=429, headers={"X-RateLimit-Interval-Milliseconds": "300"}), times=1)
    )
    world.clear_request_log()
    with rigged(world) as rig:
        fetched = rig.fetch(rig.pit(location), locationId=location.location_id)
    first, second = rig.simulator.request_log
    assert fetched.attempts == 2
    assert (second.at - first.at).total_seconds() >= 0.3


def test_a_deadline_ends_the_tries(rig: Rig, location: Location) -> None:
    rig.simulator.inject(Fault(effect=Hang(seconds=30)))
    with pytest.raises(GhlError) as raised:
        rig.fetch(rig.pit(location), locationId=location.location_id, seconds=0.3)
    assert raised.value.kind is ErrorKind.TIMEOUT
    assert raised.value.attempts == 2


def test_no_error_quotes_the_token(rig: Rig, location: Location) -> None:
    token = location.private_integration_token
    rig.simulator.inject(Fault(effect=answer(404, f"no such thing for {token}")))
    with pytest.raises(GhlError) as raised:
        rig.fetch(rig.pit(location), locationId=location.location_id)
    assert token not in raised.value.message
    assert "no such thing" in raised.value.message


def test_a_call_that_runs_out_of_time_while_waiting_tells_why_it_was_tried_again(
    world: Simulator, location: Location
) -> None:
    world.inject(Fault(effect=answer(503, "Service Unavailable")))
    with (
        rigged(world, max_attempts=9, retry_wait_seconds=1e6, longest_retry_wait_seconds=1e6) as rig,
        pytest.raises(GhlError) as raised,
    ):
        rig.fetch(rig.pit(location), locationId=location.location_id, seconds=0.2)
    world.clear_faults()
    assert (raised.value.kind, raised.value.attempts) == (ErrorKind.TIMEOUT, 1)
    assert "before that: GHL, or a gateway before it, is in trouble (GHL answered 503" in raised.value.message


def test_the_time_of_a_request_is_its_own_and_not_that_of_the_tries_before(
    rig: Rig, location: Location
) -> None:
    rig.simulator.inject(Fault(effect=Hang(seconds=30), times=1))
    fetched = rig.fetch(rig.pit(location), locationId=location.location_id)
    assert fetched.attempts == 2
    assert fetched.duration_ms < 150
