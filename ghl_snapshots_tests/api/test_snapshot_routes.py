"""Reading snapshots: whole, byte for byte, page by page, and proved."""

import json
from datetime import timedelta

import psycopg
import pytest

from ghl_snapshots.api.services import Services
from ghl_snapshots.core.api_keys import KeyRole
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots_tests.api.conftest import Api, Client
from ghl_snapshots_tests.ledger.captures import BODIES, NOON, capture


def test_a_snapshot_is_read_as_it_was_captured(acme: Client, ledger: Ledger) -> None:
    snapshot = ledger.append(capture()).snapshot
    answer = acme("GET", f"/api/snapshots/{snapshot.snapshot_id}")
    whole = answer.json()
    assert whole["metadata"] == snapshot.as_json()["metadata"]
    assert whole["audit"] == snapshot.as_json()["audit"]
    assert whole["payload"]["metadata"]["totalCount"] == 2
    assert whole["payload"]["data"] == [json.loads(body) for body in BODIES]
    assert b'"v":1.10' in answer.content
    raw = acme("GET", f"/api/snapshots/{snapshot.snapshot_id}?raw=true")
    assert raw.content == b"".join(body + b"\n" for body in BODIES)
    assert raw.headers["Content-Type"] == "application/x-ndjson"
    asked = {"Accept": "application/json-seq"}
    framed = acme("GET", f"/api/snapshots/{snapshot.snapshot_id}?raw=true", headers=asked)
    assert framed.content == b"".join(b"\x1e" + body + b"\n" for body in BODIES)
    assert framed.headers["Content-Type"] == "application/json-seq"


def test_the_etag_is_the_checksum(acme: Client, ledger: Ledger) -> None:
    snapshot = ledger.append(capture()).snapshot
    path = f"/api/snapshots/{snapshot.snapshot_id}"
    etag = acme("GET", path).headers["ETag"]
    assert etag == f'"{snapshot.checksum}"'
    unchanged = acme("GET", path, headers={"If-None-Match": f'"other", W/{etag}'})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert acme("GET", path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_snapshot_of_many_megabytes_is_streamed(acme: Client, ledger: Ledger, services: Services) -> None:
    """And a reader who leaves in the middle, however often, takes no connection along."""
    bodies = [b'{"id":"%d","text":"%s"}' % (number, b"x" * 50_000) for number in range(200)]
    snapshot = ledger.append(capture("acme", bodies)).snapshot
    path = f"/api/snapshots/{snapshot.snapshot_id}?raw=true"
    for _ in range(25):
        with acme("GET", path, stream=True) as answer:
            assert answer.raw.read(10) == bodies[0][:10]
    answer = acme("GET", path)
    assert "Content-Length" not in answer.headers
    assert answer.content == b"".join(body + b"\n" for body in bodies)


def test_an_altered_snapshot_is_not_given_out(
    acme: Client, ledger: Ledger, superuser: psycopg.Connection
) -> None:
    snapshot = ledger.append(capture()).snapshot
    path = f"/api/snapshots/{snapshot.snapshot_id}"
    assert acme.get(f"{path}/verify") == {
        "snapshotId": snapshot.snapshot_id,
        "tenantId": "acme",
        "checksum": snapshot.checksum,
        "recordCount": 2,
        "valid": True,
        "problem": None,
    }
    superuser.execute("ALTER TABLE entity DISABLE TRIGGER USER")
    superuser.execute("ALTER TABLE entity DROP CONSTRAINT entity_check")
    superuser.execute("UPDATE entity SET body = 'forged' WHERE entity_id = 'a'")
    verified = acme.get(f"{path}/verify")
    assert verified["valid"] is False
    assert "is corrupt" in verified["problem"]
    answer = acme("GET", path)
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:ghl-snapshots:problem:snapshot-corrupt")


def test_pages_hold_every_snapshot_once_while_others_are_stored(acme: Client, ledger: Ledger) -> None:
    """Several were captured at the same moment, so that only their ids differ."""
    expected = {
        ledger.append(
            capture(
                snapshot_type=list(SnapshotType)[number % 5], captured_at=NOON + timedelta(hours=number // 5)
            )
        ).snapshot.snapshot_id
        for number in range(23)
    }
    seen: list[str] = []
    moments: list[str] = []
    path = "/api/snapshots?limit=4"
    while path:
        page = acme.get(path)
        seen += [each["metadata"]["snapshotId"] for each in page["snapshots"]]
        moments += [each["metadata"]["capturedAt"] for each in page["snapshots"]]
        ledger.append(capture(captured_at=NOON + timedelta(days=1)))
        cursor = page["nextCursor"]
        path = f"/api/snapshots?limit=4&cursor={cursor}" if cursor else ""
    assert len(seen) == 23
    assert set(seen) == expected
    assert moments == sorted(moments, reverse=True)


def test_lists_are_narrowed_by_type_and_time(acme: Client, ledger: Ledger) -> None:
    for hour in range(4):
        for snapshot_type in (SnapshotType.WORKFLOWS, SnapshotType.CALENDARS):
            ledger.append(capture(snapshot_type=snapshot_type, captured_at=NOON + timedelta(hours=hour)))

    def listed(query: str) -> list[tuple[str, str]]:
        found = acme.get(f"/api/snapshots?{query}")["snapshots"]
        return [(each["metadata"]["snapshotType"], each["metadata"]["capturedAt"][11:13]) for each in found]

    assert listed("snapshotType=calendars&from=2026-03-03T13:00:00Z&to=2026-03-03T15:00:00Z") == [
        ("calendars", "14"),
        ("calendars", "13"),
    ]
    assert sorted(listed("asOf=2026-03-03T14:30:00Z")) == [("calendars", "14"), ("workflows", "14")]
    assert listed("asOf=2026-03-03T11:00:00Z") == []
    assert acme("GET", "/api/snapshots?asOf=2026-03-03T11:00:00Z&limit=1&cursor=x").status_code == 422
    for cursor in ("x", "%00", "MjAyNi0wMy0wM1QxMjowMDowMC4wMDAwMDBaIA=="):
        assert acme("GET", f"/api/snapshots?cursor={cursor}").status_code == 422


def test_a_key_of_several_tenants_reads_each(api: Api, ledger: Ledger) -> None:
    client = api.client("acme", "zenith", role=KeyRole.READ)
    for tenant_id in ("acme", "zenith"):
        snapshot = ledger.append(capture(tenant_id)).snapshot
        assert client.get(f"/api/snapshots/{snapshot.snapshot_id}")["metadata"]["tenantId"] == tenant_id
        assert len(client.get(f"/api/snapshots?tenantId={tenant_id}")["snapshots"]) == 1
    assert client("GET", "/api/snapshots").status_code == 422


@pytest.mark.parametrize("path", ["/api/snapshots", "/api/snapshots/{}", "/api/snapshots/{}/verify"])
def test_a_key_that_may_only_trigger_reads_no_snapshot(api: Api, ledger: Ledger, path: str) -> None:
    snapshot = ledger.append(capture()).snapshot
    answer = api.client("acme", role=KeyRole.TRIGGER)("GET", path.format(snapshot.snapshot_id))
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:ghl-snapshots:problem:forbidden")
