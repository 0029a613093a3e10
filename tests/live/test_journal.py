"""A killed watch loses only the sample in flight: the next one stores what it left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from live_server import written_to

from aurora_analysis.cli import main
from aurora_analysis.engines.mysql.live import Probe
from aurora_analysis.live.journal import Entry, Journal
from aurora_analysis.live.watch import Watch
from aurora_analysis.store import Store

START = 1_800_000_000


def entry(number: int) -> Entry:
    """A sample with a time, a missing value, and a table without rows."""
    rows = pd.DataFrame(
        {"time": [pd.Timestamp(START + number, unit="s", tz="UTC").as_unit("us")], "value": [None]}
    )
    return Entry(START + number, 1.0, number != 1, {"metrics": rows, "events": rows[:0]})


def left(folder: Path) -> list[Entry]:
    return [one for _, entries in Journal(folder).left() for one in entries]


def killed(folder: Path, *entries: Entry) -> Path:
    """The file of a run that did not end by itself."""
    journal = Journal(folder)
    for one in entries:
        journal.append(one)
    assert left(folder) == []  # it still runs: its file is locked
    journal._file.close()
    return next(folder.glob("*.samples"))


def test_samples_come_back_as_they_were(tmp_path):
    """Times, missing values, empty tables, and whether the writer answered."""
    killed(tmp_path / "a", entry(0), entry(1))
    first, second = left(tmp_path / "a")
    assert [one[:3] for one in (first, second)] == [(START, 1.0, True), (START + 1, 1.0, False)]
    pd.testing.assert_frame_equal(first.tables["metrics"], entry(0).tables["metrics"])
    assert second.tables["events"].empty


def test_a_file_that_is_cut_short_loses_its_last_sample_only(tmp_path):
    """Wherever it is cut."""
    path = killed(tmp_path, entry(0), entry(1))
    whole = path.read_bytes()
    one = len(whole) // 2
    for size in (*range(0, len(whole), 97), one - 1, one, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert len(left(tmp_path)) == (size >= one)


def test_an_emptied_journal_leaves_no_file(tmp_path):
    """Nor its folder; a sample after the store has the others begins the file anew."""
    journal = Journal(tmp_path / "a")
    journal.append(entry(0))
    journal.clear()
    journal.append(entry(1))
    journal.clear()
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_samples_in_memory(tmp_path, real_server, monkeypatch):
    """With one event; the store gets them as before."""

    def full(self: Journal, one: Entry) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "append", full)
    probe = Probe(real_server.engine(), "lab-writer", "writer")
    found = Watch(
        [probe], Store(tmp_path / "store"), cluster="lab", every_s=1, journal=Journal(tmp_path / "a")
    )
    for second in range(3):
        found.sample(START + second)
    found.close()
    lines = [line for line in found.new_events() if "memory only" in line]
    assert len(lines) == 1 and "No space left" in lines[0]
    assert (
        len(
            Store(tmp_path / "store").metric(
                "history_list_length", Store(tmp_path / "store").span("lab"), cluster="lab"
            )
        )
        == 3
    )


@pytest.mark.real
def test_a_killed_watch_loses_only_the_sample_in_flight(real_server, tmp_path):
    """Every sample that it printed is in the store after the next watch, once, with its coverage; no literal was on disk."""
    words = [
        sys.executable, "-m", "aurora_analysis", "watch", "--writer", f"mysql://root@/?unix_socket={real_server.socket}",
        "--store", str(tmp_path / "store"), "--every", "1s", "--cluster", "lab",
    ]  # fmt: skip
    secret = "SELECT SLEEP(20), 's3cr' 'et'"
    with written_to(real_server):
        running = subprocess.Popen(
            [sys.executable, "-c", "import sys,pymysql; pymysql.connect(unix_socket=sys.argv[1], user='etl').cursor().execute(sys.argv[2])",
             str(real_server.socket), secret]
        )  # fmt: skip
        with subprocess.Popen([*words, "--for", "1h"], stdout=subprocess.PIPE, text=True) as watching:
            printed = [watching.stdout.readline() for _ in range(5)]
            os.kill(watching.pid, signal.SIGKILL)
        # Two samples of one second are one row: the next watch starts in another second than the last sample.
        time.sleep(1 - time.time() % 1)
        kept = b"".join(path.read_bytes() for path in (tmp_path / "state-home").rglob("*.samples"))
        assert kept and b"s3cr" not in kept
        running.kill()
        running.wait()
        done = CliRunner().invoke(main, [*words[3:], "--for", "0.5s"])
    assert done.exit_code == 0, done.output
    assert "samples that a killed watch left are stored" in done.output
    store = Store(tmp_path / "store")
    times = [
        f"{one:%H:%M:%S}"
        for one in store.metric("history_list_length", store.span("lab"), cluster="lab").index
    ]
    shown = [line[:8] for line in printed]
    assert {*shown} <= {*times} and len(times) == len({*times}) <= len(shown) + 3
    rows = store.read("coverage", cluster="lab").query("table == 'metrics'")
    assert rows["received"].sum() == len(times) <= rows["expected"].sum()
    assert not list((tmp_path / "state-home").rglob("*.samples"))
    assert time.time() - pd.Timestamp(rows["end"].max()).timestamp() < 60
