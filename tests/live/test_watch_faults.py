"""Faults during a watch: each gives one clear line and an event, and the watch goes on."""

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
import sqlalchemy
from click.testing import CliRunner
from live_server import Proxy

from aurora_analysis import engines
from aurora_analysis.cli import main
from aurora_analysis.engines.mysql.live import Probe
from aurora_analysis.lab import server
from aurora_analysis.live.watch import Watch
from aurora_analysis.store import Store

pytestmark = pytest.mark.real

START = 1_800_000_000


class Clock:
    """A monotonic clock with matching ticks; a test that sets the system clock adds to the ticks only."""

    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> float:
        return self.passed

    def tick(self, seconds: float = 1.0) -> int:
        """Advance and return the tick."""
        self.passed += seconds
        return START + int(self.passed)


def watching(store: Store | None, clock: Clock, **addresses: Proxy) -> Watch:
    """A watch through proxies, by role."""
    probes = [Probe(proxy.engine(), f"lab-{role}", role) for role, proxy in addresses.items()]
    return Watch(probes, store, cluster="lab", every_s=1, monotonic=clock)


def events(store: Store) -> list[tuple[str, str]]:
    """Instance and category of each event."""
    rows = store.read("events", cluster="lab")
    return list(zip(rows["instance"].fillna("watch"), rows["category"]))


def test_a_reset_connection_is_reopened(real_server, tmp_path):
    """One line for the loss and one for the return; the gap shows in the coverage."""
    store, clock = Store(tmp_path), Clock()
    with Proxy(real_server.port) as proxy:
        found = watching(store, clock, writer=proxy)
        assert found.sample(clock.tick()).writer
        proxy.reset()
        assert found.sample(clock.tick()).writer is None
        (line,) = found.new_events()
        assert "lab-writer: connection lost, " in line
        assert "\n" not in line
        assert found.sample(clock.tick()).writer
        assert found.new_events() == ["08:00:03 UTC  lab-writer: connection, the instance answers again"]
        found.close()
    assert events(store) == [("lab-writer", "connection lost"), ("lab-writer", "connection")]
    covered = store.read("coverage", cluster="lab").query("table == 'metrics'")
    assert covered[["expected", "received"]].to_numpy().tolist() == [[3, 2]]


def test_a_silent_instance_does_not_delay_the_others(real_server):
    """It counts as lost after its time-out, and then the watch backs off for ten times as long."""
    with Proxy(real_server.port) as good, Proxy(real_server.port) as silent:
        probes = [Probe(one.engine(), name, name) for name, one in (("writer", good), ("reader", silent))]
        found = Watch(probes, None, cluster="lab", every_s=1)
        found.sample(int(time.time()))
        silent.silent = True
        began = time.monotonic()
        for _ in range(4):
            assert found.sample(int(time.time())).writer
        assert time.monotonic() - began < 4  # its time-out of 2 s once, not each time
        silent.silent = False
        found.close()
    assert [line for line in found.new_events() if "reader" in line and "lost" in line]


def test_a_killed_and_restarted_server_is_a_gap_with_events(mariadbd, tmp_path):
    """SIGKILL, refused connections, crash recovery: the watch goes on and notices that counters were reset."""
    store, clock = Store(tmp_path / "store"), Clock()
    options = {"performance_schema": True}
    with server.running(options) as ours, Proxy(ours.port) as proxy:
        found = watching(store, clock, writer=proxy)
        time.sleep(3)  # longer than the restarted server is up at its first sample
        assert found.sample(clock.tick()).writer
        os.kill(ours.pid, signal.SIGKILL)
        for _ in range(3):
            assert found.sample(clock.tick()).writer is None
        with server.started(ours.folder, options, port=ours.port):
            assert found.sample(clock.tick()).writer
            found.close()
    assert events(store) == [
        ("lab-writer", "connection lost"),
        ("lab-writer", "connection"),
        ("lab-writer", "restart"),
        ("lab-writer", "statistics"),
    ]
    assert len(store.metric("history_list_length", store.span("lab"), cluster="lab")) == 2
    assert store.metric("dml_throughput", store.span("lab"), cluster="lab").empty


