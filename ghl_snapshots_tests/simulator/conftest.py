"""A running simulator with the demo's accounts, and a client that says only what a test is about."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from ghl_snapshots.simulator.accounts import Agency, Location
from ghl_snapshots.simulator.generation import demo_accounts
from ghl_snapshots.simulator.routes import find_route
from ghl_snapshots.simulator.server import Simulator

TIMEOUT_SECONDS = 5


@dataclass
class Client:
    """Asks the simulator over a real socket, by default as the location that the path or query names."""

    simulator: Simulator
    session: requests.Session
    location: Location

    def get(
        self,
        path: str,
        query: Mapping[str, object] | None = None,
        *,
        token: str | None = None,
        version: str | None = "right",
        headers: dict[str, str] | None = None,
        timeout: float = TIMEOUT_SECONDS,
        **parameters: object,
    ) -> requests.Response:
        """Answer to a GET with the right Version and the location's token unless told otherwise."""
        route, _ = find_route(path)
        sent = {"Authorization": f"Bearer {token or self.location.private_integration_token}"}
        if version is not None:
            sent["Version"] = version if version != "right" or route is None else route.version
        return self.session.get(
            self.simulator.base_url + path,
            params={name: str(value) for name, value in {**(query or {}), **parameters}.items()},
            headers={**sent, **(headers or {})},
            timeout=timeout,
            allow_redirects=False,
        )

    def post(
        self, path: str, form: dict[str, str], *, token: str | None = None, version: str | None = "2021-07-28"
    ) -> requests.Response:
        """Answer to a form-encoded POST."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if version is not None:
            headers["Version"] = version
        return self.session.post(
            self.simulator.base_url + path, data=form, headers=headers, timeout=TIMEOUT_SECONDS
        )

    def refresh(
        self, holder: Location | Agency, token: str | None = None, **fields: str
    ) -> requests.Response:
        """Answer to POST /oauth/token for the holder's first refresh token, or for `token`."""
        accounts = self.simulator.accounts
        form = {
            "client_id": accounts.client_id,
            "client_secret": accounts.client_secret,
            "grant_type": "refresh_token",
            "refresh_token": token or holder.refresh_token,
            "user_type": "Company" if isinstance(holder, Agency) else "Location",
        }
        return self.post("/oauth/token", {**form, **fields}, version=None)

    def exchange(self, location: Location, *, token: str) -> requests.Response:
        """Answer to POST /oauth/locationToken for the location, by its agency's access token."""
        form = {"companyId": location.company_id, "locationId": location.location_id}
        return self.post("/oauth/locationToken", form, token=token)

    def pages(self, path: str, key: str | None, *steps: dict[str, Any]) -> list[list[Any]]:
        """The items of several pages."""
        answers = [self.get(path, **step).json() for step in steps]
        return [answer[key] if key else answer for answer in answers]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A fresh simulator with fresh accounts, whose studio agents are small and more than a page."""
    with Simulator(demo_accounts(seed=1, sizes={"studio_nodes": 1, "agent_studio_agents": 54})) as running:
        yield running


@pytest.fixture
def location(simulator: Simulator, agency: Agency) -> Location:
    """A location of the agency, the one with more agents than fit a page."""
    return simulator.accounts.locations[agency.location_ids[1]]


@pytest.fixture
def stranger(simulator: Simulator) -> Location:
    """A location that belongs to no agency here."""
    return simulator.accounts.single_locations[0]


@pytest.fixture
def client(simulator: Simulator, location: Location) -> Iterator[Client]:
    """A client that asks as `location`."""
    with requests.Session() as session:
        session.trust_env = False
        yield Client(simulator=simulator, session=session, location=location)
