"""A private PostgreSQL primary and its hot standby start, and always end."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
from lab_processes import ends, is_running

pytestmark = pytest.mark.real

HOLDER = """
import time
from aurora_analysis.lab import postgresql
with postgresql.running() as pair:
    print(pair.primary.pid, pair.standby.pid, pair.primary.folder.parent, flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs prctl, which only Linux has")
def test_both_servers_die_with_a_parent_that_is_killed(postgresql_programs):
    """SIGKILL leaves no time to clean up; the kernel ends both, also if they run as another user."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    *pids, folder = process.stdout.readline().split()
    assert all(is_running(int(pid)) for pid in pids)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    assert all(ends(int(pid)) for pid in pids)
    subprocess.run(["rm", "-rf", folder], check=True)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs prctl, which only Linux has")
def test_a_killed_recorder_leaves_no_process(postgresql_programs, tmp_path):
    """Neither a server nor a process of its sessions, also if it is killed before its load begins."""
    command = [sys.executable, "-m", "aurora_analysis", "lab", "record", "--engine", "postgresql"]
    with subprocess.Popen([*command, "--minutes", "4", "--store", str(tmp_path / "store")]) as recorder:
        try:
            deadline, started = time.monotonic() + 60, children(recorder.pid)
            while len(started) < 3 and time.monotonic() < deadline:
                time.sleep(0.1)
                started = children(recorder.pid)
        finally:
            recorder.kill()
    assert len(started) >= 3, "two processes of sessions, and a server"
    assert all(ends(pid, within_s=30) for pid in started)  # initdb may be at work, and ends by itself


def children(pid: int) -> list[int]:
    """Processes that a process has started and that live, without multiprocessing's tracker, which ends by itself."""
    found = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(line.split()[0]) for line in found.stdout.splitlines() if "resource_tracker" not in line]
