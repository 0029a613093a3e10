"""A randomised trial: planned before it begins, limited by the server, and able to find a planted effect."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import live_server
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from live_server import written_to
from machine import Meter
from sqlalchemy import NullPool, create_engine

from aurora_analysis.analysis import experiment as analysis
from aurora_analysis.cli import main
from aurora_analysis.engines.mysql.innodb_status import InnodbStatus
from aurora_analysis.engines.mysql.live import InstanceSample, Probe
from aurora_analysis.engines.mysql.live_rows import Replica
from aurora_analysis.errors import Error
from aurora_analysis.lab import server
from aurora_analysis.lab.server import Server
from aurora_analysis.live import experiment as trials
from aurora_analysis.live.experiment import (
    Baseline,
    Canary,
    Limits,
    QueryRunner,
    Trial,
    TrialOptions,
    WriterLoad,
    limits,
    sessions,
)
from aurora_analysis.live.status import Sample
from aurora_analysis.live.watch import Watch
from aurora_analysis.store import Store
from aurora_analysis.tables import TrialEvent

START = datetime(2026, 11, 23, 11, tzinfo=UTC)
HOLDS_A_VIEW = "SELECT COUNT(*) FROM trial.stock WHERE SLEEP(0.02) = 0"
HOLDS_NOTHING = "SELECT SLEEP(30)"


def schedule(
    run_s: float, washout_s: float, *, seed: int = 7, start: datetime = START, blocks: int = 12
) -> pd.DataFrame:
    planned = trials.Plan(blocks, run_s, washout_s)
    return trials.schedule(planned, start, seed=seed, workload="suspect", trial="t")


# Without a server


def test_two_of_each_four_blocks_are_on_and_the_seed_decides_which():
    """All blocks are drawn before the first one; the washout follows each run, on or off."""
    rows = schedule(60, 30, blocks=12)
    assert [rows["assigned"][n : n + 4].sum() for n in (0, 4, 8)] == [2, 2, 2]
    assert rows["assigned"].tolist() == schedule(60, 30, blocks=12)["assigned"].tolist()
    assert rows["assigned"].tolist() != schedule(60, 30, blocks=12, seed=8)["assigned"].tolist()
    assert set(rows["end"] - rows["time"]) == {timedelta(seconds=60)}
    assert set(rows["time"].diff().dropna()) == {timedelta(seconds=90)}


def test_a_trial_that_is_too_short_is_rejected():
    """With too few blocks, no adjusted p-value of several metrics can reach .05."""
    assert trials.plan(1, run_s=120, washout_s=60) == trials.Plan(20, 120, 60)
    assert trials.plan(320 / 60 / 60, run_s=12, washout_s=8).blocks == 16  # 319.9999… s by rounding
    with pytest.raises(Error, match="12 are needed"):
        trials.plan(0.1, run_s=120, washout_s=60)


def test_the_washout_is_twice_the_measured_drain():
    """If the pilot left nothing to drain, it is as long as the run."""
    assert trials.washout_s(Baseline(10.0, drain_s=14.2), 60) == 29
    assert trials.washout_s(Baseline(10.0), 60) == 60


@pytest.mark.parametrize(
    "text",
    [
        "DELETE FROM stock",
        "SELECT 1; SELECT 2",
        "CALL clean_up()",
        "SET GLOBAL x = 1",
        "",
        "SELECT * FROM stock FOR UPDATE",
        "SELECT * FROM stock LOCK IN SHARE MODE",
        "SELECT * INTO OUTFILE '/tmp/x' FROM stock",
    ],
)
def test_anything_but_one_reading_query_is_rejected(text):
    """A trial never writes and never locks."""
    with pytest.raises(Error, match="one SELECT"):
        trials.read_only_query(text, "mysql")


@pytest.mark.parametrize(
    "text", ["SELECT a FROM t;", "WITH x AS (SELECT 1) SELECT * FROM x", "select ';' from t"]
)
def test_one_reading_query_is_accepted(text):
    """A semicolon at the end or inside a string does not matter."""
    assert trials.read_only_query(text, "mysql").lower().startswith(("select", "with"))


@pytest.mark.parametrize(
    ("production", "loaded"), [(None, False), (100.0, False), (40.0, True)], ids=["unknown", "idle", "loaded"]
)
def test_a_clone_is_loaded_with_half_of_productions_writes(production, loaded):
    """It never is if production's rate is unknown."""
    assert trials.is_loaded(Baseline(20.0), production) == loaded


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "State what the servers belong to"),
        (["--clone", "--lab"], "State what the servers belong to"),
        (["--production", "--writer-load", "query.sql"], "never on production"),
    ],
)
def test_an_unsafe_trial_is_rejected(arguments, message, tmp_path, monkeypatch):
    """In one line, before any server is contacted."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "query.sql").write_text("SELECT 1")
    given = ["experiment", "--writer", "mysql://a@b/", "--sql", "query.sql", "--store", "s", *arguments]
    done = CliRunner().invoke(main, given)
    assert done.exit_code == 2
    assert message in done.output


def test_a_mute_server_is_reported_soon(tmp_path, monkeypatch):
    """It accepts the connection and never answers; the command does not wait for the length of a run."""
    monkeypatch.setattr("aurora_analysis.cli.connections.READ_TIMEOUT_S", 0.5)
    (tmp_path / "query.sql").write_text("SELECT 1")
    given = [
        "--lab",
        "--canary",
        "shop",
        "--sql",
        str(tmp_path / "query.sql"),
        "--store",
        str(tmp_path / "s"),
    ]
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"mysql://a:b@127.0.0.1:{mute.getsockname()[1]}/"
        done = CliRunner().invoke(main, ["experiment", "--writer", address, "--reader", address, *given])
    assert done.exit_code == 2
    assert (
        "The server that would run the query does not answer: Lost connection to MySQL server during query"
        in done.output
    )


def test_the_detectable_effect_shrinks_with_the_blocks():
    """The effect shrinks with the square root of the number of blocks; autocorrelated samples have less information."""
    calm = np.exp(np.random.default_rng(1).normal(0, 0.1, 400)).tolist()
    few, many = (analysis.detectable_pct(calm, blocks=n, run_s=60) for n in (20, 80))
    assert 1.8 < few / many < 2.2
    slow = np.exp(pd.Series(np.log(calm)).rolling(10, min_periods=1).mean() * 3).tolist()
    assert analysis.detectable_pct(slow, blocks=20, run_s=60) > 2 * few
    assert np.isnan(analysis.detectable_pct(calm[:200], blocks=20, run_s=60))  # three runs are too few


@pytest.mark.parametrize("before", [0, 40], ids=["an empty history list", "a history list that is purged"])
def test_growth_of_the_history_list_has_an_interval(before):
    """10/s while on and 0 while off give 36,000/h, whatever the list had before and if a sample comes late."""
    rows = schedule(30, 10, blocks=12)
    index = pd.date_range(rows["time"].iloc[0], periods=480, freq="1s")
    second, on = np.arange(480) % 40, np.repeat(rows["assigned"].to_numpy(), 40)
    grown = np.where(on & (second < 29), np.maximum(before - 20 * second, 10.0 * second), before)
    history = pd.Series(grown + np.random.default_rng(0).normal(0, 3, 480), index)
    found = analysis.history_growth(history, rows, draws=999).iloc[0]
    assert found["difference"] == pytest.approx(36_000, rel=0.03)
    assert 0 < found["ci_low"] < found["difference"] < found["ci_high"]
    assert found["p"] < 0.01


# Limits, without a server


def sample(**values) -> Sample:
    """A sample of a calm writer, except for the given values."""
    status = InnodbStatus(values.get("history", 5), 100, 100, 100, 0, 0, {}, {})
    replicas = [Replica("reader-1", "reader", 100, values.get("lag_ms", 12.0))]
    writer = InstanceSample(0, "writer", "writer", "10.11", {}, status, [], replicas)
    return Sample(0, [] if values.get("silent") else [writer], values.get("latency_ms", 1.0))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, ""),
        ({"history": 2_000_000}, "the history list has 2,000,000 transactions, the limit is 1,000,000"),
        ({"latency_ms": 6.0}, "the canary takes 6.0 ms, the limit is 5 times its 1.0 ms"),
        ({"lag_ms": 12_000.0}, "a reader is 12,000 ms behind, the limit is 10,000 ms"),
        ({"silent": True}, "the writer has not answered for 10 s"),
        ({"latency_ms": None}, "the canary has failed 10 times in a row"),
    ],
    ids=["calm", "history list", "latency", "replica lag", "silent", "canary"],
)
def test_each_limit_stops_a_trial(values, reason):
    """Each limit alone; also a writer that does not answer, because its limits cannot be checked."""
    found = limits.exceeded([sample(**values)] * 10, Limits(), normal_ms=1.0, has_canary=True)
    assert found.startswith(reason)
    assert bool(found) == bool(reason)


def test_a_load_without_statements_is_rejected():
    """An empty file would leave the clone idle."""
    with pytest.raises(Error, match="has no statement"):
        WriterLoad(None, " ;\n", 10)


# On a real server


def trial(
    ours: Server, store: Store | None, query: str, stop_at: Limits | None = None, port: int = 0
) -> Trial:
    engine = (
        create_engine(f"mysql+pymysql://root@127.0.0.1:{port}/", poolclass=NullPool)
        if port
        else ours.engine()
    )
    watched = Watch([Probe(engine, "trial-writer", "writer")], store, cluster="trial", every_s=1)
    return Trial(watched, QueryRunner(engine, query, "trial-reader-1"), store, "trial", stop_at or Limits())


def unfinished(store: Store, seed: int) -> tuple[pd.DataFrame, int] | None:
    options = TrialOptions(query="", hours=1, run_s=1, seed=seed)
    return trials.unfinished_trial(store, options, datetime.now(UTC))


def soon() -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)


def growth(store: Store) -> pd.Series:
    history = store.metric("history_list_length", store.span("trial"), cluster="trial")
    took_place = analysis.randomised(store.read("trials", cluster="trial"))
    return analysis.history_growth(history, took_place).iloc[0]


@pytest.fixture(scope="module")
def null_trials(
    mariadbd: str, meter: Meter, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], list[Store]]]:
    """Two A/A trials side by side, each on its own server; they run while other tests do."""
    stores = [Store(tmp_path_factory.mktemp(name)) for name in ("one", "two")]
    meter.begin("null_trials")
    with ExitStack() as servers:
        threads = []
        for seed, store in enumerate(stores):
            ours = servers.enter_context(server.running())
            servers.enter_context(written_to(live_server.prepare(ours)))
            rows = schedule(3, 0, seed=seed, start=soon())
            threads.append(threading.Thread(target=trial(ours, store, HOLDS_NOTHING).run, args=(rows,)))
            threads[-1].start()
        yield lambda: [store for thread, store in zip(threads, stores) if thread.join() is None]
        for thread in threads:
            thread.join()


@pytest.mark.real
def test_an_interrupted_trial_continues_and_finds_a_planted_holder(real_server, null_trials, tmp_path):
    """The query's view holds back purge: the history list grows while it is on, and the interval excludes zero."""
    store = Store(tmp_path)
    stopped = trial(real_server, store, HOLDS_A_VIEW)
    with written_to(real_server, pause_s=0.003):
        rows = schedule(3, 1, seed=3, start=soon())
        stopped.run(
            rows, progress=lambda line: stopped.stopping.set() if line.startswith("block 5") else None
        )
        rows, first = unfinished(store, seed=3)
        assert first == 4
        assert unfinished(store, seed=4) is None
        trial(real_server, store, HOLDS_A_VIEW).run(trials.rescheduled(rows, first, soon()), first)
    assert unfinished(store, seed=3) is None
    done = store.read("trials", cluster="trial")
    assert done["assigned"].tolist() == rows["assigned"].tolist()
    assert (done["started_at"].notna() == done["assigned"]).all()
    lasted = (done["ended_at"] - done["started_at"]).dt.total_seconds().dropna()
    assert lasted.between(0, 3.5).all()  # the server ends the run with the block
    assert growth(store)["difference"] > 0
    assert growth(store)["ci_low"] > 0
    assert growth(store)["p"] <= 0.05


