"""When a process counts as ended."""

import subprocess
import sys

import psutil

from ghl_snapshots.local.endings import wait_for_end


def test_a_process_that_nobody_has_collected_has_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        process = psutil.Process(child.pid)
        assert not wait_for_end([process], timeout_seconds=60)
        assert process.status() == psutil.STATUS_ZOMBIE


def test_what_still_runs_at_the_timeout_is_returned() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        process = psutil.Process(child.pid)
        assert wait_for_end([process], timeout_seconds=0) == [process]
