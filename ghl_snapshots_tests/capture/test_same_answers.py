"""The same GHL gives the same payload, checksum and errors, in whatever order its answers come."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ghl_snapshots.core.model import AccountKind, Capture, SnapshotType
from ghl_snapshots.ghl.endpoints import endpoints_of
from ghl_snapshots.ghl.fetch_target import FetchTarget
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.accounts import Agency
from ghl_snapshots.simulator.error_answers import Refuse
from ghl_snapshots.simulator.faults import Effect, Fault
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.messages import Reply, Request
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.ghl.rig import Rig, installed, rigged, tenant_of, token_database

LOCATIONS = 3
TWICE = "twice"
TYPES = (SnapshotType.AI_WORKERS, SnapshotType.CALENDARS, SnapshotType.LOCATIONS)
WITNESSES = ("/locations/{locationId}", "/locations/{locationId}/customValues")
CLOSED = (
    (403, "The token does not have access to this location."),
    (400, "Location is not active"),
)
REFUSALS = (
    (401, "Invalid JWT"),
    (401, "Unauthorized"),
    (401, "You do not have access to this feature! Please contact the admin!"),
    (401, "The token is not authorized for this scope."),
    (403, "The token does not have access to this location."),
    (403, "Forbidden resource"),
    (400, "Location is not active"),
    (404, "Not found"),
)
NAMED_ROUTES = tuple(
    endpoint.path
    for each in TYPES
    for endpoint in endpoints_of(each)
    if FetchTarget(endpoint=endpoint).names_account
)
"""Those that carry the location's id."""
COMPANY_ROUTES = ("/oauth/locationToken", "/oauth/installedLocations", "/locations/search")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay(Effect):
    """Answer after a random while, which lets others overtake or not."""

    seed: int
    effect: Effect

    def reply(self, request: Request, answer: Callable[[Request], Reply]) -> Reply:
        time.sleep(random.Random(f"{self.seed} {request.target}").choice((0, 0.001, 0.01)))  # noqa: S311 (a delay)
        return self.effect.reply(request, answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What is wrong with one location: its state, or refusals of some of its routes."""

    place: int
    state: str = ""
    routes: tuple[str, ...] = ()
    refusal: tuple[int, str] = (404, "")


def trouble_of(snapshot_type: SnapshotType) -> st.SearchStrategy[list[Trouble]]:
    """Several troubles, mostly with what the type asks for."""
    own = [endpoint.path for endpoint in endpoints_of(snapshot_type)]
    place = st.integers(0, LOCATIONS - 1)
    some = st.lists(st.sampled_from([*own, *own, *WITNESSES, *COMPANY_ROUTES]), min_size=1, max_size=3)
    return st.lists(
        st.one_of(
            st.builds(
                Trouble,
                place=place,
                state=st.sampled_from(["installed", "active", "removed", TWICE]),
            ),
            st.builds(Trouble, place=place, routes=some.map(tuple), refusal=st.sampled_from(REFUSALS)),
            st.builds(Trouble, place=place, routes=some.map(tuple), refusal=st.sampled_from(REFUSALS)),
            st.builds(Trouble, place=place, routes=st.just(NAMED_ROUTES), refusal=st.sampled_from(CLOSED)),
        ),
        min_size=1,
        max_size=4,
    )


def inject(simulator: Simulator, agency: Agency, troubles: Sequence[Trouble], seed: int) -> None:
    """Let the simulated GHL have these troubles, and answer after random delays."""
    for each in troubles:
        location = simulator.accounts.locations[agency.location_ids[each.place]]
        status, message = each.refusal
        effect = Delay(seed=seed, effect=Refuse(status=status, message=message))
        for route in each.routes:
            of_company = route in ("/oauth/installedLocations", "/locations/search")
            location_id = None if of_company else location.location_id
            simulator.inject(Fault(effect=effect, route=route, location_id=location_id))
        if each.state == TWICE:
            for kind in ("rooms", "voice_ai_agents", "conversation_ai_agents", "tags"):
                location.entities[kind].append(location.entities[kind][0])
        elif each.state:
            setattr(location, each.state, each.state == "removed")
    simulator.inject(Fault(effect=Delay(seed=seed, effect=Effect())))


def seen(capture: Capture) -> tuple[object, ...]:
    """All of a capture that depends on GHL's answers, and nothing that depends on its clock."""
    return (
        capture.status,
        capture.checksum,
        [(entity.endpoint, entity.location_id, bytes(entity.body)) for entity in capture.entities],
        capture.errors,
        capture.left_out,
        capture.duplicates,
        capture.location_ids,
        [(each.endpoint, each.location_id, each.offset, each.count) for each in capture.requests],
        sum(count for (endpoint, _), count in capture.api_calls.items() if endpoint == "/oauth/token"),
    )


def kept(whole: Capture, location_id: str, troubles: Sequence[Trouble]) -> list[bytes]:
    """What a location with these troubles still gives: a refused call costs itself alone.

    Only where every call that names the location is refused, one of them with words for all of it, nothing.
    """
    if any(each.state for each in troubles):
        return []
    refused: dict[str, tuple[int, str]] = {}
    for each in troubles:
        for route in each.routes:
            refused.setdefault(route, each.refusal)
    endpoints = [each for each in endpoints_of(whole.snapshot_type) if each.account is AccountKind.LOCATION]
    lost = set(refused)
    for endpoint in endpoints:  # a parent comes before its children
        if endpoint.parent and endpoint.parent.path in lost:
            lost.add(endpoint.path)
    naming = {each.path for each in endpoints if each.path in NAMED_ROUTES} | set(WITNESSES)
    if naming <= lost and any(refused.get(route) in CLOSED for route in naming):
        return []
    entities = (each for each in whole.entities if each.location_id == location_id)
    return [bytes(entity.body) for entity in entities if entity.endpoint not in lost]


@pytest.fixture(scope="module")
def tokens(postgres: EmbeddedPostgres) -> Iterator[Database]:
    with token_database(postgres) as database:
        yield database


@contextmanager
def agency_of(tokens: Database, concurrency: int) -> Iterator[tuple[Rig, Agency]]:
    """An agency whose tokens, and those of its locations, were used before."""
    accounts = generated_accounts(11, tenants=1, locations_per_agency=LOCATIONS)
    [agency] = accounts.agencies.values()
    with Simulator(accounts, burst_limit=10**9) as simulator:
        store = installed(tokens, agency, tenant_id="acme")
        with rigged(simulator, store=store, concurrency=concurrency) as rig:
            rig.capture(tenant_of(agency, credential="oauth"), SnapshotType.PIPELINES)
            yield rig, agency


@pytest.mark.slow
@settings(deadline=None, max_examples=30, phases=(Phase.reuse, Phase.generate))  # to shrink takes minutes
@given(data=st.data(), snapshot_type=st.sampled_from(TYPES), concurrency=st.integers(2, 16))
def test_the_same_ghl_gives_the_same_capture(
    tokens: Database, data: st.DataObject, snapshot_type: SnapshotType, concurrency: int
) -> None:
    troubles = data.draw(trouble_of(snapshot_type))
    is_unlisted = any("/locations/search" in each.routes for each in troubles)
    captures = []
    for threads, seed in ((1, 0), (concurrency, data.draw(st.integers()))):
        with agency_of(tokens, threads) as (rig, agency):
            company = tenant_of(agency, credential="oauth")
            whole = rig.capture(company, snapshot_type)
            inject(rig.simulator, agency, troubles, seed)
            capture = rig.capture(company, snapshot_type)
            captures.append(seen(capture))
            for place, location_id in enumerate(agency.location_ids):
                found = [bytes(each.body) for each in capture.entities if each.location_id == location_id]
                of_location = [each for each in troubles if each.place == place]
                if not any(each.state == TWICE for each in of_location):
                    assert found == ([] if is_unlisted else kept(whole, location_id, of_location))
    assert captures[0] == captures[1]
