"""No token is in anything that a capture leaves behind, whatever GHL answers."""

import json
import logging
import re
from collections.abc import Iterator, Sequence

import pytest

from ghl_snapshots.core.model import Capture
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.accounts import Agency
from ghl_snapshots.simulator.faults import (
    CutBody,
    Effect,
    Fault,
    ReplaceBody,
    ResetConnection,
    Respond,
)
from ghl_snapshots.simulator.messages import Reply, Request
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots.simulator.tokens import refresh_token
from ghl_snapshots_tests.ghl.rig import installed, rigged, tenant_of, token_database


class Echo(Effect):
    """GHL answers with the secrets that it was sent."""

    def __init__(self, status: int, template: str = '{{"statusCode":{status},"message":{secrets}}}') -> None:
        self._status = status
        self._template = template

    def __str__(self) -> str:
        return f"Echo {self._status}"

    def reply(self, request: Request, _answer: object) -> Reply:
        """Say whose token came and what the form held, all within the first characters."""
        secrets = json.dumps(" ".join([*request.form.values(), request.headers.get("authorization", "")]))
        body = self._template.format(status=self._status, secrets=secrets)
        return Reply(status=self._status, body=body.encode(), headers={"Location": f"/elsewhere?{secrets}"})


FAULTS: Sequence[Effect] = [
    Echo(401),
    Echo(403),
    Echo(404),
    Echo(422),
    Echo(500),
    Echo(302),
    Echo(200),
    Echo(200, "<html>{secrets}</html>"),
    Echo(200, '{{"workflows":{secrets},"traceId":{secrets}}}'),
    Respond(status=429, headers={"X-RateLimit-Daily-Remaining": "0"}),
    CutBody(after_bytes=30),
    ResetConnection(),
    ReplaceBody(change=lambda body: body[max(0, body.find(b'"refresh_token"')) :] + b"?"),
]
ACCESS_TOKEN = re.compile(r"eyJ[\w-]{9,}\.[\w-]{9,}")
ROUTES = [None, "/oauth/token", "/oauth/locationToken", "/locations/search", "/workflows/"]


@pytest.fixture(scope="module")
def database(postgres: EmbeddedPostgres) -> Iterator[Database]:
    with token_database(postgres) as database:
        yield database


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("effect", FAULTS)
def test_no_secret_is_in_a_capture_its_errors_or_the_log(
    simulator: Simulator,
    database: Database,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    effect: Effect,
    route: str | None,
) -> None:
    caplog.set_level(logging.DEBUG)
    # Another test of this process may have loaded Dagster's definitions, which send our lines elsewhere.
    caplog.set_level(logging.DEBUG, logger="ghl_snapshots")
    monkeypatch.setattr(logging.getLogger("ghl_snapshots"), "propagate", True)
    agency = next(iter(simulator.accounts.agencies.values()))
    location = simulator.accounts.single_locations[0]
    store = installed(database, agency, tenant_id="acme")
    simulator.inject(Fault(effect=effect, route=route))
    with rigged(simulator, store=store, max_attempts=1) as rig:
        tenants = [tenant_of(agency, credential="oauth"), rig.pit(location), rig.pit(agency)]
        captures = [rig.capture(tenant) for tenant in tenants]
    assert any(capture.errors for capture in captures)
    left = caplog.text + "".join(map(everything, captures))
    secrets = [
        location.private_integration_token,
        agency.private_integration_token,
        simulator.accounts.client_secret,
        *refresh_tokens(agency),
    ]
    assert [secret for secret in secrets if secret in left] == []
    assert not ACCESS_TOKEN.search(left)


def everything(capture: Capture) -> str:
    """All that a capture says of itself."""
    texts = [repr(capture), json.dumps(capture.provenance(), ensure_ascii=False)]
    return "\n".join([*texts, *map(str, capture.errors), *map(repr, capture.errors)])


def refresh_tokens(agency: Agency) -> list[str]:
    """The refresh tokens that these captures may have to do with."""
    return [refresh_token(1, agency.company_id, number) for number in range(1, 20)]
