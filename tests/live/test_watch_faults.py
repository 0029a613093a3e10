"""What may go wrong while watching: each is one clear line, an event in the store, and not the end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner
from live_server import Proxy

from aurora_analysis.cli import main
from aurora_analysis.engines.mysql.live import Probe
from aurora_analysis.lab import server
from aurora_analysis.live.watch import Watch
from aurora_analysis.store import Store

pytestmark = pytest.mark.real

START = 1_800_000_000


class Clock:
    """Ticks and the monotonic time that belongs to them; the two part where a test sets the clock."""

    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> float:
        return self.passed

    def tick(self, seconds: float = 1.0) -> int:
        """The time so many seconds later."""
        self.passed += seconds
        return START + int(self.passed)


def watching(store: Store | None, clock: Clock, **addresses: Proxy) -> Watch:
    """A watch through proxies, by role."""
    probes = [Probe(proxy.engine(), f"lab-{role}", role) for role, proxy in addresses.items()]
    return Watch(probes, store, cluster="lab", every_s=1, monotonic=clock)


def events(store: Store) -> list[tuple[str, str]]:
    """Instance and category of each."""
    rows = store.read("events", cluster="lab")
    return list(zip(rows["instance"].fillna("watch"), rows["category"]))


def test_a_connection_that_is_reset_is_made_again(real_server, tmp_path):
    """One line for the loss and one for the return, however long it lasts; the gap is in the coverage."""
    store, clock = Store(tmp_path), Clock()
    with Proxy(real_server.port) as proxy:
        found = watching(store, clock, writer=proxy)
        assert found.round(clock.tick()).writer
        proxy.reset()
        assert found.round(clock.tick()).writer is None
        (line,) = found.news()
        assert "lab-writer: connection lost, " in line
        assert "\n" not in line
        assert found.round(clock.tick()).writer
        assert found.news() == ["08:00:03 UTC  lab-writer: connection, the instance answers again"]
        found.close()
    assert events(store) == [("lab-writer", "connection lost"), ("lab-writer", "connection")]
    covered = store.read("coverage", cluster="lab").query("table == 'metrics'")
    assert covered[["expected", "received"]].to_numpy().tolist() == [[3, 2]]


def test_an_instance_that_is_silent_does_not_hold_up_the_others(real_server):
    """Taken for lost after its time is up, and then left alone for ten times as long."""
    with Proxy(real_server.port) as good, Proxy(real_server.port) as silent:
        probes = [Probe(one.engine(), name, name) for name, one in (("writer", good), ("reader", silent))]
        found = Watch(probes, None, cluster="lab", every_s=1)
        found.round(int(time.time()))
        silent.silent = True
        began = time.monotonic()
        for _ in range(4):
            assert found.round(int(time.time())).writer
        assert time.monotonic() - began < 4  # its 2 s once, not each time
        silent.silent = False
        found.close()
    assert [line for line in found.news() if "reader" in line and "lost" in line]


def test_a_server_that_is_killed_and_restarted_is_a_gap_and_told(mariadbd, tmp_path):
    """SIGKILL, refused connections, crash recovery: the watch goes on, and a count that began anew is known."""
    store, clock = Store(tmp_path / "store"), Clock()
    options = {"performance_schema": True}
    with server.running(options) as ours, Proxy(ours.port) as proxy:
        found = watching(store, clock, writer=proxy)
        time.sleep(3)  # longer than the restarted one is up when it is asked
        assert found.round(clock.tick()).writer
        os.kill(ours.pid, signal.SIGKILL)
        for _ in range(3):
            assert found.round(clock.tick()).writer is None
        with server.started(ours.folder, options, port=ours.port):
            assert found.round(clock.tick()).writer
            found.close()
    assert events(store) == [
        ("lab-writer", "connection lost"),
        ("lab-writer", "connection"),
        ("lab-writer", "restart"),
        ("lab-writer", "statistics"),
    ]
    assert len(store.metric("history_list_length", store.span("lab"), cluster="lab")) == 2
    assert store.metric("dml_throughput", store.span("lab"), cluster="lab").empty


def test_roles_that_swap_are_a_failover(mariadbd, tmp_path):
    """The reader is promoted, the writer comes back read only: who may write is what the instances say of themselves."""
    clean = {"innodb_fast_shutdown": 1}
    store, clock = Store(tmp_path / "store"), Clock()
    with ExitStack() as folders, ExitStack() as servers:
        first = folders.enter_context(server.running(clean))
        os.kill(first.pid, signal.SIGTERM)
        _gone(first)
        one, two = first.folder, tmp_path / "two"
        shutil.copytree(one / "data", two / "data")
        writer = servers.enter_context(server.started(one, clean))
        reader = servers.enter_context(server.started(two, {**clean, "innodb_read_only": True}))
        proxies = [folders.enter_context(Proxy(each.port)) for each in (writer, reader)]
        found = watching(store, clock, writer=proxies[0], reader=proxies[1])
        assert found.round(clock.tick()).writer.instance == "lab-writer"
        servers.close()
        assert found.round(clock.tick()).writer is None
        found.news()
        proxies[0].target = servers.enter_context(
            server.started(one, {**clean, "innodb_read_only": True})
        ).port
        proxies[1].target = servers.enter_context(server.started(two, clean)).port
        assert found.round(clock.tick()).writer.instance == "lab-reader"
        told = "\n".join(found.news())
        assert "lab-writer: failover, the reader now" in told
        assert "lab-reader: failover, the writer now" in told
        found.close()
    roles = store.read("instances", cluster="lab")
    assert roles.groupby("instance")["role"].agg(list).to_dict() == {
        "lab-reader": ["reader", "writer"],
        "lab-writer": ["writer", "reader"],
    }


def _gone(ours: server.Server) -> None:
    deadline = time.monotonic() + 20
    while (ours.folder / "pid").exists() and time.monotonic() < deadline:
        time.sleep(0.05)


def test_a_clock_that_is_set_is_told_and_no_rate_crosses_it(real_server, tmp_path):
    """Forward: a gap, and no slope across it. Back: shown but not stored, for those seconds are told already."""
    store, clock = Store(tmp_path), Clock()
    with Proxy(real_server.port) as proxy:
        found = watching(store, clock, writer=proxy)
        for _ in range(3):
            found.round(clock.tick())
        for _ in range(2):
            found.round(clock.tick() + 3600)
        assert found.news() == ["08:00:03 UTC  watch: clock, it was set forward by 3,600 s"]
        found.round(clock.tick())
        assert found.news() == [
            "09:00:05 UTC  watch: clock, it was set back by 3,600 s, nothing is stored before 09:00:06"
        ]
        found.round(clock.tick())
        assert found.purge().slope is not None
        found.close()
    stored = store.metric("history_list_length", store.span("lab"), cluster="lab")
    assert [moment.strftime("%H:%M:%S") for moment in stored.index] == [
        "08:00:01",
        "08:00:02",
        "08:00:03",
        "09:00:04",
        "09:00:05",
    ]
    rates = store.metric("dml_throughput", store.span("lab"), cluster="lab")
    assert [moment.strftime("%H:%M:%S") for moment in rates.index] == ["08:00:02", "08:00:03", "09:00:05"]
    assert events(store) == [("watch", "clock")] * 2


@pytest.fixture
def own_mounts():
    """The command that gives a program mounts of its own, also where we are not root."""
    command = ["unshare", "--user", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*command, "true"], check=False).returncode:
        if os.environ.get("AURORA_ANALYSIS_REQUIRE_ALL"):
            pytest.fail("no mount namespace may be made here: allow unprivileged user namespaces")
        pytest.skip("no mount namespace may be made here")
    return command


def test_a_store_whose_disk_is_full_waits(real_server, own_mounts, tmp_path):
    """One line; nothing half-written; what was seen meanwhile is written when there is room again."""
    script = Path(__file__).parent.parent / "full_disk.py"
    done = subprocess.run(
        [*own_mounts, sys.executable, script, real_server.socket, tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.split("\n")
    assert "stored: 2" in said
    assert "stored while full: 2" in said
    assert "stored at last: 7" in said
    assert "coverage: [[7.0, 7.0]]" in said
    (full,) = [line for line in said if "what is seen waits" in line]
    assert "watch: store, what is seen waits: Cannot write " in full
    assert full.endswith("No space left on device (os error 28)")
    assert sum("written again" in line for line in said) == 1


def test_a_store_that_cannot_be_written_at_the_end_is_said_by_the_command(real_server, tmp_path):
    """One line, exit code 1; the table was shown all the same."""
    (tmp_path / "metrics").write_text("a file where a table would be")
    given = ["--writer", f"mysql://root@/?unix_socket={real_server.socket}", "--store", str(tmp_path)]
    done = CliRunner().invoke(main, ["watch", *given, "--every", "1s", "--for", "0.9s"])
    assert done.exit_code == 1, done.output
    assert "history list" in done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("aurora-analysis: Cannot ")
    assert "is lost. Make room there, or name another --store." in line
