"""The simulated cluster as rows of the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from aurora_analysis import Store, Window
from aurora_analysis.cli import main
from aurora_analysis.glossary import METRICS
from aurora_analysis.lab import shop, simulate

DAYS = Window("2026-11-02", "2026-11-06")
PLAN = simulate.plan(3, DAYS)


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return shop.tables(3, DAYS)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    opened = Store(tmp_path_factory.mktemp("shop"))
    shop.write(opened, 3, DAYS)
    return opened


def test_the_same_seed_gives_the_same_tables(tables):
    """Exactly equal."""
    for name, frame in shop.tables(3, DAYS).items():
        pd.testing.assert_frame_equal(frame, tables[name])


def test_values_have_three_significant_digits(tables):
    """Except transaction numbers, which are exact integers."""
    metrics = tables["metrics"]
    numbers = metrics["name"].isin(
        [name for name, (unit, _) in METRICS.items() if unit == "transaction number"]
    )
    exact, rounded = metrics.loc[numbers, "value"], metrics.loc[~numbers, "value"]
    assert (exact % 1 == 0).all()
    assert exact.nunique() > 1000
    assert all(float(f"{value:.3g}") == pytest.approx(value, rel=1e-12) for value in rounded.sample(2000))
    assert set(metrics["name"]) <= set(METRICS)


def test_the_writer_changes_at_the_failover(store):
    """shop-1 before, shop-2 after; the history list continues with one minute missing."""
    history = store.metric("history_list_length", DAYS, cluster="shop")
    rows = store.read("metrics", DAYS, cluster="shop").query("name == 'commit_latency'")
    failover = PLAN.times(PLAN.failover)
    assert set(rows.loc[rows["time"] < failover, "instance"]) == {"shop-1"}
    assert set(rows.loc[rows["time"] > failover, "instance"]) == {"shop-2"}
    assert len(history) == len(rows) == PLAN.minutes - 300 - 1


def test_the_gap_shows_in_the_coverage(store):
    """It has no metrics, and the share received is that of the monitored minutes."""
    start, end = PLAN.times(PLAN.gap)
    metrics = store.read("metrics", DAYS, cluster="shop")
    assert not metrics["time"].between(start, end, inclusive="left").any()
    coverage = store.coverage(DAYS, cluster="shop").set_index("table")
    share = coverage.loc["metrics", "received"] / coverage.loc["metrics", "expected"]
    assert share == pytest.approx(1 - 301 / PLAN.minutes, abs=1e-4)
    assert "monitoring off" in coverage.loc["metrics", "note"]


def test_every_row_is_marked_as_simulated(store):
    """In its source."""
    for name in store.versions()["shop"]:
        assert set(store.read(name, cluster="shop")["source"]) == {"simulated"}, name


def test_another_seed_replaces_the_first(tmp_path: Path):
    """Rows of two seeds are never mixed; writing the same seed again makes no commit."""
    opened, days = Store(tmp_path), Window("2026-11-02", "2026-11-05")
    shop.write(opened, 4, days)
    shop.write(opened, 3, days)
    versions = opened.versions()
    shop.write(opened, 3, days)
    assert opened.versions() == versions
    for name, frame in shop.tables(3, days).items():
        assert len(opened.read(name, cluster="shop")) == len(frame), name


def test_the_idle_session_is_in_the_planted_truth_only(tables):
    """The slow log does not have it."""
    assert "idle session" in set(tables["trials"]["workload"])
    assert "idle session" not in set(tables["slow_queries"]["user"])
    assert set(tables["slow_queries"]["digest"]) <= set(tables["statements"]["digest"])


def test_load_is_calls_times_latency(tables):
    """For every short statement both tables agree to 10 %: active sessions = calls per second × latency."""
    calls, load = tables["statement_metrics"], tables["db_load"].query("dimension == 'sql'")
    sessions = calls["calls"] * calls["mean_latency_ms"] / 1000 / calls["period_s"]
    short = calls["mean_latency_ms"] < 1000
    computed = sessions[short].groupby(calls["digest"]).sum() * 12  # twelve periods of five minutes an hour
    measured = load.groupby("member")["active_sessions"].sum().reindex(computed.index)
    assert len(computed) == 7
    assert np.allclose(computed / measured, 1, atol=0.1)


def test_the_release_brings_a_statement(tables):
    """It is absent before the release, and there in every monitored hour after it."""
    digest = tables["statements"]["digest"].iloc[-1]
    mine = tables["statement_metrics"].query("digest == @digest")
    assert tables["statements"]["first_seen"].iloc[-1] == PLAN.times(PLAN.release)
    hours = np.arange(PLAN.release, PLAN.minutes, 60)
    assert list(mine["time"]) == list(PLAN.times(hours[PLAN.observed(hours)]))
    assert digest not in set(tables["slow_queries"]["digest"])


def test_slow_queries_are_those_above_the_limit(tables):
    """A statement's start, end and duration agree, and the shortest is at the log's limit."""
    queries = tables["slow_queries"]
    lasted = (queries["ended_at"] - queries["started_at"]).dt.total_seconds()
    assert np.allclose(lasted, queries["query_time_s"])
    assert queries["query_time_s"].min() >= shop.LONG_QUERY_TIME_S
    assert (tables["instances"]["long_query_time_s"] == shop.LONG_QUERY_TIME_S).all()


def test_the_command_writes_the_fortnight_in_few_megabytes(tmp_path: Path):
    """14 days at one minute; compacted, they are small enough to commit."""
    done = CliRunner().invoke(main, ["lab", "simulate", "--seed", "2", "--store", str(tmp_path)])
    assert done.output.startswith("shop (simulated, seed 2): 2026-10-05 00:00 to 2026-11-16 00:00 UTC")
    Store(tmp_path).compact()
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 6e6


def test_earlier_weeks_are_ordinary_and_hourly():
    """History for comparisons: no failover, no release, no gap and no log."""
    earlier = shop.earlier_tables(3, Window("2026-10-26", "2026-10-28"))
    assert set(earlier) == {"instances", "metrics", "db_load", "statement_metrics", "coverage"}
    assert len(earlier["instances"]) == 3
    commits = earlier["metrics"].query("name == 'commit_latency'")
    assert (len(commits), set(commits["instance"]), set(commits["period_s"])) == (48, {"shop-1"}, {3600.0})
    released = shop.FINGERPRINT.statement(shop.RELEASED[1]).digest
    assert released not in set(earlier["statement_metrics"]["digest"])
    assert set(earlier["coverage"]["note"]) == {"simulated", "simulated; hourly means"}


def test_custom_endpoints_lead_to_readers_only(tables):
    """After the failover shop-1 is behind `dashboards`, and shop-2, the writer, is behind none."""
    last = tables["instances"].groupby("instance")["custom_endpoints"].last()
    assert (tables["instances"]["custom_endpoints"] == "").equals(tables["instances"]["role"] == "writer")
    assert (last["shop-1"], last["shop-3"]) == ("dashboards", "analytics")


def test_examples_are_the_first_logged_execution_of_each_digest(tables):
    """With literals; their digest is that of the statement."""
    examples, logged = tables["examples"], tables["slow_queries"]
    assert set(examples["digest"]) == set(logged["digest"])
    assert [shop.FINGERPRINT.statement(text).digest for text in examples["text"]] == list(examples["digest"])
    firsts = logged.groupby("digest")["ended_at"].min()
    assert examples.set_index("digest")["time"].to_dict() == firsts.to_dict()
