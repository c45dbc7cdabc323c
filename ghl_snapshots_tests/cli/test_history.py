"""`history` and `entities` answer when an agent's prompt changed, and what there was on a day."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest

from ghl_snapshots.core.model import Entity, RequestRecord, SnapshotType
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots_tests.cli.in_process import InProcess
from ghl_snapshots_tests.ledger.captures import capture

AGENT, LIST = "/conversation-ai/agents/{agentId}", "/conversation-ai/agents/search"
SCHEDULES = "/calendars/schedules/search"
DOCUMENT = Path(__file__).parents[2] / "docs" / "endpoints.md"


def store(
    ledger: Ledger,
    day: int,
    snapshot_type: SnapshotType,
    *found: tuple[str, str, Mapping[str, object]],
    parents: Sequence[str | None] = (),
) -> None:
    """Store a capture of a day in March that found these entities: endpoint, id and content."""
    made = capture(
        bodies=[json.dumps({"id": entity_id, **content}).encode() for _, entity_id, content in found],
        snapshot_type=snapshot_type,
        correlation_id=f"manual_{snapshot_type}_{day}",
        captured_at=datetime(2026, 3, day, 12, tzinfo=UTC),
    )
    entities: list[Entity] = []
    requests: list[RequestRecord] = []
    for number, (entity, (endpoint, entity_id, _)) in enumerate(zip(made.entities, found, strict=True)):
        entities.append(Entity(body=entity.body, endpoint=endpoint, entity_id=entity_id, location_id="l1"))
        parent = parents[number] if parents else None
        request = replace(made.requests[0], endpoint=endpoint, location_id="l1", parent_id=parent)
        requests.append(replace(request, offset=number, count=1))
    ledger.append(replace(made, entities=tuple(entities), requests=tuple(requests)))


@pytest.fixture
def ghl_snapshots(url: str, ledger: Ledger, tmp_path: Path) -> InProcess:
    for day, prompt in ((1, "Be kind."), (2, "Be kind."), (4, "Be quick.")):
        listed = (LIST, "agent1", {"name": "Chat", "updatedAt": day})
        store(ledger, day, SnapshotType.AI_WORKERS, listed, (AGENT, "agent1", {"instructions": prompt}))
    for day, hours in ((2, "09:00"), (5, "10:00")):
        store(
            ledger,
            day,
            SnapshotType.CALENDARS,
            (SCHEDULES, "s1", {"calendarIds": ["cal1"], "from": hours}),
            (SCHEDULES, "s2", {"calendarIds": ["cal2"]}),
            ("/calendars/", "cal1", {"name": "Visits"}),
        )
    return InProcess(home=tmp_path, variables={"GHL_SNAPSHOTS_DATABASE_URL": url})


def test_when_did_this_agents_prompt_change(ghl_snapshots: InProcess) -> None:
    """The list's item changes with each capture, and does not count."""
    done = ghl_snapshots("history", "acme", "agent1", "--endpoint", AGENT)
    assert done.returncode == 0, done.stderr
    rows = [line.split("  ") for line in done.stdout.decode().splitlines()[1:-1]]
    assert [(row[0][:10], row[1][:10]) for row in rows] == [
        ("2026-03-01", "2026-03-02"),
        ("2026-03-04", "2026-03-04"),
    ]
    raw = ghl_snapshots("history", "acme", "agent1", "--endpoint", AGENT, "--raw").stdout.splitlines()
    assert [json.loads(line)["instructions"] for line in raw] == ["Be kind.", "Be quick."]


def test_which_schedules_did_this_calendar_have_on_3_march(ghl_snapshots: InProcess) -> None:
    then = ghl_snapshots("entities", "acme", SCHEDULES, "--as-of", "2026-03-03").stdout.splitlines()
    assert [json.loads(line)["from"] for line in then if b'"cal1"' in line] == ["09:00"]
    assert len(then) == 2
    present = ghl_snapshots("entities", "acme", SCHEDULES).stdout.splitlines()
    assert [json.loads(line)["from"] for line in present if b'"cal1"' in line] == ["10:00"]


