"""The ledger's SQL by name: each statement in sql/queries follows a line `-- name -- what it does`."""

import re
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

_STATEMENT = re.compile(r"^-- (\w+) -- .+\n((?:(?!-- \w+ -- ).*\n?)+)", re.MULTILINE)


def query(name: str) -> str:
    """The statement of that name.

    Raises:
        KeyError: there is none.
    """
    return _queries()[name]


@cache
def _queries() -> dict[str, str]:
    texts = (file.read_text(encoding="utf-8") for file in sql_folder().joinpath("queries").iterdir())
    statements = [statement for text in texts for statement in _STATEMENT.findall(text)]
    return {name: body.strip() for name, body in statements}


def sql_text(name: str) -> str:
    """The text of a file in the sql folder."""
    return sql_folder().joinpath(name).read_text(encoding="utf-8")


def sql_folder() -> Traversable:
    """The folder of all SQL: the schema, its migrations, the roles and the queries."""
    return files("ghl_snapshots.ledger").joinpath("sql")
