"""A randomised trial: planned before it begins, limited by the server, and right about what was planted."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from live_server import written_to

from aurora_analysis import experiment as trials
from aurora_analysis.analysis import experiment as inferring
from aurora_analysis.cli import main
from aurora_analysis.errors import Error
from aurora_analysis.experiment import Baseline, Canary, Limits, Suspect, Trial
from aurora_analysis.lab.server import Server
from aurora_analysis.sources.live import Probe
from aurora_analysis.sources.watch import Watch
from aurora_analysis.store import Store

START = datetime(2026, 11, 23, 11, tzinfo=UTC)
HOLDS_A_VIEW = "SELECT COUNT(*) FROM trial.stock WHERE SLEEP(0.02) = 0"
HOLDS_NOTHING = "SELECT SLEEP(30)"


def schedule(
    run_s: float, washout_s: float, *, seed: int = 7, start: datetime = START, blocks: int = 8
) -> pd.DataFrame:
    planned = trials.Plan(blocks, run_s, washout_s)
    return trials.schedule(planned, start, seed=seed, workload="suspect", trial="t")


# What needs no server


def test_half_of_the_blocks_are_on_and_the_seed_decides_which():
    """All is drawn before the first block; the washout follows each run, on or off."""
    rows = schedule(60, 30, blocks=12)
    assert rows["assigned"].sum() == 6
    assert rows["assigned"].tolist() == schedule(60, 30, blocks=12)["assigned"].tolist()
    assert rows["assigned"].tolist() != schedule(60, 30, blocks=12, seed=8)["assigned"].tolist()
    assert set(rows["end"] - rows["time"]) == {timedelta(seconds=60)}
    assert set(rows["time"].diff().dropna()) == {timedelta(seconds=90)}


def test_a_trial_that_is_too_short_is_refused():
    """With fewer than four blocks of each, no p-value can reach .05."""
    assert trials.plan(1, run_s=120, washout_s=60) == trials.Plan(20, 120, 60)
    with pytest.raises(Error, match="8 are needed"):
        trials.plan(0.1, run_s=120, washout_s=60)


def test_the_washout_comes_from_the_drain_that_was_measured():
    """Twice as long; where the pilot left nothing, as long as the run."""
    assert trials.washout_s(Baseline(10.0, drain_s=14.2), 60) == 29
    assert trials.washout_s(Baseline(10.0), 60) == 60


@pytest.mark.parametrize(
    "text", ["DELETE FROM stock", "SELECT 1; SELECT 2", "CALL clean_up()", "SET GLOBAL x = 1", ""]
)
def test_what_is_not_one_query_is_refused(text):
    """A trial never writes."""
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


def test_the_smallest_effect_shrinks_with_the_blocks():
    """By the square root of their number; neighbours that repeat each other tell less."""
    calm = np.exp(np.random.default_rng(1).normal(0, 0.1, 400)).tolist()
    few, many = (inferring.detectable_pct(calm, blocks=n, run_s=60) for n in (10, 40))
    assert 1.8 < few / many < 2.2
    slow = np.exp(pd.Series(np.log(calm)).rolling(10, min_periods=1).mean() * 3).tolist()
    assert inferring.detectable_pct(slow, blocks=10, run_s=60) > 2 * few
    assert np.isnan(inferring.detectable_pct([], blocks=10, run_s=60))


def test_growth_of_the_history_list_is_told_with_its_interval():
    """Ten a second while on, nothing while off: 36,000 an hour."""
    rows = schedule(10, 10, blocks=12)
    index = pd.date_range(rows["time"].iloc[0], periods=240, freq="1s")
    grows = np.repeat(rows["assigned"].to_numpy(), 20) * (np.arange(240) % 20 < 10)
    history = pd.Series(np.cumsum(10.0 * grows + np.random.default_rng(0).normal(0, 1, 240)), index)
    found = inferring.history_growth(history, rows).iloc[0]
    assert found["ci_low"] < 36_000 < found["ci_high"]
    assert found["p"] < 0.01


# On a real server


def trial(ours: Server, store: Store | None, query: str, limits: Limits | None = None) -> Trial:
    engine = ours.engine()
    watched = Watch([Probe(engine, "trial-writer", "writer")], store, cluster="trial", every_s=1)
    return Trial(watched, Suspect(engine, query, "trial-reader-1"), store, "trial", limits or Limits())


def carried_out(
    ours: Server, store: Store, query: str, run_s: float, washout_s: float, seed: int
) -> pd.DataFrame:
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    rows = schedule(run_s, washout_s, seed=seed, start=start)
    trial(ours, store, query).run(rows, trials.Plan(8, run_s, washout_s), tell=lambda line: None)
    return store.read("trials", cluster="trial")


def growth(store: Store) -> pd.Series:
    history = store.metric("history_list_length", store.span("trial"), cluster="trial")
    return inferring.history_growth(history, store.read("trials", cluster="trial")).iloc[0]


@pytest.mark.real
def test_a_planted_holder_is_found(real_server, tmp_path):
    """The query's view holds up purge: history grows while it is on, and the interval excludes zero."""
    store = Store(tmp_path)
    with written_to(real_server):
        rows = carried_out(real_server, store, HOLDS_A_VIEW, 3, 1, seed=3)
    found = growth(store)
    assert found["difference"] > 0
    assert found["ci_low"] > 0
    assert found["p"] <= 0.05
    assert (rows["started_at"].notna() == rows["assigned"]).all()
    lasted = (rows["ended_at"] - rows["started_at"]).dt.total_seconds().dropna()
    assert lasted.between(2, 3.5).all()  # the server ends the run with the block