def test_swapped_roles_are_a_failover(mariadbd, tmp_path):
    """The reader is promoted, the writer returns read only: roles come from the instances themselves."""
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
        assert found.sample(clock.tick()).writer.instance == "lab-writer"
        servers.close()
        assert found.sample(clock.tick()).writer is None
        found.new_events()
        proxies[0].target = servers.enter_context(
            server.started(one, {**clean, "innodb_read_only": True})
        ).port
        proxies[1].target = servers.enter_context(server.started(two, clean)).port
        assert found.sample(clock.tick()).writer.instance == "lab-reader"
        lines = "\n".join(found.new_events())
        assert "lab-writer: failover, now the reader" in lines
        assert "lab-reader: failover, now the writer" in lines
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


def test_a_step_of_the_clock_is_an_event_and_no_rate_spans_it(real_server, tmp_path):
    """Forward: a gap without a slope. Back: samples are shown but not stored, those seconds are covered already."""
    store, clock = Store(tmp_path), Clock()
    with Proxy(real_server.port) as proxy:
        found = watching(store, clock, writer=proxy)
        for _ in range(3):
            found.sample(clock.tick())
        for _ in range(2):
            found.sample(clock.tick() + 3600)
        assert found.new_events() == ["08:00:03 UTC  watch: clock, it was set forward by 3,600 s"]
        found.sample(clock.tick())
        assert found.new_events() == [
            "09:00:05 UTC  watch: clock, it was set back by 3,600 s; nothing is stored before 09:00:06"
        ]
        found.sample(clock.tick())
        assert found.purge_status().slope is not None
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
    """Command prefix that gives a program its own mount namespace, also without root."""
    command = ["unshare", "--user", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*command, "true"], check=False).returncode:
        if os.environ.get("AURORA_ANALYSIS_REQUIRE_ALL"):
            pytest.fail("no mount namespace may be made here: allow unprivileged user namespaces")
        pytest.skip("no mount namespace may be made here")
    return command


def test_samples_wait_while_the_disk_is_full(real_server, own_mounts, tmp_path):
    """One line; nothing is half-written, and the samples are written once there is space."""
    script = Path(__file__).parent.parent / "full_disk.py"
    done = subprocess.run(
        [*own_mounts, sys.executable, script, real_server.socket, tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split("\n")
    assert "stored: 2" in lines
    assert "stored while full: 2" in lines
    assert "stored at last: 7" in lines
    assert "coverage: [[7.0, 7.0]]" in lines
    (full,) = [line for line in lines if "samples wait" in line]
    assert full.endswith(
        f"watch: store, samples wait: Cannot write into {tmp_path}/store: No space left on device"
    )
    assert sum("can be written again" in line for line in lines) == 1


def test_the_command_reports_a_store_it_could_not_write(real_server, tmp_path):
    """One line and exit code 1; the status was shown nevertheless."""
    (tmp_path / "metrics").write_text("a file where a table would be")
    given = ["--writer", f"mysql://root@/?unix_socket={real_server.socket}", "--store", str(tmp_path)]
    done = CliRunner().invoke(main, ["watch", *given, "--every", "1s", "--for", "0.9s"])
    assert done.exit_code == 1, done.output
    assert "history list" in done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("aurora-analysis: Cannot ")
    assert "wait on this disk. Make the store writable, and run the same command again" in line
    (tmp_path / "metrics").unlink()
    again = CliRunner().invoke(main, ["watch", *given, "--every", "1s", "--for", "0.9s"])
    assert (again.exit_code, "samples that a killed watch left are stored" in again.stdout) == (0, True)


@pytest.mark.parametrize("engine", ["mysql", "postgresql"])
def test_a_watch_ends_on_a_connection_that_is_out_of_step(engine):
    """The answer of a silent server arrives while the connection closes: that is no error of the watch."""

    class OutOfStep:
        def close(self) -> None:
            raise sqlalchemy.exc.InternalError("", {}, Exception("Packet sequence number wrong"))

    probe = engines.module(engine, "live").Probe(sqlalchemy.create_engine("sqlite://"), "shop-1", "shop-1")
    probe._connection = OutOfStep()
    probe.close()
    assert probe._connection is None
