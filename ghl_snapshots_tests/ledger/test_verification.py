"""Whatever a superuser does to the stored rows is found by `Verification` or by a checkpoint kept outside."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import Connection

from ghl_snapshots.core.errors import ConfigurationError, UnknownTenantError
from ghl_snapshots.core.model import Snapshot, SnapshotType
from ghl_snapshots.ledger.checkpoint import (
    create_checkpoint,
    new_key,
    private_key,
    public_key,
    verify_checkpoint,
)
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.findings import Progress
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.verification import Verification
from ghl_snapshots_tests.ledger.captures import NOON, capture

KEY = Ed25519PrivateKey.generate()
NOW = NOON

UNGUARDED = """
    ALTER TABLE snapshot DISABLE TRIGGER ALL;
    ALTER TABLE manifest DISABLE TRIGGER ALL;
    ALTER TABLE provenance DISABLE TRIGGER ALL;
    ALTER TABLE entity DISABLE TRIGGER ALL;
    ALTER TABLE entity DROP CONSTRAINT entity_check;
    ALTER TABLE provenance DROP CONSTRAINT provenance_check;
"""
GUARDED = """
    ALTER TABLE snapshot ENABLE TRIGGER ALL;
    ALTER TABLE manifest ENABLE TRIGGER ALL;
    ALTER TABLE provenance ENABLE TRIGGER ALL;
    ALTER TABLE entity ENABLE TRIGGER ALL;
    ALTER TABLE snapshot ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER link_snapshot,
        ENABLE ALWAYS TRIGGER count_snapshot;
    ALTER TABLE manifest ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER check_manifest;
    ALTER TABLE provenance ENABLE ALWAYS TRIGGER append_only;
    ALTER TABLE entity ENABLE ALWAYS TRIGGER append_only;
    ALTER TABLE entity ADD CONSTRAINT entity_check CHECK (digest = sha256(body)) NOT VALID;
    ALTER TABLE provenance ADD CONSTRAINT provenance_check
        CHECK (digest = sha256(convert_to(body::text, 'UTF8'))) NOT VALID;
    UPDATE pg_constraint SET convalidated = true WHERE conname IN ('entity_check', 'provenance_check');
"""
RECHAIN = """
    DO $$
    DECLARE
        one snapshot;
        previous bytea;
        place bigint := 0;
    BEGIN
        FOR one IN SELECT * FROM snapshot WHERE tenant_id = 'acme' AND snapshot_type = 'workflows'
            ORDER BY seq LOOP
            place := place + 1;
            one.seq := place;
            previous := chain_value(previous, one);
            UPDATE snapshot SET seq = place, chain = previous WHERE snapshot_id = one.snapshot_id;
        END LOOP;
    END $$;
"""
FORGED = """
    UPDATE snapshot SET seq = seq + 100 WHERE tenant_id = 'acme' AND snapshot_type = 'workflows' AND seq >= 3;
    INSERT INTO snapshot
    SELECT (json_populate_record(snapshot, json_build_object('snapshot_id',
        '00000000-0000-7000-8000-000000000000', 'correlation_id', 'forged', 'seq', 3))).*
    FROM snapshot WHERE tenant_id = 'acme' AND snapshot_type = 'workflows' AND seq = 2;
    UPDATE snapshot SET seq = seq - 99 WHERE seq >= 100;
"""


@pytest.fixture
def history(ledger: Ledger) -> list[Snapshot]:
    """Six snapshots in the chain of acme's workflows, each of other content, and two other chains."""
    for tenant_id, snapshot_type in (("acme", SnapshotType.PIPELINES), ("zenith", SnapshotType.WORKFLOWS)):
        ledger.append(capture(tenant_id, snapshot_type=snapshot_type, bodies=[b"{}"]))
    return [
        ledger.append(
            capture(
                bodies=[b'{"id":"same"}', b'{"hour":%d}' % hour], captured_at=NOON + timedelta(hours=hour)
            )
        ).snapshot
        for hour in range(6)
    ]


