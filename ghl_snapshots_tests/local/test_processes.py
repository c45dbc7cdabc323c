"""The children of `ghl-snapshots dev` end with it, however it ends."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.signals import ended_by_signals
from ghl_snapshots.local.processes import Processes, Record
from ghl_snapshots_tests.local.interrupted_start import SLEEPER, interrupt_start
from ghl_snapshots_tests.waiting import eventually

pytestmark = pytest.mark.slow

SUPERVISOR_THAT_IS_KILLED = """
import os, signal, sys
from pathlib import Path
from ghl_snapshots.local.processes import Processes, Record
with Record(Path(sys.argv[1])) as record, Processes(record) as processes:
    processes.start("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"], os.environ)
    print(processes._children["sleeper"].pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""

SUPERVISOR_OF_SPEAKERS = """
import os, sys, time
from pathlib import Path
from ghl_snapshots.local.processes import Processes, Record
breaking_off = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit('why'));"
breaking_off += "open(sys.argv[1], 'w').close(); signal.pause()"
with Record(Path(sys.argv[1])) as record, Processes(record) as processes:
    processes.start("failed", [sys.executable, "-c", "print('last line')"], os.environ).wait()
    processes.print_output("failed")
    processes.start("broken off", [sys.executable, "-c", breaking_off, sys.argv[2]], os.environ)
    while not Path(sys.argv[2]).exists():
        time.sleep(0.05)
"""

# Ends a while after it was asked to, as a run does whose token exchange is under way.
EXCHANGING = """
import signal, sys
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
open(sys.argv[1], "w").close()
while not ended:
    signal.pause()
open(sys.argv[2]).read()
open(sys.argv[3], "w").close()
"""
RUN_LAUNCHER = """
import signal, subprocess, sys
subprocess.Popen([sys.executable, "-c", sys.argv[1], *sys.argv[2:]])
signal.pause()
"""


def is_running(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits to be collected does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_children_print_is_passed_on_until_they_are_ended(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SUPERVISOR_OF_SPEAKERS, tmp_path / "record", tmp_path / "up"],
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == b"last line\n"
    assert (tmp_path / "last_words.log").read_bytes() == b"why\n"


def test_children_end_when_the_group_ends(tmp_path: Path) -> None:
    with Record(tmp_path / "record") as record, Processes(record) as processes:
        processes.start("sleeper", SLEEPER, os.environ)
        ((child, _created),) = json.loads((tmp_path / "record").read_text())
        assert is_running(child)
    assert not is_running(child)


def test_a_run_with_a_token_exchange_under_way_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Killing it between GHL's answer and the commit would lose an account."""
    monkeypatch.setattr("ghl_snapshots.local.processes._GRACE_SECONDS", 0.5)
    monkeypatch.setattr(logging.getLogger("ghl_snapshots"), "propagate", True)
    started, answer, stored = tmp_path / "started", tmp_path / "answer", tmp_path / "stored"
    os.mkfifo(answer)
    with Record(tmp_path / "record") as record, Processes(record) as processes:
        command = [sys.executable, "-c", RUN_LAUNCHER, EXCHANGING, str(started), str(answer), str(stored)]
        processes.start("launcher", command, os.environ)
        eventually(started.exists, "the run is under way")

        def answers() -> None:
            eventually(lambda: "token exchange" in caplog.text, "the supervisor says what it waits for")
            answer.write_text("")

        ghl = threading.Thread(target=answers)
        ghl.start()
    ghl.join()
    assert stored.exists()
    assert "Waiting up to 60 s for a token exchange that may be under way" in caplog.text


def test_a_process_that_does_not_end_is_killed_after_the_time_of_an_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_GRACE_SECONDS", "EXCHANGE_SECONDS"):
        monkeypatch.setattr(f"ghl_snapshots.local.processes.{name}", 0.5)
    deaf = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: None); open(sys.argv[1], 'w')\n"
    deaf += "while True: signal.pause()"
    with Record(tmp_path / "record") as record, Processes(record) as processes:
        child = processes.start("deaf", [sys.executable, "-c", deaf, str(tmp_path / "up")], os.environ)
        eventually((tmp_path / "up").exists, "it is up")
    assert not is_running(child.pid)


def test_a_signal_in_the_middle_of_a_start_leaves_no_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes when the child runs, and before the supervisor knows of it."""
    children = interrupt_start(monkeypatch, signal.SIGTERM)
    with (
        ended_by_signals(),
        pytest.raises(KeyboardInterrupt),
        Record(tmp_path / "record") as record,
        Processes(record) as processes,
    ):
        processes.start("sleeper", SLEEPER, os.environ)
    assert not is_running(children[0].pid)


def test_a_second_signal_does_not_break_off_the_end(tmp_path: Path) -> None:
    """The child ends when that signal has come."""
    slow = "import os, signal, sys, time\n"
    slow += (
        "def end(*_):\n open(sys.argv[1], 'w')\n while not os.path.exists(sys.argv[2]): time.sleep(0.01)\n"
    )
    slow += " sys.exit()\nsignal.signal(signal.SIGTERM, end); open(sys.argv[3], 'w'); signal.pause()"
    asked, sent, up = tmp_path / "asked", tmp_path / "sent", tmp_path / "up"
    children = []

    def is_impatient() -> None:
        eventually(asked.exists, "the child is asked to end")
        os.kill(os.getpid(), signal.SIGINT)
        sent.touch()

    user = threading.Thread(target=is_impatient)

    def supervise() -> None:
        with ended_by_signals(), Record(tmp_path / "record") as record, Processes(record) as processes:
            command = [sys.executable, "-c", slow, str(asked), str(sent), str(up)]
            children.append(processes.start("slow", command, os.environ))
            eventually(up.exists, "it is up")
            user.start()
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        supervise()
    user.join()
    assert children[0].returncode == 0
    assert json.loads((tmp_path / "record").read_text()) == []


def test_the_children_end_also_where_the_home_folder_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    with Record(folder / "record") as record, Processes(record) as processes:
        child = processes.start("sleeper", SLEEPER, os.environ)
        shutil.rmtree(folder)
    assert not is_running(child.pid)


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