@pytest.mark.real
def test_a_trial_without_an_effect_finds_none(null_trials):
    """A/A trials: a held view would add 100,000 transactions per hour.

    `dev.py bench trials` counts whether intervals contain zero 19 times in 20.
    """
    for store in null_trials():
        rows = store.read("trials", cluster="trial")
        assert len(analysis.randomised(rows)) >= 10  # a busy machine may miss a block
        assert abs(growth(store)["difference"]) < 100_000


@pytest.mark.real
def test_a_limit_stops_the_trial_and_the_query(real_server, tmp_path):
    """At once, with the reason as an event; samples so far are kept."""
    store = Store(tmp_path)
    rows = schedule(20, 0, start=soon()).assign(assigned=True)
    found = trial(real_server, store, HOLDS_A_VIEW, Limits(history_list_length=20))
    with written_to(real_server):
        found.run(rows)
    assert "the limit is 20" in found.stop_reason
    assert not running(real_server, "SLEEP")
    events = store.read("events", cluster="trial")
    assert events["category"].tolist() == ["trial broken off"]
    assert len(store.metric("history_list_length", store.span("trial"), cluster="trial"))


@pytest.mark.real
def test_a_failing_query_does_not_start_a_trial(real_server):
    """It is reported before anything is planned."""
    with pytest.raises(
        Error, match="The trial did not start: the query on trial-reader-1 failed: Table 'trial.gone'"
    ):
        trial(real_server, None, "SELECT * FROM trial.gone").baseline(1, 1)