@pytest.fixture
def tamper(superuser: Connection, history: list[Snapshot]) -> Callable[[str], None]:
    """Do something to acme's history with every protection off, and put the protection back."""

    def tampered(statements: str) -> None:
        superuser.execute("SET allow_system_table_mods = on")
        with superuser.transaction():
            superuser.execute(UNGUARDED)
            superuser.execute(statements)
        superuser.execute(GUARDED)

    return tampered


def found(database: Database, **scope: Any) -> list[tuple[int | None, str]]:
    return [(finding.seq, finding.problem) for finding in Verification(database, **scope)]


ALTERED = "does not follow: the row was altered"
FORGED_BYTES = (
    "UPDATE entity SET body = '{\"hour\":9}', digest = sha256('{\"hour\":9}') WHERE body = '{\"hour\":3}'"
)
TAMPERINGS = {
    "a column": ("UPDATE snapshot SET status = 'partial_failure' WHERE seq = 4", [(4, ALTERED)]),
    "a moment": (
        "UPDATE snapshot SET captured_at = captured_at + interval '1 microsecond' WHERE seq = 4",
        [(4, ALTERED)],
    ),
    "who made it": ("UPDATE snapshot SET created_by = 'nobody' WHERE seq = 4", [(4, ALTERED)]),
    "a request's moment": ("UPDATE snapshot SET sent_after_us = '{7}' WHERE seq = 4", [(4, ALTERED)]),
    "a trace id": (
        "UPDATE snapshot SET trace_ids = ARRAY[gen_random_uuid()] WHERE seq = 4",
        [(4, ALTERED)],
    ),
    "the payload that it points to": (
        "UPDATE snapshot SET checksum = (SELECT checksum FROM snapshot WHERE seq = 5) WHERE seq = 4",
        [(4, ALTERED)],
    ),
    "a chain value": (
        "UPDATE snapshot SET chain = sha256('x') WHERE seq = 4",
        [(4, ALTERED), (5, ALTERED)],
    ),
    "a removed row": ("DELETE FROM snapshot WHERE seq = 4", [(5, "number 4 is missing")]),
    "a removed beginning": (
        "DELETE FROM snapshot WHERE seq < 3 AND tenant_id = 'acme' AND snapshot_type = 'workflows'",
        [(3, "2 before it removed: number 1 is missing")],
    ),
    "a forged row in the middle": (
        FORGED,
        [(3, ALTERED), (4, ALTERED), (5, ALTERED), (6, ALTERED), (7, ALTERED)],
    ),
    "two rows swapped": (
        (
            "UPDATE snapshot SET seq = 1000 WHERE seq = 4; UPDATE snapshot SET seq = 4 WHERE seq = 5; "
            "UPDATE snapshot SET seq = 5 WHERE seq = 1000"
        ),
        [(4, ALTERED), (5, ALTERED), (6, ALTERED)],
    ),
    "an entity's digest": (
        "UPDATE entity SET digest = sha256('x') WHERE body = '{\"hour\":3}'",
        [(4, "its entities give the checksum")],
    ),
    "a removed entity": ("DELETE FROM entity WHERE body = '{\"hour\":3}'", [(4, "its payload is not there")]),
    "the order of a payload": (
        (
            "UPDATE manifest SET entity_ids = ARRAY[entity_ids[2], entity_ids[1]] "
            "WHERE digest = (SELECT checksum FROM snapshot WHERE seq = 4)"
        ),
        [(4, "its entities give the checksum")],
    ),
    "a removed payload": (
        "DELETE FROM manifest WHERE digest = (SELECT checksum FROM snapshot WHERE seq = 4)",
        [(4, "its payload or provenance is not there")],
    ),
    "bytes with their digest": (
        FORGED_BYTES,
        [(4, "its entities give the checksum")],
    ),
    "bytes with every digest up to the checksum": (
        (
            f"{FORGED_BYTES}; WITH forged AS ("
            "SELECT sha256(string_agg(entity.digest, ''::bytea ORDER BY place)) AS digest FROM snapshot "
            "JOIN manifest ON manifest.digest = checksum AND seq = 4, "
            "unnest(entity_ids) WITH ORDINALITY AS listed (id, place) JOIN entity USING (id)), "
            "moved AS (UPDATE manifest SET digest = forged.digest FROM forged "
            "WHERE manifest.digest = (SELECT checksum FROM snapshot WHERE seq = 4)) "
            "UPDATE snapshot SET checksum = forged.digest FROM forged WHERE seq = 4"
        ),
        [(4, ALTERED)],
    ),
    "a provenance": (
        (
            "UPDATE provenance SET body = replace(body::text, '/workflows/', '/other/')::json "
            "WHERE tenant_id = 'acme' AND records = 2"
        ),
        [(1, "its provenance")],
    ),
}


