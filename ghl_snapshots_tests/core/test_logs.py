"""Log lines: one JSON object each where a machine reads them, and readable on a terminal."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

LOGS = """
import logging, sys
from ghl_snapshots.core.logs import {configure}
{before}
{configure}()
own = logging.getLogger("ghl_snapshots.ledger.audit")
own.debug("too much")
fields = {{"correlation_id": "c-1", "tenant_id": "acme", "snapshot_type": "workflows"}}
own.info("ghl_snapshot_capture", extra=fields)
try:
    1 / 0
except ZeroDivisionError:
    own.exception("failed")
logging.getLogger("uvicorn.error").info("started", extra={{"color_message": "x"}})
logging.getLogger("somebody").warning("else")
"""
CAPTURE = {"correlation_id": "c-1", "tenant_id": "acme", "snapshot_type": "workflows", "level": "info"}


def program(configure: str, before: str = "") -> list[str]:
    return [sys.executable, "-c", LOGS.format(configure=configure, before=before)]


@pytest.mark.parametrize("configure", ["configure_logs", "configure_own_logs"])
def test_each_line_is_a_json_object_with_the_fields_of_its_operation(configure: str) -> None:
    done = subprocess.run(program(configure), check=True, capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    captured, failed = (line for line in lines if line["logger"].startswith("ghl_snapshots"))
    assert captured.items() >= {**CAPTURE, "event": "ghl_snapshot_capture"}.items()
    assert captured["timestamp"].endswith("Z")
    assert "ZeroDivisionError" in failed["exception"]


def test_a_process_of_ours_tells_of_its_server_and_of_warnings_too() -> None:
    done = subprocess.run(program("configure_logs"), check=True, capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["logger"], line["event"]) for line in lines[2:]] == [
        ("uvicorn.error", "started"),
        ("somebody", "else"),
    ]
    assert "color_message" not in lines[2]
    assert done.stderr == ""


def test_in_somebody_elses_process_only_our_lines_are_ours_and_are_told_once() -> None:
    before = "logging.basicConfig(stream=sys.stderr, level=logging.INFO, format='theirs %(message)s')"
    done = subprocess.run(program("configure_own_logs", before), check=True, capture_output=True, text=True)
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == "theirs started\ntheirs else\n"


def test_on_a_terminal_lines_are_for_people() -> None:
    ours, theirs = pty.openpty()
    subprocess.run(program("configure_logs"), check=True, stdout=theirs)
    os.close(theirs)
    text = b"".join(iter(lambda: _read(ours), b"")).decode()
    os.close(ours)
    first = text.splitlines()[0]
    assert "ghl_snapshot_capture" in first
    assert "acme" in first
    assert "workflows" in first
    assert not first.startswith("{")
    assert "ZeroDivisionError" in text


def test_what_dagster_has_a_process_print_into_a_file_has_no_colours(tmp_path: Path) -> None:
    """Of `ghl-snapshots dev` in a terminal, which says so to the processes that it reads from."""
    into_file = f"import os; os.dup2(os.open({str(tmp_path / 'log')!r}, os.O_CREAT | os.O_WRONLY), 1)"
    configured, captured = LOGS.format(configure="configure_own_logs", before="").split("own =", 1)
    script = f"{configured}\nlogging.getLogger('ghl_snapshots').info('up')\n{into_file}\nown ={captured}"
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        env={**os.environ, "FORCE_COLOR": "1"},
    )
    assert b"\x1b[" in done.stdout
    assert [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()] == [
        "ghl_snapshot_capture",
        "failed",
    ]


def _read(terminal: int) -> bytes:
    """What is left to read; a terminal whose other end is closed fails instead of ending."""
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""