@pytest.mark.real
def test_a_killed_trials_canary_is_dropped_and_a_running_ones_stays(real_server, monkeypatch):
    """Its row no longer changes; one line says so."""
    monkeypatch.setattr(sessions, "LEFT_AFTER_S", 0.3)
    lines: list[str] = []
    with real_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE running")
        running = Canary(real_server.engine(), "running")
        Canary(real_server.engine(), "trial").close()  # as SIGKILL leaves it
        monkeypatch.setattr(sessions.time, "sleep", lambda _: running.latency_ms())
        sessions.drop_left_canaries(real_server.engine(), lines.append)
        cursor.execute("SELECT table_schema FROM information_schema.tables WHERE table_name LIKE '%canary'")
        assert cursor.fetchall() == (("running",),)
        running.remove()
        cursor.execute("DROP DATABASE running")
    assert lines == ["dropped the canary's table that a killed trial left in trial"]


def test_a_canary_without_a_database_does_not_start_a_trial(real_server):
    """The database does not exist."""
    with pytest.raises(
        Error, match="Cannot create the canary's table in nowhere: Unknown database 'nowhere'"
    ):
        Canary(real_server.engine(), "nowhere")


@pytest.mark.real
def test_a_failing_load_is_reported(real_server):
    """A good load reaches its rate; without a load the writer would be idle."""
    found = trial(real_server, None, HOLDS_NOTHING)
    with WriterLoad(real_server.engine(), "UPDATE trial.stock SET quantity = 1 WHERE id = 3;\n", 150) as good:
        assert found.baseline(4, 0).writes_per_s == pytest.approx(150, rel=0.2)
    with WriterLoad(real_server.engine(), "INSERT INTO trial.stock VALUES (1, 1);\n", 10) as bad:
        assert until(lambda: bad.problem, 3)
    assert good.problem == ""
    assert bad.problem.startswith("the writer's load failed: Duplicate entry")


