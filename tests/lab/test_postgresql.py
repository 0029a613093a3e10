"""A private PostgreSQL primary and its hot standby start, and always end."""

from __future__ import annotations

import signal
import subprocess
import sys

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
