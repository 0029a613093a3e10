"""A randomised trial: planned before it begins, limited by the server, and right about what was planted."""

from __future__ import annotations

import os
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
from functools import partial
from pathlib import Path
from typing import NamedTuple

import live_server
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from live_server import written_to
from sqlalchemy import NullPool, create_engine

from aurora_analysis import cli
from aurora_analysis.analysis import experiment as inferring
from aurora_analysis.cli import main
from aurora_analysis.engines.mysql.live import Innodb, Probe, Replica, Seen
from aurora_analysis.errors import Error
from aurora_analysis.lab import server
from aurora_analysis.lab.server import Server
from aurora_analysis.live import experiment as trials
from aurora_analysis.live.experiment import Baseline, Canary, Limits, Load, Suspect, Trial
from aurora_analysis.live.watch import Round, Watch
from aurora_analysis.store import Store

START = datetime(2026, 11, 23, 11, tzinfo=UTC)
HOLDS_A_VIEW = "SELECT COUNT(*) FROM trial.stock WHERE SLEEP(0.02) = 0"
HOLDS_NOTHING = "SELECT SLEEP(30)"


def schedule(
    run_s: float, washout_s: float, *, seed: int = 7, start: datetime = START, blocks: int = 12
) -> pd.DataFrame:
    planned = trials.Plan(blocks, run_s, washout_s)
    return trials.schedule(planned, start, seed=seed, workload="suspect", trial="t")


# What needs no server


def test_two_of_each_four_blocks_are_on_and_the_seed_decides_which():
    """All is drawn before the first block; the washout follows each run, on or off."""
    rows = schedule(60, 30, blocks=12)
    assert [rows["assigned"][n : n + 4].sum() for n in (0, 4, 8)] == [2, 2, 2]
    assert rows["assigned"].tolist() == schedule(60, 30, blocks=12)["assigned"].tolist()
    assert rows["assigned"].tolist() != schedule(60, 30, blocks=12, seed=8)["assigned"].tolist()
    assert set(rows["end"] - rows["time"]) == {timedelta(seconds=60)}
    assert set(rows["time"].diff().dropna()) == {timedelta(seconds=90)}


def test_a_trial_that_is_too_short_is_refused():
    """With few blocks of each, no p-value of several metrics can reach .05."""
    assert trials.plan(1, run_s=120, washout_s=60) == trials.Plan(20, 120, 60)
    with pytest.raises(Error, match="12 are needed"):
        trials.plan(0.1, run_s=120, washout_s=60)


def test_the_washout_comes_from_the_drain_that_was_measured():
    """Twice as long; where the pilot left nothing, as long as the run."""
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
def test_what_is_not_one_query_is_refused(text):
    """A trial never writes, and never locks."""
    with pytest.raises(Error, match="one SELECT"):
        trials.suspect(text)


@pytest.mark.parametrize(
    "text", ["SELECT a FROM t;", "WITH x AS (SELECT 1) SELECT * FROM x", "select ';' from t"]
)
def test_a_query_is_taken(text):
    """A semicolon at its end or inside a text is none of ours."""
    assert trials.suspect(text).lower().startswith(("select", "with"))


