"""Any entity comes back byte for byte, and every view stays readable whatever a body holds."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots_tests.databases import copy_of
from ghl_snapshots_tests.ledger.captures import capture

ESCAPES = st.sampled_from(
    [r"\u0000", r"\ud800", r"\uDFFF", r"\ud83d\ude00", r"\\", r"\\u0000", r"\"", r"\n", r"\/", "é", "😀", "a"]
)
STRINGS = st.lists(ESCAPES, max_size=6).map(lambda parts: '"' + "".join(parts) + '"')
NUMBERS = st.sampled_from(
    [
        "0",
        "-0",
        "1.10",
        "1E5",
        "1e-7",
        "9223372036854775808",
        "1e200000",
        "-1e999999999999",
        "1e-20000",
        "0.1",
    ]
) | st.integers().map(str)


def space(text: str) -> st.SearchStrategy[str]:
    return st.sampled_from(["", " ", "\n\t"]).map(lambda white: white + text)


def arrays(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(items, max_size=4).map(lambda parts: "[" + " ,".join(parts) + "]")


def objects(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Objects as texts, so that a key may stand in one twice."""
    pairs = st.tuples(STRINGS, items).map(lambda pair: f"{pair[0]}: {pair[1]}")
    return st.lists(pairs, max_size=4).map(lambda parts: "{" + ",".join(parts) + "}")


LEAVES = STRINGS | NUMBERS | st.sampled_from(["true", "false", "null"])
TEXTS = st.recursive(LEAVES, lambda items: (arrays(items) | objects(items)).flatmap(space), max_leaves=12)
ODD = [
    b'{"a":1E5,"b":1.10,"a":2}',
    b"[" * 7000 + b"]" * 7000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"n":1e200000,"deep":' + b"[" * 500 + b"]" * 500 + b"}",
    b'"' + b"x" * 200_000 + b'"',
    b'"' + rb"\ud800" * 30_000 + b'"',
    b"\xff\xfe",
    b"no JSON",
    b"",
    b"\x00",
    rb'{"\u0000":{"\u0000":1},"\\u0000":"\\\u0000"}',
]


@pytest.fixture(scope="module")
def shared(postgres: EmbeddedPostgres, template: str) -> Iterator[Database]:
    """One database for all examples."""
    with copy_of(postgres, template) as url, Database(url) as database:
        yield database


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bodies=st.lists(TEXTS.map(str.encode), max_size=5))
@example(bodies=ODD)
def test_bodies_come_back_byte_for_byte(shared: Database, bodies: list[bytes]) -> None:
    ledger = Ledger(shared)
    stored = ledger.append(capture(bodies=bodies)).snapshot
    assert list(ledger.bodies(stored)) == bodies
    ledger.verify_snapshot(stored)
    with shared.reader("acme") as connection:
        raw = connection.execute(
            "SELECT body FROM ghl.ghl_snapshot_raw WHERE snapshot_id = %s ORDER BY position",
            [stored.snapshot_id],
        ).fetchall()
        view: Any = connection.execute(
            "SELECT payload::text AS text, jsonb_array_length(payload -> 'data') AS length "
            "FROM ghl.ghl_snapshot WHERE snapshot_id = %s",
            [stored.snapshot_id],
        ).fetchone()
    assert [row["body"] for row in raw] == bodies
    assert view["length"] == len(bodies)


def closest(value: Any) -> Any:
    """What the view makes of a parsed value: keys as in jsonb, and illegal characters replaced."""
    if isinstance(value, str):
        return "".join("\ufffd" if char == "\0" or "\ud800" <= char <= "\udfff" else char for char in value)
    if isinstance(value, list):
        return [closest(item) for item in value]
    if isinstance(value, dict):
        return {closest(key): closest(item) for key, item in value.items()}
    return value


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.recursive(STRINGS, lambda items: arrays(items) | objects(items), max_leaves=8))
@example(text=r'"\\ud800\udc00"')
@example(text=r'"\ud800\ud800\udc00\udc00"')
@example(text=r'"\\\u0000\\\\u0000"')
def test_the_view_replaces_just_what_jsonb_cannot_hold(shared: Database, text: str) -> None:
    with shared.reader("acme") as connection:
        row: Any = connection.execute("SELECT ghl.entity_jsonb(%s) AS value", [text.encode()]).fetchone()
    assert row["value"] == closest(json.loads(text))


@pytest.mark.parametrize(
    ("body", "readable"),
    [
        (b'{"n":1e200000,"m":[1E999999,2],"s":"x"}', {"n": "1e200000", "m": ["1E999999", 2], "s": "x"}),
        (rb'{"n":1e200000,"\u0000":"\ud800"}', {"n": "1e200000", "\ufffd": "\ufffd"}),
        (b"no JSON", {"$text": "no JSON"}),
        (b"\xff\xfe", {"$base64": "//4="}),
        (b"a\x00", {"$base64": "YQA="}),
        (b'{"a":1,"a":2}', {"a": 2}),
    ],
)
def test_the_view_shows_the_closest_form_that_jsonb_has(shared: Database, body: bytes, readable: Any) -> None:
    with shared.reader("acme") as connection:
        row: Any = connection.execute("SELECT ghl.entity_jsonb(%s) AS value", [body]).fetchone()
    assert row["value"] == readable


def test_a_nesting_too_deep_for_jsonb_is_shown_as_text(shared: Database) -> None:
    body = b"[" * 100_000 + b"]" * 100_000
    with shared.reader("acme") as connection:
        row: Any = connection.execute("SELECT ghl.entity_jsonb(%s) AS value", [body]).fetchone()
    assert row["value"] == {"$text": body.decode()}


@pytest.mark.parametrize("depth", range(1000, 8000, 500))
def test_no_depth_of_nesting_makes_the_view_unreadable(shared: Database, depth: int) -> None:
    """A server has a depth that it can read but not write again; a body may lie just there."""
    ledger = Ledger(shared)
    bodies = [
        (b'{"a":' * deep + b"1" + b"}" * deep, b"[" * deep + b"]" * deep)[deep % 2]
        for deep in range(depth, depth + 500, 23)
    ]
    stored = ledger.append(capture(bodies=bodies)).snapshot
    with shared.reader("acme") as connection:
        row: Any = connection.execute(
            "SELECT length(payload::text) AS length FROM ghl.ghl_snapshot WHERE snapshot_id = %s",
            [stored.snapshot_id],
        ).fetchone()
    assert row["length"] > depth
