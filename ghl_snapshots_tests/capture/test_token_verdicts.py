"""A token, or a location, is judged by all answers together, in whatever order they come."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from ghl_snapshots.core.errors import ErrorKind
from ghl_snapshots.core.model import Capture, SnapshotType, Status, Tenant
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.accounts import Agency, Location
from ghl_snapshots.simulator.error_answers import Refuse
from ghl_snapshots.simulator.faults import Effect, Fault, Respond, Wire
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.messages import Reply, Request
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.ghl.rig import Rig, installed, rigged, tenant_of, token_database

DETAIL = "/locations/{locationId}"
FIELDS = "/locations/{locationId}/customFields"
VALUES = "/locations/{locationId}/customValues"
TAGS = "/locations/{locationId}/tags"
ROUTES = (DETAIL, FIELDS, VALUES, TAGS)
PIPELINES = "/opportunities/pipelines"
REFRESH = "/oauth/token"
EXCHANGE = "/oauth/locationToken"
INVALID = Refuse(status=401, message="Invalid JWT")
CREDENTIALS = ("a location's own token", "a location's installation", "an agency's installation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A tenant whose account is a location, or an agency that has it, of a simulated GHL of its own."""

    rig: Rig
    tenant: Tenant
    location: Location
    agency: Agency

    @property
    def simulator(self) -> Simulator:
        """The simulated GHL."""
        return self.rig.simulator

    def capture(self, snapshot_type: SnapshotType = SnapshotType.LOCATIONS) -> Capture:
        """One capture of the tenant."""
        return self.rig.capture(self.tenant, snapshot_type)

    def refuse(self, route: str, effect: Effect = INVALID) -> None:
        """Have a call for the location refused from now on."""
        self.simulator.inject(Fault(effect=effect, route=route, location_id=self.location.location_id))

    def asked(self, route: str) -> int:
        """How many requests to a route came."""
        return sum(request.route == route for request in self.simulator.request_log)


@pytest.fixture(scope="module")
def tokens(postgres: EmbeddedPostgres) -> Iterator[Database]:
    with token_database(postgres) as database:
        yield database


@contextmanager
def case_of(credential: str, tokens: Database) -> Iterator[Case]:
    """The same case each time for the same kind of credential."""
    accounts = generated_accounts(3, tenants=1, locations_per_agency=2)
    [agency] = accounts.agencies.values()
    location = accounts.locations[agency.location_ids[0]]
    holder = agency if credential == "an agency's installation" else location
    tenant_id = f"tenant_{CREDENTIALS.index(credential)}"
    with Simulator(accounts, burst_limit=10**9) as simulator:
        store = installed(tokens, holder, tenant_id=tenant_id)
        with rigged(simulator, store=store) as rig:
            is_oauth = credential != "a location's own token"
            tenant = (
                tenant_of(holder, credential="oauth", tenant_id=tenant_id) if is_oauth else rig.pit(holder)
            )
            yield Case(rig=rig, tenant=tenant, location=location, agency=agency)


@dataclass(frozen=True, slots=True, kw_only=True)
class InTurn(Effect):
    """An answer that is sent once `is_due`; its route is then among those that were `sent`."""

    route: str
    sent: list[str]
    is_due: Callable[[], bool]
    effect: Effect

    def reply(self, request: Request, answer: Callable[[Request], Reply]) -> Reply:
        """The effect's reply."""
        return self.effect.reply(request, answer)

    def deliver(self, wire: Wire, head: bytes, body: bytes) -> None:
        """Wait for the turn, and send."""
        for _ in range(10_000):
            if self.is_due():
                break
            wire.pause(0.001)
        wire.send(head + body)
        self.sent.append(self.route)


def refuse_in_order(case: Case, refused: str, refusal: Effect, order: str) -> None:
    """Refuse one call for the location; its answer comes before, after or among those of the other three."""
    sent: list[str] = []
    others = [route for route in ROUTES if route != refused]
    for route in ROUTES:

        def is_due(route: str = route) -> bool:
            if order == "first":
                return route == refused or refused in sent
            return order == "among them" or route != refused or set(others) <= set(sent)

        effect = refusal if route == refused else Effect()
        case.refuse(route, InTurn(route=route, sent=sent, is_due=is_due, effect=effect))