@pytest.mark.parametrize(
    ("production", "loaded"), [(None, False), (100.0, False), (40.0, True)], ids=["unknown", "idle", "loaded"]
)
def test_a_clone_is_loaded_from_half_of_productions_writes_on(production, loaded):
    """And never where production's rate is not known."""
    assert trials.is_loaded(Baseline(20.0), production) == loaded


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Say whose servers these are"),
        (["--clone", "--lab"], "Say whose servers these are"),
        (["--production", "--writer-load", "query.sql"], "never for production"),
    ],
)
def test_a_trial_that_is_not_safe_is_refused(arguments, said, tmp_path, monkeypatch):
    """In one line, before anybody is asked anything."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "query.sql").write_text("SELECT 1")
    given = ["experiment", "--writer", "mysql://a@b/", "--sql", "query.sql", "--store", "s", *arguments]
    done = CliRunner().invoke(main, given)
    assert done.exit_code == 2
    assert said in done.output


def test_a_server_that_is_mute_is_told_soon(tmp_path, monkeypatch):
    """It takes the connection, and never says a word: nobody waits for an hour."""
    monkeypatch.setattr(cli, "PATIENCE_S", 0.5)
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
    assert "no table for the canary in shop: Lost connection to MySQL server during query" in done.output


def test_the_smallest_effect_shrinks_with_the_blocks():
    """By the square root of their number; neighbours that repeat each other tell less."""
    calm = np.exp(np.random.default_rng(1).normal(0, 0.1, 400)).tolist()
    few, many = (inferring.detectable_pct(calm, blocks=n, run_s=60) for n in (20, 80))
    assert 1.8 < few / many < 2.2
    slow = np.exp(pd.Series(np.log(calm)).rolling(10, min_periods=1).mean() * 3).tolist()
    assert inferring.detectable_pct(slow, blocks=20, run_s=60) > 2 * few
    assert np.isnan(inferring.detectable_pct(calm[:200], blocks=20, run_s=60))  # three runs tell too little


@pytest.mark.parametrize("stood", [0, 40], ids=["nothing stood there", "what stood there is purged"])
def test_growth_of_the_history_list_is_told_with_its_interval(stood):
    """Ten a second while on, nothing while off: 36,000 an hour, whatever stood there, and if a sample comes too late."""
    rows = schedule(30, 10, blocks=12)
    index = pd.date_range(rows["time"].iloc[0], periods=480, freq="1s")
    second, on = np.arange(480) % 40, np.repeat(rows["assigned"].to_numpy(), 40)
    grown = np.where(on & (second < 29), np.maximum(stood - 20 * second, 10.0 * second), stood)
    history = pd.Series(grown + np.random.default_rng(0).normal(0, 3, 480), index)
    found = inferring.history_growth(history, rows, draws=999).iloc[0]
    assert found["difference"] == pytest.approx(36_000, rel=0.03)
    assert 0 < found["ci_low"] < found["difference"] < found["ci_high"]
    assert found["p"] < 0.01


# What ends a trial, without a server


class Watched(NamedTuple):
    """The rounds of a watch."""

    rounds: list[Round]


def a_round(**said) -> Round:
    """What a writer says once a second, but for what the test is about."""
    status = Innodb(said.get("history", 5), 100, 100, 100, 0, 0, {}, {})
    replicas = [Replica("reader-1", "reader", 100, said.get("lag_ms", 12.0))]
    seen = Seen(0, "writer", "writer", "10.11", {}, status, [], replicas)
    return Round(0, [] if said.get("silent") else [seen], said.get("latency_ms", 1.0))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, ""),
        ({"history": 2_000_000}, "the history list has 2,000,000 transactions, the limit is 1,000,000"),
        ({"latency_ms": 6.0}, "the canary takes 6.0 ms, 5 times its 1.0 ms"),
        ({"lag_ms": 12_000.0}, "a reader is 12,000 ms behind, the limit is 10,000 ms"),
        ({"silent": True}, "the writer has been silent for 10 s"),
        ({"latency_ms": None}, "the canary has not got through 10 times"),
    ],
    ids=["calm", "history list", "latency", "replica lag", "silent", "canary"],
)
def test_what_breaks_a_trial_off(said, why):
    """Each limit alone; and a writer that does not answer, whose limits nobody can watch."""
    found = Trial(Watched([a_round(**said)] * 10), None, None, "trial", canary=object())
    assert found._over(1.0).startswith(why)
    assert bool(found._over(1.0)) == bool(why)


def test_a_load_of_no_statement_is_refused():
    """An empty file would leave the clone idle."""
    with pytest.raises(Error, match="holds no statement"):
        Load(None, " ;\n", 10)


# On a real server


def trial(
    ours: Server, store: Store | None, query: str, limits: Limits | None = None, port: int = 0
) -> Trial:
    engine = (
        create_engine(f"mysql+pymysql://root@127.0.0.1:{port}/", poolclass=NullPool)
        if port
        else ours.engine()
    )
    watched = Watch([Probe(engine, "trial-writer", "writer")], store, cluster="trial", every_s=1)
    return Trial(watched, Suspect(engine, query, "trial-reader-1"), store, "trial", limits or Limits())


def soon() -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)


def growth(store: Store) -> pd.Series:
    history = store.metric("history_list_length", store.span("trial"), cluster="trial")
    took_place = inferring.randomised(store.read("trials", cluster="trial"))
    return inferring.history_growth(history, took_place).iloc[0]


@pytest.fixture(scope="module")
def null_trials(
    mariadbd: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], list[Store]]]:
    """Two A/A trials side by side, each on a server of its own; they run while other tests do."""
    stores = [Store(tmp_path_factory.mktemp(name)) for name in ("one", "two")]
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
def test_a_planted_holder_is_found_by_a_trial_that_was_stopped_and_went_on(
    real_server, null_trials, tmp_path
):
    """The query's view holds up purge: history grows while it is on, and the interval excludes zero."""
    store = Store(tmp_path)
    stopped = trial(real_server, store, HOLDS_A_VIEW)
    with written_to(real_server, pause_s=0.003):
        rows = schedule(3, 1, seed=3, start=soon())
        stopped.run(rows, tell=lambda line: stopped.stopping.set() if line.startswith("block 5") else None)
        found = partial(trials.unfinished, store, cluster="trial", workload="suspect", now=datetime.now(UTC))
        rows, first = found(seed=3)
        assert first == 4
        assert found(seed=4) is None
        trial(real_server, store, HOLDS_A_VIEW).run(trials.moved(rows, first, soon()), first)
    assert found(seed=3) is None
    done = store.read("trials", cluster="trial")
    assert done["assigned"].tolist() == rows["assigned"].tolist()
    assert (done["started_at"].notna() == done["assigned"]).all()
    lasted = (done["ended_at"] - done["started_at"]).dt.total_seconds().dropna()
    assert lasted.between(0, 3.5).all()  # the server ends the run with the block
    assert growth(store)["difference"] > 0
    assert growth(store)["ci_low"] > 0
    assert growth(store)["p"] <= 0.05


