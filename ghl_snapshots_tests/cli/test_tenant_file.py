"""A tenants file is read whole or refused with the place and the reason."""

from pathlib import Path

import pytest

from ghl_snapshots.cli.tenant_file import EXAMPLE, read_tenants
from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.model import AccountKind, Tenant


def written(folder: Path, text: str) -> Path:
    path = folder / "tenants.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_example_that_an_error_shows_is_valid(tmp_path: Path) -> None:
    assert read_tenants(written(tmp_path, EXAMPLE)) == [
        Tenant(
            tenant_id="acme",
            ghl_account_id="ve9EPM428h8vShlRW1KT",
            account_kind=AccountKind.LOCATION,
            credential="env:ACME_GHL_TOKEN",
        ),
        Tenant(
            tenant_id="northwind",
            ghl_account_id="5DP4iH6HLkQsiKESj6rh",
            account_kind=AccountKind.COMPANY,
            credential="oauth",
            overrides={"daily_reserve": 0.8, "concurrency": 4},
        ),
    ]


def test_a_wrong_override_is_named_with_its_tenant(tmp_path: Path) -> None:
    text = EXAMPLE.replace("concurrency: 4", "concurrency: 0")
    with pytest.raises(ConfigurationError, match="tenant 2: Override concurrency: Input should be greater"):
        read_tenants(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the file: "),
        ("tenants: []", "tenants: "),
        ("tenants: [", "line 1 is not valid YAML"),
        ("tenants: [{id: a, account: b}]", "tenant 1 credential: Field required"),
        ("tenants: [{id: a, account: 12345, credential: oauth}]", "tenant 1 account: .*put it in quotes"),
        ("tenants: [{id: a, account: b, credential: oauth, colour: red}]", "tenant 1 colour"),
        ("tenants: [{id: 'a,b', account: b, credential: oauth}]", "tenant 1: Tenant id 'a,b' is not valid"),
        ("tenants: [{id: a, account: b, credential: oauth, kind: agency}]", "tenant 1 kind"),
        (
            "tenants: [{id: a, account: b, credential: oauth}, {id: a, account: c, credential: oauth}]",
            "tenant 'a' stands in the file twice",
        ),
    ],
)
def test_a_problem_is_named_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        read_tenants(written(tmp_path, text))
    assert str(tmp_path / "tenants.yaml") in str(caught.value)


def test_a_token_in_the_place_of_a_reference_is_not_quoted(tmp_path: Path) -> None:
    text = "tenants: [{id: a, account: b, credential: pit-secret-value}]"
    with pytest.raises(ConfigurationError, match="must be a reference") as caught:
        read_tenants(written(tmp_path, text))
    assert "pit-secret-value" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.yaml cannot be read: No such file"):
        read_tenants(tmp_path / "none.yaml")
