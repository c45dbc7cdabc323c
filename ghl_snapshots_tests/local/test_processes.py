"""The children of `ghl-snapshots dev` end with it, however it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.custody.custodian import COMMAND
from ghl_snapshots.local.processes import Processes, Record
from ghl_snapshots_tests.end_to_end.stack import eventually

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
SUPERVISOR_THAT_IS_KILLED = """
import os, signal, sys
from pathlib import Path
from ghl_snapshots.local.processes import Processes, Record
with Record(Path(sys.argv[1])) as record, Processes(record) as processes:
    processes.start("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"], os.environ)
    print(processes._children["sleeper"].pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""

# The interpreter by another name than ours, as another program may have started its runs.
CAPTURE = """
import os, signal, subprocess, sys
from ghl_snapshots.custody.custodian import COMMAND
interpreter = os.path.join(os.path.dirname(sys.executable), ".", os.path.basename(sys.executable))
subprocess.Popen((interpreter, *COMMAND[1:]), stdin=open(sys.argv[1]), start_new_session=True)
signal.pause()
"""


def is_running(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits to be collected does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_children_end_when_the_group_ends(tmp_path: Path) -> None:
    with Record(tmp_path / "record") as record, Processes(record) as processes:
        processes.start("sleeper", SLEEPER, os.environ)
        ((child, _created),) = json.loads((tmp_path / "record").read_text())
        assert is_running(child)
    assert not is_running(child)


def test_the_custodian_of_a_refresh_token_is_left_to_end_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killing it before it has stored GHL's answer would lose an account."""
    monkeypatch.setattr("ghl_snapshots.local.processes._GRACE_SECONDS", 0.5)
    errand = tmp_path / "errand"
    os.mkfifo(errand)
    with Record(tmp_path / "record") as record, Processes(record) as processes:
        child = processes.start("capture", [sys.executable, "-c", CAPTURE, str(errand)], os.environ)
        with errand.open("wb"):
            (custodian,) = eventually(psutil.Process(child.pid).children, "the custodian runs")
            eventually(lambda: tuple(custodian.cmdline()[1:]) == COMMAND[1:], "it is what it is to become")
            processes.__exit__(None, None, None)
            assert child.poll() is not None
            assert is_running(custodian.pid)
        # It is told nothing, and so it does nothing.
        custodian.wait(60)


def test_what_a_killed_supervisor_left_behind_ends_at_the_next_start(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SUPERVISOR_THAT_IS_KILLED, str(tmp_path / "record")]
    with (tmp_path / "output").open("w") as output:
        assert subprocess.run(command, stdout=output, check=False).returncode == -signal.SIGKILL
    orphan = int((tmp_path / "output").read_text())
    assert is_running(orphan)
    with Record(tmp_path / "record"):
        assert not is_running(orphan)


def test_a_recorded_process_id_that_now_belongs_to_another_program_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(SLEEPER) as bystander:
        (tmp_path / "record").write_text(f"[[{bystander.pid}, 1.0]]")
        with Record(tmp_path / "record"):
            assert is_running(bystander.pid)
        bystander.kill()


def test_an_ended_child_is_named_with_its_exit_code(tmp_path: Path) -> None:
    with Record(tmp_path / "record") as record, Processes(record) as processes:
        processes.start("sleeper", SLEEPER, os.environ)
        assert processes.ended() is None
        processes.start("failing", [sys.executable, "-c", "raise SystemExit(3)"], os.environ)
        while (ended := processes.ended()) is None:
            time.sleep(0.01)
        assert ended == ("failing", 3)


def test_a_second_group_with_the_same_record_is_refused_and_leaves_the_first_alone(tmp_path: Path) -> None:
    with Record(tmp_path / "record") as record, Processes(record) as first:
        first.start("sleeper", SLEEPER, os.environ)
        with pytest.raises(ConfigurationError, match="running already from"):
            Record(tmp_path / "record").__enter__()
        assert first.ended() is None