@pytest.mark.real
def test_two_trials_of_nothing_tell_nothing(null_trials):
    """A/A: the mechanics are those of any trial; a view would let a tenth of a million more an hour wait for purge.

    Whether an interval holds zero 19 times in 20 is for `dev.py bench trials` to count.
    """
    for store in null_trials():
        rows = store.read("trials", cluster="trial")
        assert len(inferring.randomised(rows)) >= 10  # a busy machine may miss a block
        assert abs(growth(store)["difference"]) < 100_000


@pytest.mark.real
def test_a_limit_breaks_the_trial_off_and_ends_the_query(real_server, tmp_path):
    """At once, with the reason as an event; what was seen until then is there."""
    store = Store(tmp_path)
    rows = schedule(20, 0, start=soon()).assign(assigned=True)
    found = trial(real_server, store, HOLDS_A_VIEW, Limits(history_list_length=20))
    with written_to(real_server):
        found.run(rows)
    assert "the limit is 20" in found.broken_off
    assert not running(real_server, "SLEEP")
    events = store.read("events", cluster="trial")
    assert events["category"].tolist() == ["trial broken off"]
    assert len(store.metric("history_list_length", store.span("trial"), cluster="trial"))


@pytest.mark.real
def test_a_query_that_fails_is_no_trial(real_server):
    """It is told before anything is planned."""
    with pytest.raises(
        Error, match="There was no trial: the query on trial-reader-1 failed: Table 'trial.gone'"
    ):
        trial(real_server, None, "SELECT * FROM trial.gone").baseline(1, 1)


@pytest.mark.real
def test_a_canary_without_a_place_is_no_trial(real_server):
    """The database that was named is not there."""
    with pytest.raises(Error, match="no table for the canary in nowhere: Unknown database 'nowhere'"):
        Canary(real_server.engine(), "nowhere")


@pytest.mark.real
def test_a_load_that_fails_ends_the_trial(real_server):
    """Its rate is met while it lasts; without it the writer would be idle."""
    found = trial(real_server, None, HOLDS_NOTHING)
    with Load(real_server.engine(), "UPDATE trial.stock SET quantity = 1 WHERE id = 3;\n", 150) as good:
        assert found.baseline(4, 0).writes_per_s == pytest.approx(150, rel=0.2)
    with Load(real_server.engine(), "INSERT INTO trial.stock VALUES (1, 1);\n", 10) as bad:
        assert until(lambda: bad.problem, 3)
    assert good.problem == ""
    assert bad.problem.startswith("the writer's load ended: Duplicate entry")


@pytest.mark.real
def test_a_clock_that_is_set_ends_the_trial(real_server, tmp_path, monkeypatch):
    """One line; no sample is an hour off, and the same draw goes on."""
    store, before, ahead_s = Store(tmp_path), time.time, [0]
    monkeypatch.setattr(time, "time", lambda: before() + ahead_s[0])
    found = trial(real_server, store, HOLDS_NOTHING)

    def set_the_clock(line: str) -> None:
        ahead_s[0] = 3600 if line.startswith("block 3") else 0

    found.run(schedule(1, 0, start=soon()), tell=set_the_clock)
    assert found.broken_off == "the clock was set by +3,600 s"
    assert store.span("trial").end < datetime.now(UTC) + timedelta(seconds=2)
    assert trials.unfinished(store, cluster="trial", workload="suspect", seed=7, now=datetime.now(UTC))


@pytest.mark.real
def test_a_connection_that_is_reset_ends_the_trial(real_server, tmp_path):
    """One line, and the server ends what nobody waits for any more."""
    store = Store(tmp_path)
    with live_server.Proxy(real_server.port) as proxy:
        found = trial(real_server, store, "SELECT SLEEP(60), 'reset'", port=proxy.port)
        rows = schedule(5, 0, start=soon()).assign(assigned=True)
        found.run(rows, tell=lambda line: threading.Timer(2, proxy.reset).start())
    assert found.broken_off.startswith("the query on trial-reader-1 failed: Lost connection to MySQL server")
    assert until(lambda: not running(real_server, "'reset'"), 6)
    assert {"trial broken off"} <= set(store.read("events", cluster="trial")["category"])
    assert len(store.metric("history_list_length", store.span("trial"), cluster="trial")) >= 1


