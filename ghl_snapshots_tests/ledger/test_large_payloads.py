"""A payload that JSON cannot hold is readable all the same: what is left out says so in its place."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import pytest
from psycopg import Connection

from ghl_snapshots.core.model import Snapshot
from ghl_snapshots.core.snapshot_json import document
from ghl_snapshots.ledger.append import SHOWN_BYTES
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.orchestration.result_events import result_event
from ghl_snapshots_tests.ledger.captures import capture

pytestmark = pytest.mark.slow
MEGABYTE = 1_000_000
SMALL = b'{"id":"small","name":"x"}'
ELSEWHERE = "ghl_snapshot_raw, show --raw, ?raw=true"


def large(name: str, size: int) -> bytes:
    """An entity of this size that PostgreSQL stores in little room."""
    start, end = b'{"id":"%b","text":"' % name.encode(), b'"}'
    return start + b"x" * (size - len(start) - len(end)) + end


def payload(database: Database, stored: Snapshot) -> Any:
    """What the view has for the snapshot, every column read."""
    with database.reader("acme") as connection:
        row: Any = connection.execute(
            "SELECT * FROM ghl.ghl_snapshot WHERE snapshot_id = %s", [stored.snapshot_id]
        ).fetchone()
    return row["payload"]


def shown(ledger: Ledger, stored: Snapshot) -> Any:
    """The payload of the JSON form."""
    return json.loads(b"".join(document(stored, ledger.shown_bodies(stored))))["payload"]


def in_place_of(body: bytes, position: int) -> dict[str, object]:
    return {
        "$tooLarge": {
            "id": json.loads(body)["id"],
            "bytes": len(body),
            "digest": hashlib.sha256(body).hexdigest(),
            "position": position,
            "exactBytes": ELSEWHERE,
        }
    }


def test_the_large_entities_of_a_large_payload_are_named_in_their_places(
    database: Database, ledger: Ledger
) -> None:
    """And the others, the exact bytes and the checksum are as of any other payload."""
    bodies = [SMALL, *[large("large", 22 * MEGABYTE)] * 3, SMALL]
    appended = ledger.append(capture(bodies=bodies))
    stored = appended.snapshot
    small = json.loads(SMALL)
    expected = [small, *(in_place_of(body, place) for place, body in enumerate(bodies[1:4], 1)), small]
    assert payload(database, stored)["data"] == shown(ledger, stored)["data"] == expected
    assert payload(database, stored)["metadata"] == stored.metadata
    assert list(ledger.bodies(stored)) == bodies
    ledger.verify_snapshot(stored)
    read_it = str(result_event(appended).metadata["read_it"].value)
    assert f"{sum(map(len, bodies)):,} bytes" in read_it
    with database.reader("acme") as connection:
        rows = connection.execute(read_it.split("`")[3]).fetchall()
    assert [row["body"] for row in rows] == bodies


@pytest.mark.parametrize(
    ("entities", "bytes_", "largest"),
    [(1, SHOWN_BYTES // MEGABYTE, 64), (3, 66, 64 / 3), (10**6, 10**4, 0.001)],
)
def test_each_entity_has_an_equal_share_and_a_kilobyte_in_any_case(
    superuser: Connection, entities: int, bytes_: int, largest: float
) -> None:
    asked: Sequence[int] = (entities, bytes_ * MEGABYTE)
    [(found,)] = superuser.execute("SELECT ghl.shown_bytes(%s, %s)", asked).fetchall()
    assert found == int(largest * MEGABYTE)


def test_entities_that_are_too_many_for_jsonb_are_counted_instead(
    database: Database, ledger: Ledger, superuser: Connection
) -> None:
    """130,000 of a kilobyte; stored once, since a manifest may hold an entity as often as it likes."""
    body = large("many", 1000)
    stored = ledger.append(capture(bodies=[body] * 130_000)).snapshot
    whole = {"entities": 130_000, "bytes": 130 * MEGABYTE, "exactBytes": ELSEWHERE}
    assert payload(database, stored)["data"] == [{"$tooLarge": whole}]


def test_what_the_server_could_not_print_is_counted_instead(database: Database, ledger: Ledger) -> None:
    """Of 80 KB of these numbers it would make more than the gigabyte of text that it can give."""
    body = b'{"id":"numbers","a":[' + b"1e131000," * 8800 + b"1]}"
    stored = ledger.append(capture(bodies=[body])).snapshot
    whole = {"entities": 1, "bytes": len(body), "exactBytes": ELSEWHERE}
    assert payload(database, stored)["data"] == [{"$tooLarge": whole}]
