"""The same GHL gives the same payload, checksum and errors, in whatever order its answers come."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ghl_snapshots.core.model import Capture, SnapshotType
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.accounts import Agency, Location
from ghl_snapshots.simulator.error_answers import Refuse
from ghl_snapshots.simulator.faults import Effect, Fault
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.messages import Reply, Request
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.ghl.rig import installed, rigged, tenant_of, token_database

LOCATIONS = 4
TYPES = (SnapshotType.AI_WORKERS, SnapshotType.CALENDARS, SnapshotType.LOCATIONS)
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
ROUTES = (
    "/voice-ai/agents",
    "/conversation-ai/agents/search",
    "/agent-studio/agent",
    "/calendars/",
    "/calendars/groups",
    "/calendars/resources/rooms",
    "/locations/{locationId}",
    "/locations/{locationId}/tags",
    "/oauth/locationToken",
    "/oauth/installedLocations",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay(Effect):
    """Answer as usual, after a random short while."""

    seed: int
    effect: Effect | None = None

    def reply(self, request: Request, answer: Callable[[Request], Reply]) -> Reply:
        time.sleep(random.Random(f"{self.seed} {request.target}").uniform(0, 0.004))  # noqa: S311 (a delay)
        return self.effect.reply(request, answer) if self.effect else answer(request)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One thing that is wrong with one location, or with one route of it."""

    place: int
    what: str
    route: str = ""
    refusal: tuple[int, str] = (404, "")


TROUBLES = st.lists(
    st.one_of(
        st.builds(
            Trouble,
            place=st.integers(0, LOCATIONS - 1),
            what=st.sampled_from(["installed", "active", "removed", "twice"]),
        ),
        st.builds(
            Trouble,
            place=st.integers(0, LOCATIONS - 1),
            what=st.just("refused"),
            route=st.sampled_from(ROUTES),
            refusal=st.sampled_from(REFUSALS),
        ),
    ),
    max_size=4,
)


def trouble(simulator: Simulator, agency: Agency, troubles: list[Trouble], seed: int) -> None:
    """Let the simulated GHL have these troubles, and answer after random delays."""
    for each in troubles:
        location: Location = simulator.accounts.locations[agency.location_ids[each.place]]
        if each.what == "refused":
            status, message = each.refusal
            effect = Delay(seed=seed, effect=Refuse(status=status, message=message))
            of_company = each.route == "/oauth/installedLocations"
            location_id = None if of_company else location.location_id
            simulator.inject(Fault(effect=effect, route=each.route, location_id=location_id))
        elif each.what == "twice":
            for kind in ("workflows", "rooms", "voice_ai_agents", "tags"):
                location.entities[kind].append(location.entities[kind][0])
        else:
            setattr(location, each.what, each.what == "removed")
    simulator.inject(Fault(effect=Delay(seed=seed)))


def seen(capture: Capture) -> tuple[object, ...]:
    """All of a capture that depends on GHL's answers, and nothing that depends on its clock."""
    return (
        capture.status,
        capture.checksum,
        [(entity.endpoint, entity.location_id, entity.body) for entity in capture.entities],
        capture.errors,
        capture.left_out,
        capture.duplicates,
        capture.location_ids,
        [(each.endpoint, each.location_id, each.offset, each.count) for each in capture.requests],
    )


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(
    troubles=TROUBLES,
    concurrencies=st.tuples(st.integers(1, 16), st.integers(1, 16)),
    seeds=st.tuples(st.integers(), st.integers()),
    snapshot_type=st.sampled_from(TYPES),
)
def test_the_same_ghl_gives_the_same_capture(
    postgres: EmbeddedPostgres,
    troubles: list[Trouble],
    concurrencies: tuple[int, int],
    seeds: tuple[int, int],
    snapshot_type: SnapshotType,
) -> None:
    captures = []
    for concurrency, seed in zip(concurrencies, seeds, strict=True):
        accounts = generated_accounts(11, tenants=1, locations_per_agency=LOCATIONS)
        [agency] = accounts.agencies.values()
        with Simulator(accounts, burst_limit=10**9) as simulator, token_database(postgres) as database:
            store = installed(database, agency, tenant_id="acme")
            trouble(simulator, agency, troubles, seed)
            with rigged(simulator, store=store, concurrency=concurrency) as rig:
                captures.append(seen(rig.capture(tenant_of(agency, credential="oauth"), snapshot_type)))
    assert captures[0] == captures[1]