@pytest.mark.real
def test_a_step_of_the_clock_stops_the_trial(real_server, tmp_path, monkeypatch):
    """One line; no sample is an hour off, and the trial can continue."""
    store, before, ahead_s = Store(tmp_path), time.time, [0]
    monkeypatch.setattr(time, "time", lambda: before() + ahead_s[0])
    found = trial(real_server, store, HOLDS_NOTHING)

    def set_the_clock(line: str) -> None:
        ahead_s[0] = 3600 if line.startswith("block 3") else 0

    found.run(schedule(1, 0, start=soon()), progress=set_the_clock)
    assert found.stop_reason == "the clock was set by +3,600 s"
    assert store.span("trial").end < datetime.now(UTC) + timedelta(seconds=2)
    assert unfinished(store, seed=7)


@pytest.mark.real
def test_a_reset_connection_stops_the_trial(real_server, tmp_path):
    """One line, and the server ends the query that lost its client."""
    store = Store(tmp_path)
    with live_server.Proxy(real_server.port) as proxy:
        found = trial(real_server, store, "SELECT SLEEP(60), 'reset'", port=proxy.port)
        rows = schedule(5, 0, start=soon()).assign(assigned=True)
        found.run(rows, progress=lambda line: threading.Timer(2, proxy.reset).start())
    assert found.stop_reason.startswith("the query on trial-reader-1 failed: Lost connection to MySQL server")
    assert until(lambda: not running(real_server, "'reset'"), 6)
    assert {"trial broken off"} <= set(store.read("events", cluster="trial")["category"])
    assert len(store.metric("history_list_length", store.span("trial"), cluster="trial")) >= 1


@pytest.mark.real
def test_a_server_restarted_between_two_runs_is_a_gap(mariadbd, tmp_path):
    """The trial continues with the next block at the same address; the restart is an event."""
    store = Store(tmp_path)
    with server.running() as first:
        found = trial(first, store, HOLDS_NOTHING, port=first.port)
        rows = schedule(4, 0, start=soon() + timedelta(seconds=3), blocks=4)
        rows = rows.assign(assigned=rows["block"] == 3)
        thread = threading.Thread(target=found.run, args=(rows,))
        thread.start()
        time.sleep(6)
        os.kill(first.pid, signal.SIGKILL)
        with server.started(first.folder, port=first.port):
            thread.join()
    assert found.stop_reason == ""
    assert store.read("trials", cluster="trial")["started_at"].notna().tolist() == [False, False, False, True]
    categories = set(store.read("events", cluster="trial")["category"])
    assert {"connection lost", "connection", "restart"} <= categories


