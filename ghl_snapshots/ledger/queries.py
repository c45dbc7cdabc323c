"""The ledger's SQL by name; the statements are in the files of the sql folder that are listed here."""

import re
from functools import cache
from importlib.resources import files

_FILES = ("queries.sql", "verify.sql", "schema_integrity.sql", "checks.sql", "api.sql", "metrics.sql")
_STATEMENT = re.compile(r"^-- (\w+) -- .+\n((?:(?!-- \w+ -- ).*\n?)+)", re.MULTILINE)


def query(name: str) -> str:
    """The statement of that name.

    Raises:
        KeyError: there is none.
    """
    return _queries()[name]


@cache
def _queries() -> dict[str, str]:
    found = [match for file in _FILES for match in _STATEMENT.findall(sql_text(file))]
    return {name: body.strip() for name, body in found}


def sql_text(name: str) -> str:
    """The text of a file in the sql folder."""
    return files("ghl_snapshots.ledger").joinpath("sql", name).read_text(encoding="utf-8")