@pytest.mark.real
def test_a_server_that_is_killed_and_restarted_between_two_runs_is_a_gap(mariadbd, tmp_path):
    """The trial goes on with the next block, on the same address; what happened is told."""
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
    assert found.broken_off == ""
    assert store.read("trials", cluster="trial")["started_at"].notna().tolist() == [False, False, False, True]
    told = set(store.read("events", cluster="trial")["category"])
    assert {"connection lost", "connection", "restart"} <= told


@pytest.mark.real
def test_a_disk_that_is_full_ends_the_trial(real_server, tmp_path):
    """One line; what was written before is whole."""
    kept, full = tmp_path / "kept", tmp_path / "full"
    full.mkdir()
    command = shlex.join(started(real_server, tmp_path, full / "store", "SELECT 1", "--run", "1s"))
    script = f"mount -t tmpfs -o size=40k tmpfs {full} && {{ {command}; cp -r {full}/store {kept}; }}"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=True)
    *told, last = done.stderr.splitlines()
    assert "Cannot write " in last
    assert "No space left on device" in last
    assert not [line for line in told if line.startswith(("aurora-analysis", "Traceback"))]
    rows = Store(kept).read("trials", cluster="trial")
    assert len(rows) == 36
    assert rows["started_at"].notna().sum() < 18
    assert not running(real_server, "SELECT 1")


@pytest.mark.real
def test_the_canary_leaves_nothing_behind(real_server):
    """A table of its own, timed, and dropped."""
    canary = Canary(real_server.engine(), "trial")
    assert 0 < canary.beat() < 1000
    canary.remove()
    with real_server.connect() as connection, connection.cursor() as cursor:
        assert cursor.execute("SHOW TABLES IN trial LIKE 'aurora%%'") == 0


def running(ours: Server, text: str) -> bool:
    with ours.connect() as connection, connection.cursor() as cursor:
        asked = "SELECT info FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND info LIKE %s"
        return cursor.execute(asked, (f"%{text}%",)) > 0


def until(true, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not true() and time.monotonic() < deadline:
        time.sleep(0.1)
    return true()


def started(ours: Server, folder: Path, store: Path, query: str, *options: str) -> list[str]:
    """The command that tries a query, on a clone of which nobody knows the production."""
    (folder / "query.sql").write_text(query)
    address = f"mysql://root@/?unix_socket={ours.socket}"
    command = [sys.executable, "-m", "aurora_analysis", "experiment", "--clone", "--writer", address]
    command += ["--sql", str(folder / "query.sql"), "--washout", "1s", "--hours", "0.02", "--baseline", "1s"]
    return [*command, "--seed", "1", "--store", str(store), *options]


def told_until(process: subprocess.Popen[str], last: str) -> list[str]:
    """The lines that a process tells, up to one that ends like this."""
    told = [process.stderr.readline()]
    while told[-1] and not told[-1].endswith(last):
        told.append(process.stderr.readline())
    assert told[-1], told
    return told


@pytest.mark.real
def test_after_sigkill_no_query_outlives_its_block_and_the_trial_goes_on(real_server, tmp_path):
    """The server ends it by itself; the plan is in the store, and the same command goes on with it until Ctrl-C."""
    store = tmp_path / "store"
    command = started(real_server, tmp_path, store, "SELECT SLEEP(60), 'suspect'", "--run", "3s")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        told = told_until(process, ": on\n")
        assert until(lambda: running(real_server, "'suspect'"), 3)
        process.kill()
    assert until(lambda: not running(real_server, "'suspect'"), 4)
    planned = Store(store).read("trials", cluster="trial")
    assert len(planned) == 16
    assert set(planned["workload"]) == {"query"}
    assert "16 blocks of 3 s and 1 s of washout" in told[0]
    assert told[1].startswith("the verdict will be `cannot tell`: The clone's writer has")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        told = told_until(process, ": off\n" if not planned["assigned"].iloc[0] else ": on\n")
        process.send_signal(signal.SIGINT)
        told += process.stderr.readlines()
    assert process.returncode == 0
    assert "goes on: 16 of 16 blocks are left" in told[0]
    assert told[-1].endswith("stopped, the same command goes on with the blocks that are left\n")
    again = Store(store).read("trials", cluster="trial")
    assert again["assigned"].tolist() == planned["assigned"].tolist()
    assert again["time"].min() > planned["time"].min()
    assert trials.NOT_LOADED in set(Store(store).read("events", cluster="trial")["category"])