def test_the_documented_sql_gives_the_same_answers(url: str, ghl_snapshots: InProcess) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    prompt, schedules = (
        block.replace("AGENT_ID", "agent1").replace("CALENDAR_ID", "cal1").replace("TENANT", "acme")
        for block in text.split("```sql\n")[1:]
    )
    with psycopg.connect(url, options="-c search_path=ghl") as connection:
        changed = connection.execute(prompt.partition("```")[0].encode()).fetchall()
        assert [(row[0].day, row[1].day, row[-1]) for row in changed] == [
            (1, 2, "Be kind."),
            (4, 4, "Be quick."),
        ]
        [[body]] = connection.execute(schedules.partition("```")[0].encode()).fetchall()
    assert json.loads(body)["from"] == "09:00"


def test_an_id_alone_gives_the_contents_of_every_endpoint(ghl_snapshots: InProcess) -> None:
    lines = ghl_snapshots("history", "acme", "agent1", "--json").stdout.splitlines()
    versions = [json.loads(line) for line in lines]
    assert [version["endpoint"] for version in versions] == [LIST] * 3 + [AGENT] * 2
    assert json.loads(versions[-1]["body"])["instructions"] == "Be quick."


def spans(done: CompletedProcess[bytes]) -> list[tuple[str, ...]]:
    """The days of first and last sighting, how many snapshots there are between them, and the parent."""
    rows = [line.split() for line in done.stdout.decode().splitlines()[1:-1]]
    return [(row[0][8:10], row[1][8:10], row[2], row[-1]) for row in rows]


def test_two_calls_that_give_the_same_bytes_have_a_history_each(
    ghl_snapshots: InProcess, ledger: Ledger
) -> None:
    """The bytes are stored once; which calls brought them, and when, each snapshot says."""
    same, own = {"name": "Sales"}, {"name": "Sales", "instructions": "Sell."}
    for day, detail in ((6, same), (7, own), (8, own)):
        listed = (LIST, "agent2", same)
        store(ledger, day, SnapshotType.AI_WORKERS, listed, (AGENT, "agent2", detail))
    assert spans(ghl_snapshots("history", "acme", "agent2", "--endpoint", LIST)) == [("06", "08", "3", "-")]
    assert spans(ghl_snapshots("history", "acme", "agent2", "--endpoint", AGENT)) == [
        ("06", "06", "1", "-"),
        ("07", "08", "2", "-"),
    ]
    documents = ghl_snapshots("history", "acme", "agent2", "--json").stdout.splitlines()
    assert [json.loads(each)["endpoint"] for each in documents] == [LIST, AGENT, AGENT]


def test_one_id_in_several_parents_has_a_history_in_each(ghl_snapshots: InProcess, ledger: Ledger) -> None:
    faq = "/knowledge-bases/faqs"
    for day, answers in ((6, ("Yes", "No")), (7, ("Yes", "Yes"))):
        found = [(faq, "faq1", {"answer": answer}) for answer in answers]
        store(ledger, day, SnapshotType.AI_WORKERS, *found, parents=["kb1", "kb2"])
    done = ghl_snapshots("history", "acme", "faq1")
    assert spans(done) == [("06", "07", "2", "kb1"), ("06", "06", "1", "kb2"), ("07", "07", "1", "kb2")]
    documents = ghl_snapshots("history", "acme", "faq1", "--json").stdout.splitlines()
    assert [json.loads(each)["parentId"] for each in documents] == ["kb1", "kb2", "kb2"]


def test_what_is_not_there_is_named(ghl_snapshots: InProcess) -> None:
    for arguments, code, words in (
        (("history", "acme", "nobody", "--endpoint", AGENT), 1, b"has an entity 'nobody' of /conv"),
        (("history", "acme", "x", "--endpoint", "/nothing"), 2, b"'/nothing' is no endpoint that is capt"),
        (("history", "nobody", "agent1"), 2, b"Unknown tenant 'nobody'"),
        (("entities", "acme", "/workflows/"), 1, b"There is no snapshot of workflows of tenant 'acme'"),
        (("entities", "acme", SCHEDULES, "--as-of", "2026-03-01"), 1, b"captured by 2026-03-01 00:00 UTC"),
    ):
        done = ghl_snapshots(*arguments)
        assert done.returncode == code
        assert words in done.stderr