@pytest.mark.parametrize(("statements", "expected"), TAMPERINGS.values(), ids=TAMPERINGS)
def test_tampering_is_found_where_it_happened(
    database: Database,
    tamper: Callable[[str], None],
    statements: str,
    expected: list[tuple[int, str]],
) -> None:
    tamper(statements)
    findings = found(database)
    assert [seq for seq, _ in findings] == [seq for seq, _ in expected], findings
    assert all(wanted in problem for (_, problem), (_, wanted) in zip(findings, expected, strict=True)), (
        findings
    )


def test_an_untouched_ledger_holds(database: Database, history: list[Snapshot]) -> None:
    progress: list[Progress] = []
    verification = Verification(database, deep=True, on_progress=progress.append)
    assert list(verification) == []
    assert (verification.checked.snapshots, verification.checked.payloads) == (8, 8)
    assert (verification.checked.entities, verification.checked.bytes) == (9, 13 + 6 * 10 + 2 * 2)
    assert (progress[-1].done, progress[-1].total) == (8, 8)


def test_an_empty_ledger_holds(database: Database) -> None:
    assert found(database, deep=True) == []


def test_altered_bytes_are_found_by_hashing_them_all(
    database: Database, tamper: Callable[[str], None]
) -> None:
    tamper("UPDATE entity SET body = '{\"hour\":9}' WHERE body = '{\"hour\":3}'")
    assert found(database) == []
    [(seq, problem)] = found(database, deep=True)
    assert "do not match its digest" in problem
    assert seq == 4


def test_entities_with_numbers_far_apart_are_walked_over_without_the_gaps(
    superuser: Connection, database: Database, history: list[Snapshot]
) -> None:
    superuser.execute(
        "INSERT INTO ghl.entity (id, tenant_id, digest, endpoint, body) OVERRIDING SYSTEM VALUE "
        "SELECT id, 'acme', sha256(body), '/workflows/', body "
        'FROM (VALUES (0, \'{"id":"a"}\'::bytea), (9223372036854775807, \'{"id":"b"}\')) AS far (id, body)'
    )
    stored = superuser.execute("SELECT count(*) FROM ghl.entity").fetchone()
    verification = Verification(database, deep=True)
    list(verification)
    assert stored
    assert verification.checked.entities == stored[0]


def test_altered_bytes_are_found_in_each_chain_that_holds_them(
    database: Database, ledger: Ledger, tamper: Callable[[str], None]
) -> None:
    for tenant_id in ("acme", "zenith"):
        ledger.append(capture(tenant_id, [b'{"hour":3}'], snapshot_type=SnapshotType.CALENDARS))
    tamper("UPDATE entity SET body = '{\"hour\":9}' WHERE body = '{\"hour\":3}' AND tenant_id = 'acme'")
    broken = list(Verification(database, deep=True))
    assert [(one.tenant_id, one.snapshot_type, one.seq) for one in broken] == [
        ("acme", "calendars", 1),
        ("acme", "workflows", 4),
    ]
    assert found(database, deep=True, tenant_id="zenith") == []
    assert found(database, deep=True, snapshot_type=SnapshotType.PIPELINES) == []


FILED = {
    "another id": ("entity_id = 'gone'", "is filed under 'gone', which is no id that its body names"),
    "no id": ("entity_id = NULL", "is filed under None, which is no id that its body names"),
    "another endpoint": (
        "endpoint = '/other'",
        "is filed under '/other' and location 'location-1', which no request",
    ),
    "another location": (
        "location_id = 'x'",
        "is filed under '/workflows/' and location 'x', which no request",
    ),
    "no location": ("location_id = NULL", "is filed under '/workflows/' and location None, which no request"),
}


