"""The application on a socket of its own, over a ledger of its own."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
import requests
import uvicorn

from ghl_snapshots.api.refusals import Refusals
from ghl_snapshots.api.server import server_config
from ghl_snapshots.api.services import Services
from ghl_snapshots.core.api_keys import KeyRole
from ghl_snapshots.ledger.api_keys import ApiKeys
from ghl_snapshots.ledger.database import Database


@dataclass(frozen=True, slots=True)
class Client:
    """Calls of the API with one key, or without any."""

    base_url: str
    secret: str | None

    def __call__(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        data: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
    ) -> requests.Response:
        """Make a call."""
        own = {"Authorization": f"Bearer {self.secret}"} if self.secret else {}
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                method,
                self.base_url + path,
                json=json,
                data=data,
                headers={**own, **(headers or {})},
                stream=stream,
                timeout=20,
            )

    def get(self, path: str) -> Any:
        """The JSON of an answer that must be a good one."""
        answer = self("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def trigger(self, tenant_id: str = "acme", **more: object) -> requests.Response:
        """Ask for captures of a tenant."""
        headers = {"Idempotency-Key": str(more.pop("idempotency_key"))} if "idempotency_key" in more else {}
        new_request = {"tenantId": tenant_id, "ghlAccountId": f"account-{tenant_id}", **more}
        return self("POST", "/api/snapshots/trigger", json=new_request, headers=headers)


@contextmanager
def served(services: Services) -> Iterator[str]:
    """The URL of the application while it is served."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(server_config(services))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            deadline = time.monotonic() + 20
            while not server.started:
                assert time.monotonic() < deadline, "the server starts"
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@dataclass(frozen=True, slots=True)
class Api:
    """A running API."""

    base_url: str
    keys: ApiKeys

    def client(self, *tenant_ids: str, role: KeyRole = KeyRole.ADMIN) -> Client:
        """A client with a new key for these tenants."""
        return Client(self.base_url, self.keys.create(tenant_ids, role)[1])

    @property
    def keyless(self) -> Client:
        """A client without a key."""
        return Client(self.base_url, None)


@pytest.fixture
def services(url: str, database: Database) -> Iterator[Services]:
    with Database(url) as streams:
        yield Services(
            database=database,
            streams=streams,
            triggers_per_minute=1000,
            open_locally=True,
            refusals=Refusals(per_minute=1000),
        )


@pytest.fixture
def serving(services: Services) -> Iterator[Callable[..., Api]]:
    """A function that serves the application with other settings."""
    with ExitStack() as stack:

        def start(**changed: object) -> Api:
            changed_services = replace(services, **changed)  # type: ignore[arg-type]  # as the test names them
            return Api(stack.enter_context(served(changed_services)), services.keys)

        yield start


@pytest.fixture
def api(serving: Callable[..., Api]) -> Api:
    return serving()


@pytest.fixture
def acme(api: Api) -> Client:
    """A client that may do everything for one tenant."""
    return api.client("acme")
