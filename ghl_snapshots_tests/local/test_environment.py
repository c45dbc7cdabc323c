"""Dagster's database is beside the product's, whatever the product's URL looks like."""

from urllib.parse import quote

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import make_url

from ghl_snapshots.errors import ConfigurationError
from ghl_snapshots.local.environment import dagster_database_url


def test_dagster_gets_a_database_beside_the_products_and_the_driver_that_it_needs() -> None:
    url = make_url(dagster_database_url("postgresql://user:p%40ss+%2B@host:5433/ledger?sslmode=require"))
    assert url.drivername == "postgresql+psycopg2"
    assert (url.username, url.host, url.port, url.database) == ("user", "host", 5433, "ledger_dagster")
    assert url.query == {"sslmode": "require"}
    assert url.password == "p@ss++"


@pytest.mark.parametrize(("written", "password"), [("a+b", "a+b"), ("a%2Bb", "a+b"), ("a%20b", "a b")])
def test_a_password_is_the_same_for_sqlalchemy_and_for_libpq(written: str, password: str) -> None:
    url = dagster_database_url(f"postgresql://app:{written}@host/ledger")
    assert make_url(url).password == password
    assert conninfo_to_dict(url.replace("+psycopg2", "", 1))["password"] == password


@pytest.mark.parametrize("folder", ["/home/my agency/x", "/home/a+b", "/home/o'mine/%20"])
def test_a_sockets_folder_is_the_same_for_sqlalchemy_and_for_libpq(folder: str) -> None:
    url = dagster_database_url(f"postgresql://postgres@/ledger?host={quote(folder)}")
    assert make_url(url).query["host"] == folder
    assert conninfo_to_dict(url.replace("+psycopg2", "", 1))["host"] == folder


@pytest.mark.parametrize(
    "url",
    [
        "host=localhost dbname=x password=hunter2",
        "postgresql://user:hunter2@host",
        "postgresql://user:hunter2@host:port/x",
        "postgresql://user:hunter2@one:1,two:2/x",
    ],
)
def test_what_is_no_url_with_a_database_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ConfigurationError, match="GHL_SNAPSHOTS_DATABASE_URL") as caught:
        dagster_database_url(url)
    assert "hunter2" not in str(caught.value)
