"""Dagster has a database beside the product's, whatever the product's URL looks like, and its own home."""

import os
from pathlib import Path
from urllib.parse import quote

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import make_url

from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.local.environment import PACKAGE, dagster_database_url, product_environment


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


@pytest.fixture
def named_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A database that is named, so that none is started; nothing connects to it."""
    monkeypatch.setenv("GHL_SNAPSHOTS_DATABASE_URL", "postgresql://user@host/ledger")
    monkeypatch.setenv("GHL_SNAPSHOTS_HOME", str(tmp_path / "home"))


@pytest.mark.usefixtures("named_server")
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_the_home_folder_is_this_users_only(tmp_path: Path, umask: int) -> None:
    """The key of an embedded database is in it."""
    before = os.umask(umask)
    try:
        with product_environment():
            assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)


@pytest.mark.usefixtures("named_server")
@pytest.mark.parametrize(
    ("mode", "file", "left"),
    [(0o777, "encryption_key", 0o700), (0o755, "mine.txt", 0o755), (0o777, "mine.txt", None)],
)
def test_a_home_folder_that_was_open_to_others_is_closed_if_all_in_it_is_ours(
    tmp_path: Path, mode: int, file: str, left: int | None, capfd: pytest.CaptureFixture[str]
) -> None:
    """The home directory of the user stays as it is, but is refused where others may write in it."""
    home = tmp_path / "home"
    home.mkdir()
    (home / file).touch()
    home.chmod(mode)
    if left is None:
        with pytest.raises(ConfigurationError, match="Other users may write"), product_environment():
            pass
        return
    with product_environment():
        assert home.stat().st_mode & 0o777 == left
    assert ("is now this user's only" in capfd.readouterr().err) is (left != mode)


@pytest.mark.usefixtures("named_server")
@pytest.mark.parametrize("content", [None, "storage:\n  sqlite:\n    base_dir: /somewhere\n"])
def test_the_dagster_home_of_another_project_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    if content:
        (tmp_path / "dagster.yaml").write_text(content)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match="unset DAGSTER_HOME"), product_environment():
        pass


@pytest.mark.usefixtures("named_server")
def test_a_dagster_home_with_this_projects_configuration_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "dagster.yaml").write_text((PACKAGE / "dagster.yaml").read_text())
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with product_environment():
        assert os.environ["DAGSTER_HOME"] == str(tmp_path)