@pytest.mark.real
def test_a_full_disk_stops_the_trial(real_server, tmp_path):
    """One line; what was written before is complete. A commit needs 8 MiB free, so the disk is little larger."""
    kept, full = tmp_path / "kept", tmp_path / "full"
    full.mkdir()
    command = shlex.join(started(real_server, tmp_path, full / "store", "SELECT 1", "--run", "1s"))
    script = f"mount -t tmpfs -o size=8232k tmpfs {full} && {{ {command}; cp -r {full}/store {kept}; }}"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=True)
    *lines, last = done.stderr.splitlines()
    assert re.search(r"The disk of .* is full: make room", last)
    assert not [line for line in lines if line.startswith(("aurora-analysis", "Traceback"))]
    rows = Store(kept).read("trials", cluster="trial")
    assert len(rows) == 36
    assert rows["started_at"].notna().sum() < 18
    assert not running(real_server, "SELECT 1")


@pytest.mark.real
def test_the_canary_leaves_nothing_behind(real_server):
    """Its table is created, timed, and dropped."""
    canary = Canary(real_server.engine(), "trial")
    assert 0 < canary.latency_ms() < 1000
    canary.remove()
    with real_server.connect() as connection, connection.cursor() as cursor:
        assert cursor.execute("SHOW TABLES IN trial LIKE 'aurora%%'") == 0


def running(ours: Server, text: str) -> bool:
    with ours.connect() as connection, connection.cursor() as cursor:
        query = "SELECT info FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND info LIKE %s"
        return cursor.execute(query, (f"%{text}%",)) > 0


def until(true, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not true() and time.monotonic() < deadline:
        time.sleep(0.1)
    return true()


def started(ours: Server, folder: Path, store: Path, query: str, *options: str) -> list[str]:
    """The command that tries a query on a clone whose production is unknown."""
    (folder / "query.sql").write_text(query)
    address = f"mysql://root@/?unix_socket={ours.socket}"
    command = [sys.executable, "-m", "aurora_analysis", "experiment", "--clone", "--writer", address]
    command += ["--sql", str(folder / "query.sql"), "--washout", "1s", "--hours", "0.02", "--baseline", "1s"]
    return [*command, "--seed", "1", "--store", str(store), *options]


def lines_until(process: subprocess.Popen[str], last: str) -> list[str]:
    """Lines of a process up to one that ends with `last`."""
    lines = [process.stderr.readline()]
    while lines[-1] and not lines[-1].endswith(last):
        lines.append(process.stderr.readline())
    assert lines[-1], lines
    return lines


@pytest.mark.real
def test_after_sigkill_no_query_outlives_its_block_and_the_trial_continues(real_server, tmp_path):
    """The server cancels it; the plan is in the store, and the same command continues it until Ctrl-C."""
    store = tmp_path / "store"
    command = started(real_server, tmp_path, store, "SELECT SLEEP(60), 'suspect'", "--run", "3s")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        lines = lines_until(process, ": on\n")
        assert until(lambda: running(real_server, "'suspect'"), 3)
        process.kill()
    assert until(lambda: not running(real_server, "'suspect'"), 4)
    planned = Store(store).read("trials", cluster="trial")
    assert len(planned) == 16
    assert set(planned["workload"]) == {"query"}
    assert "16 blocks of 3 s and 1 s of washout" in lines[0]
    assert lines[1].startswith("the verdict will be `cannot tell`: The clone's writer has")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        lines = lines_until(process, ": off\n" if not planned["assigned"].iloc[0] else ": on\n")
        process.send_signal(signal.SIGINT)
        lines += process.stderr.readlines()
    assert process.returncode == 0
    assert "continues: 16 of 16 blocks are left" in lines[0]
    assert lines[-1].endswith("interrupted; run the same command again for the remaining blocks\n")
    again = Store(store).read("trials", cluster="trial")
    assert again["assigned"].tolist() == planned["assigned"].tolist()
    assert again["time"].min() > planned["time"].min()
    assert TrialEvent.IDLE_CLONE in set(Store(store).read("events", cluster="trial")["category"])
