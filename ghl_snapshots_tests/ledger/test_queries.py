"""Each statement has a name of its own, and somebody asks it."""

import re
from pathlib import Path

import ghl_snapshots
from ghl_snapshots.ledger.queries import query, sql_folder

PACKAGE = Path(ghl_snapshots.__file__).parent
NAMED = re.compile(r"^-- (\w+) -- \S", re.MULTILINE)


def test_every_statement_has_one_name_and_is_used() -> None:
    names = [
        name
        for file in sql_folder().joinpath("queries").iterdir()
        for name in NAMED.findall(file.read_text())
    ]
    source = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    assert len(names) == len(set(names))
    assert [name for name in names if not query(name) or f'"{name}"' not in source] == []