def seen(capture: Capture) -> tuple[object, ...]:
    """What must not depend on the order of answers."""
    return capture.status, capture.checksum, capture.errors, capture.left_out


@pytest.mark.parametrize("credential", CREDENTIALS)
@pytest.mark.parametrize("refused", [DETAIL, TAGS])
@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (401, "Invalid JWT", ErrorKind.FORBIDDEN),
        (401, "Unauthorized", ErrorKind.FORBIDDEN),
        (403, "The token does not have access to this location.", ErrorKind.FORBIDDEN_LOCATION),
        (400, "Location is not active", ErrorKind.SUSPENDED),
    ],
)
def test_a_good_answer_makes_a_token_good_whether_it_comes_first_or_last(
    tokens: Database, credential: str, refused: str, status: int, words: str, kind: ErrorKind
) -> None:
    """What GHL refuses of one call costs that call, and no token, however often it is captured."""
    captures = []
    for order in ("first", "last", "among them"):
        with case_of(credential, tokens) as case:
            whole = case.capture()
            refreshes, exchanges = case.asked(REFRESH), case.asked(EXCHANGE)
            refuse_in_order(case, refused, Refuse(status=status, message=words), order)
            first, second = case.capture(), case.capture()
            assert (case.asked(REFRESH), case.asked(EXCHANGE)) == (refreshes, exchanges)
        lost = (refused, case.location.location_id)
        kept = [
            bytes(entity.body) for entity in whole.entities if (entity.endpoint, entity.location_id) != lost
        ]
        for capture in (first, second):
            [error] = capture.errors
            assert (error.endpoint, error.location_id, error.kind) == (*lost, kind)
            assert [bytes(entity.body) for entity in capture.entities] == kept
            captures.append(seen(capture))
    assert len(set(captures)) == 1


@pytest.mark.parametrize("credential", CREDENTIALS)
@pytest.mark.parametrize("refused", [[PIPELINES], [PIPELINES, DETAIL]], ids=["it alone", "and the witness"])
def test_the_only_call_of_a_type_is_no_witness_of_itself(
    tokens: Database, credential: str, refused: list[str]
) -> None:
    with case_of(credential, tokens) as case:
        case.capture()
        refreshes, exchanges = case.asked(REFRESH), case.asked(EXCHANGE)
        for route in refused:
            case.refuse(route)
        for _ in range(2):
            [error] = case.capture(SnapshotType.PIPELINES).errors
            assert (error.endpoint, error.kind) == (PIPELINES, ErrorKind.FORBIDDEN)
        assert (case.asked(REFRESH), case.asked(EXCHANGE)) == (refreshes, exchanges)


def test_words_about_a_scope_show_that_ghl_accepts_the_token(tokens: Database) -> None:
    with case_of("a location's installation", tokens) as case:
        case.capture()
        case.location.scopes -= {"locations.readonly", "locations/customValues.readonly"}
        case.refuse(PIPELINES)
        assert [error.kind for error in case.capture(SnapshotType.PIPELINES).errors] == [ErrorKind.FORBIDDEN]
        assert case.asked(REFRESH) == 1


@pytest.mark.parametrize("order", ["first", "last"])
def test_a_token_that_ghl_refuses_in_every_call_is_renewed_once(tokens: Database, order: str) -> None:
    """It was revoked; a call that GHL cannot answer then does not contradict the others."""
    with case_of("a location's installation", tokens) as case:
        whole = case.capture()
        case.simulator.tokens.revoke_access_tokens()
        refuse_in_order(case, TAGS, Respond(status=503), order)
        capture = case.capture()
        assert [error.endpoint for error in capture.errors] == [TAGS]
        kept = [bytes(entity.body) for entity in whole.entities if entity.endpoint != TAGS]
        assert [bytes(entity.body) for entity in capture.entities] == kept
        assert case.asked(REFRESH) == 2


def test_a_companys_list_that_ghl_refuses_spends_no_token_while_another_call_is_answered(
    tokens: Database,
) -> None:
    with case_of("an agency's installation", tokens) as case:
        case.capture()
        case.simulator.inject(Fault(effect=INVALID, route="/locations/search"))
        for _ in range(2):
            capture = case.capture()
            assert capture.status is Status.FAILED
            assert [(error.endpoint, error.kind) for error in capture.errors] == [
                ("/locations/search", ErrorKind.FORBIDDEN)
            ]
        assert case.asked(REFRESH) == 1
