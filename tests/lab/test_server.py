"""A private server starts, answers, and always ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy
from lab_processes import ends, is_running

from aurora_analysis.errors import NotEnabled
from aurora_analysis.lab import server

pytestmark = pytest.mark.real

HOLDER = """
import time
from aurora_analysis.lab import server
with server.running() as ours:
    print(ours.pid, ours.folder, flush=True)
    time.sleep(60)
"""


def holder() -> tuple[subprocess.Popen[str], int, Path]:
    """A process that holds a server, the server's pid, and its folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    pid, folder = process.stdout.readline().split()
    return process, int(pid), Path(folder)


def test_a_server_answers_and_is_gone_after_the_block(mariadbd):
    """It runs with our options in its own folder, bound to loopback; afterwards process and folder are gone."""
    with server.running({"long_query_time": 0.25, "slow_query_log": True}) as ours:
        with ours.engine().connect() as connection:
            query = sqlalchemy.text("SELECT @@long_query_time, @@slow_query_log, @@bind_address, @@port")
            assert tuple(connection.execute(query).one()) == (0.25, 1, "127.0.0.1", ours.port)
        assert is_running(ours.pid)
    assert not is_running(ours.pid)
    assert not ours.folder.exists()


def test_a_server_ends_with_an_exception(mariadbd):
    """Whatever goes wrong inside, the server ends."""
    with pytest.raises(ZeroDivisionError), server.running() as ours:
        raise ZeroDivisionError
    assert not is_running(ours.pid)


def test_a_crash_is_named_instead_of_what_it_breaks(mariadbd):
    """A client sees a lost connection only; the server's log says why."""
    with (
        pytest.raises(server.Ended, match=r"exit code -6\): .*got signal 6"),
        server.running() as ours,
        ours.connect() as connection,
        connection.cursor() as cursor,
    ):
        os.kill(ours.pid, signal.SIGABRT)
        cursor.execute("SELECT SLEEP(20)")


def test_sigterm_ends_the_server_and_removes_its_folder(mariadbd):
    """As Ctrl-C does, which test_record checks."""
    process, pid, folder = holder()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert not is_running(pid)
    assert not folder.exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs prctl, which only Linux has")
def test_the_server_dies_with_a_parent_that_is_killed(mariadbd):
    """SIGKILL leaves no time to clean up; the kernel ends the server."""
    process, pid, folder = holder()
    process.kill()
    process.communicate(timeout=20)
    assert ends(pid)
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_a_missing_server_is_one_line_that_names_the_package(monkeypatch, tmp_path):
    """The message has the command that installs it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(server, "PLACES", ())
    with pytest.raises(NotEnabled, match="apt-get install mariadb-server") as raised:
        server.find()
    assert "\n" not in str(raised.value)


def test_a_server_that_does_not_start_reports_why(mariadbd):
    """With the last line of its own log, without waiting for a time-out."""
    with pytest.raises(server.Error, match="did not start: .+"), server.running({"no_such_option": 1}):
        pass