@pytest.mark.parametrize(("columns", "problem"), FILED.values(), ids=FILED)
def test_entities_filed_under_what_their_payloads_do_not_name_are_found(
    database: Database, tamper: Callable[[str], None], columns: str, problem: str
) -> None:
    tamper(f'UPDATE entity SET {columns} WHERE body = \'{{"id":"same"}}\'')
    assert found(database) == []
    [(seq, reported)] = found(database, deep=True)
    assert (seq, problem in reported) == (1, True), reported


IDS: dict[str, tuple[bytes, str | None]] = {
    "written with spaces": (b'{"name":"x", "id": "i1"}', "i1"),
    "escaped": (rb'{"id":"a\/\u00e9"}', "a/\u00e9"),
    "not text for PostgreSQL": (rb'{"id":"a\u0000\ud800"}', "a\ufffd\ufffd"),
    "of an agent": (b'{"name":"x","agentId":"i1"}', "i1"),
    "of an event calendar's schedule": (b'{"timezone":"UTC","calendarId":"i1"}', "i1"),
    "of a conversation provider": (b'{"conversationProvider": {"_id": "i1"}}', "i1"),
    "with an underscore": (b'{"_id":"i1","v":1e999999}', "i1"),
    "a number": (b'{"id":7}', None),
    "empty": (b'{"id":""}', None),
    "too long": (b'{"id":"%s"}' % (b"x" * 257), None),
    "nested": (b'{"owner":{"id":"i1"}}', None),
    "none": (b"{}", None),
}


@pytest.mark.parametrize(("body", "entity_id"), IDS.values(), ids=IDS)
def test_ids_as_captures_read_them_are_no_alarm(
    database: Database, ledger: Ledger, body: bytes, entity_id: str | None
) -> None:
    """However an answer writes them."""
    given = capture()
    [entity, *_] = given.entities
    [request] = given.requests
    ledger.append(
        replace(
            given,
            entities=(replace(entity, body=body, entity_id=entity_id),),
            requests=(replace(request, count=1),),
        )
    )
    assert found(database, deep=True) == []


def test_a_verification_keeps_to_its_scope(
    database: Database, tamper: Callable[[str], None], history: list[Snapshot]
) -> None:
    tamper("UPDATE snapshot SET status = 'partial_failure' WHERE seq IN (2, 4)")
    assert [seq for seq, _ in found(database, tenant_id="acme")] == [2, 4]
    assert [seq for seq, _ in found(database, since=history[2].created_at)] == [4]
    assert found(database, tenant_id="zenith") == []
    assert found(database, snapshot_type=SnapshotType.PIPELINES) == []


def test_an_unknown_tenant_is_refused_rather_than_found_whole(
    database: Database, history: list[Snapshot]
) -> None:
    with pytest.raises(UnknownTenantError, match="'acmee'"):
        found(database, tenant_id="acmee")


def test_what_is_left_of_a_tenant_that_the_registry_lost_is_verified(
    database: Database, superuser: Connection, tamper: Callable[[str], None]
) -> None:
    tamper("UPDATE snapshot SET status = 'partial_failure' WHERE seq = 2")
    superuser.execute("ALTER TABLE tenant DISABLE TRIGGER ALL")
    superuser.execute("DELETE FROM tenant WHERE tenant_id = 'acme'")
    named = found(database, tenant_id="acme")
    assert (2, True) in [(seq, ALTERED in problem) for seq, problem in named]
    lost = "the registry does not hold the tenant of 6 workflows snapshots: its row was removed"
    assert (None, lost) in named


def test_a_checkpoint_covers_the_chains_of_a_tenant_that_the_registry_lost(
    database: Database, superuser: Connection, history: list[Snapshot]
) -> None:
    superuser.execute("ALTER TABLE tenant DISABLE TRIGGER ALL")
    superuser.execute("DELETE FROM tenant WHERE tenant_id = 'acme'")
    heads = {
        (head["tenantId"], head["seq"]) for head in json.loads(create_checkpoint(database, KEY, NOW))["heads"]
    }
    assert ("acme", history[-1].seq) in heads