@pytest.mark.real
def test_two_trials_of_nothing_run_side_by_side(real_server, tmp_path):
    """A/A: the mechanics are those of any trial, and nothing is to be seen of a query that holds nothing."""
    stores = [Store(tmp_path / name) for name in ("one", "two")]
    threads = [
        threading.Thread(target=carried_out, args=(real_server, store, HOLDS_NOTHING, 2, 0.5, seed))
        for seed, store in enumerate(stores)
    ]
    with written_to(real_server):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for store in stores:
        rows = store.read("trials", cluster="trial")
        assert (rows["started_at"].notna() == rows["assigned"]).all()
        found = growth(store)
        assert found["ci_low"] < 0 < found["ci_high"]


@pytest.mark.real
def test_a_limit_breaks_the_trial_off_and_ends_the_query(real_server, tmp_path):
    """At once, with the reason as an event; what was seen until then is there."""
    store = Store(tmp_path)
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    rows = schedule(20, 0, start=start).assign(assigned=True)
    found = trial(real_server, store, HOLDS_A_VIEW, Limits(history_list_length=20))
    with written_to(real_server):
        found.run(rows, trials.Plan(8, 20, 0), tell=lambda line: None)
    assert "the limit is 20" in found.broken_off
    assert not running(real_server, "SLEEP")
    events = store.read("events", cluster="trial")
    assert events["category"].tolist() == ["trial broken off"]
    assert len(store.metric("history_list_length", store.span("trial"), cluster="trial"))


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


@pytest.mark.real
def test_after_sigkill_no_query_outlives_its_block(real_server, tmp_path):
    """The server ends it by itself, and the plan is in the store."""
    (tmp_path / "query.sql").write_text("SELECT SLEEP(60), 'suspect'")
    address = f"mysql://root@/?unix_socket={real_server.socket}"
    command = [sys.executable, "-m", "aurora_analysis", "experiment", "--lab", "--writer", address]
    command += ["--sql", str(tmp_path / "query.sql"), "--run", "5s", "--washout", "1s", "--hours", "0.02"]
    command += ["--baseline", "1s", "--seed", "1", "--store", str(tmp_path / "store")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    told = [process.stderr.readline()]
    while not told[-1].endswith(": on\n"):
        told.append(process.stderr.readline())
        assert told[-1], told
    assert until(lambda: running(real_server, "'suspect'"), 3)
    process.kill()
    process.communicate()
    assert until(lambda: not running(real_server, "'suspect'"), 6)
    assert len(Store(tmp_path / "store").read("trials", cluster="trial")) == 12
    assert "12 blocks of 5 s and 1 s of washout" in told[0]
