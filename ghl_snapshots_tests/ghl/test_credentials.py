"""A credential is a reference: what it names is found, what is wrong is told, the token is never shown."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ghl_snapshots.core.errors import ConfigurationError, CredentialError
from ghl_snapshots.core.model import Status
from ghl_snapshots.simulator.accounts import Location
from ghl_snapshots.simulator.faults import Fault, Meanwhile
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.ghl.rig import Rig, rigged, tenant_of


@pytest.fixture(scope="module")
def world() -> Iterator[Simulator]:
    with Simulator(generated_accounts(5, tenants=1), burst_limit=10**9) as simulator:
        yield simulator


@pytest.fixture
def rig(world: Simulator) -> Iterator[Rig]:
    world.clear_request_log()
    with rigged(world) as rig:
        yield rig


@pytest.fixture
def location(world: Simulator) -> Location:
    return world.accounts.single_locations[0]


def fetch(rig: Rig, location: Location, credential: str) -> int:
    """The status of a call by this credential."""
    tenant = tenant_of(location, credential=credential)
    return rig.fetch(tenant, locationId=location.location_id).status


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "  \n\n"])
def test_a_token_is_read_from_the_environment_or_a_file(
    rig: Rig, location: Location, tmp_path: Path, ending: str
) -> None:
    token = location.private_integration_token + ending
    (tmp_path / "token").write_text(token, encoding="utf-8")
    rig.environment["ACME"] = token
    assert fetch(rig, location, "env:ACME") == 200
    assert fetch(rig, location, f"file:{tmp_path / 'token'}") == 200


def test_a_token_put_in_the_place_of_a_refused_one_is_used_in_the_same_capture(
    rig: Rig, location: Location, tmp_path: Path
) -> None:
    """A token is rotated by writing the file anew, which may happen between two calls."""
    file = tmp_path / "token"
    file.write_text("pit-of-yesterday", encoding="utf-8")
    rotate = partial(file.write_text, location.private_integration_token, encoding="utf-8")
    rig.simulator.inject(Fault(effect=Meanwhile(happens=rotate), route="/workflows/", times=1))
    capture = rig.capture(tenant_of(location, credential=f"file:{file}"))
    assert capture.status is Status.SUCCESS
    assert (capture.api_calls["/workflows/", 401], capture.api_calls["/workflows/", 200]) == (1, 1)


def test_an_environment_variable_that_is_not_set_is_named(rig: Rig, location: Location) -> None:
    with pytest.raises(CredentialError, match=r"environment variable ACME.*env:ACME.*is not set"):
        fetch(rig, location, "env:ACME")


@pytest.mark.parametrize(
    "content", ["", " \n", "two words", "line\nline", "sch\u00f6n", "\x00", "x" * 20_000]
)
def test_what_cannot_be_a_token_is_refused_before_it_is_sent_and_not_shown(
    rig: Rig, location: Location, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "token"
    file.write_text(content, encoding="utf-8")
    rig.environment["ACME"] = content
    for credential in ("env:ACME", f"file:{file}"):
        with pytest.raises(CredentialError) as raised:
            fetch(rig, location, credential)
        assert credential in str(raised.value)
        assert not content.strip() or content not in str(raised.value)
    assert not rig.simulator.request_log


def test_a_file_that_cannot_be_read_is_named(rig: Rig, location: Location, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name, problem in (("missing", "No such file"), (".", "Is a directory"), ("binary", "not text")):
        with pytest.raises(CredentialError, match=problem):
            fetch(rig, location, f"file:{tmp_path / name}")


def test_oauth_without_a_place_for_its_tokens_says_what_to_set(rig: Rig, location: Location) -> None:
    with pytest.raises(ConfigurationError, match="GHL_OAUTH_CLIENT_ID and GHL_OAUTH_CLIENT_SECRET"):
        fetch(rig, location, "oauth")


def test_no_part_of_the_client_shows_a_token_when_it_is_printed(rig: Rig, location: Location) -> None:
    tenant = rig.pit(location)
    fetched = rig.fetch(tenant, locationId=location.location_id)
    shown = " ".join(map(repr, (rig, rig.client, rig.credentials, rig.engine, tenant, fetched)))
    assert location.private_integration_token not in shown
    assert rig.simulator.accounts.client_secret not in shown