def test_a_ledger_that_is_appended_to_meanwhile_holds(database: Database, ledger: Ledger) -> None:
    def append(snapshot_type: SnapshotType, turn: int) -> None:
        for number in range(15):
            ledger.append(capture(bodies=[b'{"id":"%d-%d"}' % (turn, number)], snapshot_type=snapshot_type))

    with ThreadPoolExecutor(2) as pool:
        for turn in range(8):
            appending = [pool.submit(append, kind, turn) for kind in list(SnapshotType)[:2]]
            while not all(one.done() for one in appending):
                assert found(database) == []
            for one in appending:
                one.result()


REPLACED = {
    "by one with an SQL body": (
        (
            "CREATE OR REPLACE FUNCTION row_text(row_ snapshot) RETURNS text LANGUAGE sql STABLE "
            "PARALLEL SAFE RETURN row_.snapshot_id"
        ),
        "body of function row_text(ghl.snapshot) is altered: RETURN (row_).snapshot_id instead of SHA-256 ",
    ),
    "by another search path": (
        "CREATE SCHEMA evil; ALTER FUNCTION chain_value SET search_path = evil, ghl, pg_catalog",
        "function chain_value(bytea,ghl.snapshot) is altered: ",
    ),
}


@pytest.mark.parametrize(("statements", "problem"), REPLACED.values(), ids=REPLACED)
def test_functions_that_hide_what_was_altered_are_named(
    database: Database, tamper: Callable[[str], None], statements: str, problem: str
) -> None:
    tamper(f"UPDATE snapshot SET source = 'manual' WHERE seq = 3; {statements}")
    assert problem in found(database)[0][1]


def test_a_search_path_of_the_database_does_not_hide_what_was_altered(
    database: Database, superuser: Connection, tamper: Callable[[str], None]
) -> None:
    """It would find another sha256 before the server's own."""
    tamper("UPDATE snapshot SET source = 'manual' WHERE seq = 3")
    superuser.execute(
        "CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO PUBLIC; "
        "CREATE FUNCTION evil.convert_to(text, name) RETURNS bytea LANGUAGE sql "
        "RETURN pg_catalog.convert_to(replace($1, '\"manual\"', '\"scheduled\"'), $2)"
    )
    superuser.execute(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = evil, pg_catalog, ghl', "
        "current_database()); END $$"
    )
    settings, altered = found(database)
    assert settings[1].startswith(
        "setting search_path of the database is not of this release: evil, pg_catalog"
    )
    assert (altered[0], ALTERED in altered[1]) == (3, True)


REWRITTEN = {
    "a removed end": (
        "DELETE FROM snapshot WHERE seq > 4",
        "the checkpoint saw 6 snapshots, there are 4: the rest was removed",
    ),
    "a removed chain": (
        "DELETE FROM snapshot WHERE tenant_id = 'acme' AND snapshot_type = 'workflows'",
        "workflows: the checkpoint saw 6 snapshots, there are 0",
    ),
    "an altered row and the chain made new": (
        f"UPDATE snapshot SET created_by = 'nobody' WHERE seq = 2; {RECHAIN}",
        "the chain was rewritten",
    ),
    "a removed row and the chain made new": (
        f"DELETE FROM snapshot WHERE seq = 2; {RECHAIN}",
        "the checkpoint saw 6 snapshots, there are 5",
    ),
    "a forged row and the chain made new": (f"{FORGED}; {RECHAIN}", "the chain was rewritten"),
}


RECOUNT = """
    TRUNCATE counter;
    INSERT INTO counter
    SELECT tenant_id, snapshot_type, metric, labels,
        CASE metric WHEN 'last_success' THEN max(value) ELSE sum(value) END
    FROM (
        SELECT tenant_id, snapshot_type, each.* FROM snapshot, row_counts(snapshot) AS each
        UNION ALL
        SELECT snapshot.tenant_id, snapshot_type, each.*
        FROM snapshot
        JOIN provenance
            ON provenance.tenant_id = snapshot.tenant_id AND provenance.digest = snapshot.provenance,
            count_rows(provenance_counts(body)) AS each
    ) AS every
    GROUP BY tenant_id, snapshot_type, metric, labels;
"""


@pytest.mark.parametrize("name", ["a removed end", "a removed chain", "a removed row and the chain made new"])
def test_counters_that_were_left_give_a_cut_chain_away(
    database: Database, tamper: Callable[[str], None], name: str
) -> None:
    tamper(REWRITTEN[name][0])
    findings = list(Verification(database))
    assert findings
    for finding in findings:
        assert (finding.tenant_id, finding.snapshot_type) == ("acme", "workflows")
        assert str(finding).startswith("acme: the counter ")


@pytest.mark.parametrize(("statements", "problem"), REWRITTEN.values(), ids=REWRITTEN)
def test_only_a_checkpoint_finds_a_chain_that_was_cut_or_rewritten_with_its_counters(
    database: Database, tamper: Callable[[str], None], statements: str, problem: str
) -> None:
    checkpoint = create_checkpoint(database, KEY, NOW)
    tamper(f"{statements}; {RECOUNT}")
    assert found(database, deep=True) == []
    [finding] = verify_checkpoint(database, checkpoint, KEY.public_key())
    assert problem in str(finding)
    assert (finding.tenant_id, finding.snapshot_type, finding.seq) == ("acme", "workflows", 6)


def test_a_checkpoint_holds_while_its_chains_grow(
    database: Database, ledger: Ledger, history: list[Snapshot]
) -> None:
    checkpoint = create_checkpoint(database, KEY, NOW)
    ledger.append(capture())
    ledger.append(capture("zenith", snapshot_type=SnapshotType.CALENDARS))
    assert list(verify_checkpoint(database, checkpoint, KEY.public_key())) == []


def test_a_checkpoint_of_an_empty_ledger_holds(database: Database) -> None:
    assert list(verify_checkpoint(database, create_checkpoint(database, KEY, NOW), KEY.public_key())) == []


@pytest.mark.parametrize(
    ("part", "other"),
    [("workflows", "pipelines"), ('"seq": 6', '"seq": 5'), ("2026-03-03", "2026-03-04"), ("acme", "acne")],
)
def test_an_altered_checkpoint_is_not_believed(
    database: Database, history: list[Snapshot], part: str, other: str
) -> None:
    altered = create_checkpoint(database, KEY, NOW).replace(part, other)
    [finding] = verify_checkpoint(database, altered, KEY.public_key())
    assert "altered, or signed with another key" in finding.problem


def test_a_checkpoint_signed_by_somebody_else_is_not_believed(database: Database) -> None:
    forged = create_checkpoint(database, Ed25519PrivateKey.generate(), NOW)
    [finding] = verify_checkpoint(database, forged, KEY.public_key())
    assert "altered, or signed with another key" in finding.problem


@pytest.mark.parametrize("text", ["", "no JSON", "{}", '{"format": "ghl-snapshots checkpoint 2"}'])
def test_a_text_that_is_no_checkpoint_is_said_to_be_none(database: Database, text: str) -> None:
    with pytest.raises(ConfigurationError, match="This is no checkpoint"):
        list(verify_checkpoint(database, text, KEY.public_key()))


def test_a_new_key_signs_and_verifies(database: Database) -> None:
    private, public = new_key()
    checkpoint = create_checkpoint(database, private_key(private), NOW)
    for pem in (public, private):
        assert list(verify_checkpoint(database, checkpoint, public_key(pem))) == []


@pytest.mark.parametrize(
    "pem", [b"", b"rubbish", b"-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----"]
)
def test_a_wrong_key_is_refused_without_being_quoted(pem: bytes) -> None:
    for read in (private_key, public_key):
        with pytest.raises(ConfigurationError, match="no Ed25519") as refused:
            read(pem)
        assert "secret" not in str(refused.value)
