"""Quantiles with known answers, and the coverage of their intervals."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from latency_cases import WEEK, lognormal, slow_queries

from aurora_analysis.analysis import latency
from aurora_analysis.window import Window


def test_quantiles_agree_with_the_raw_executions():
    """Up to the 1 % error of a bucket."""
    seconds = lognormal()
    found = latency.quantiles(latency.counts(slow_queries(seconds)), WEEK)
    assert found["latency_ms"].to_numpy() == pytest.approx(
        1000 * np.quantile(seconds, latency.QUANTILES), rel=0.015
    )
    assert (found["low_ms"] <= found["latency_ms"]).all()
    assert (found["latency_ms"] <= found["high_ms"]).all()


def test_intervals_are_wider_if_executions_of_an_hour_are_alike():
    """If each block of time has its own latency, 4,000 executions are worth 28 independent ones."""
    rng = np.random.default_rng(4)
    similar = np.repeat(np.exp(rng.normal(0, 1, latency.BLOCKS)), 4000 // latency.BLOCKS)
    wide = latency.quantiles(latency.counts(slow_queries(similar)), WEEK).iloc[0]
    narrow = latency.quantiles(latency.counts(slow_queries(lognormal())), WEEK).iloc[0]
    assert np.log(wide["high_ms"] / wide["low_ms"]) > 4 * np.log(narrow["high_ms"] / narrow["low_ms"])


def test_the_interval_of_the_median_has_its_coverage():
    """It contains the true median in 95 of 100 weeks, within 3 standard errors."""
    weeks = [latency.counts(slow_queries(lognormal(1000, seed=seed))) for seed in range(100)]
    medians = pd.concat([latency.quantiles(week, WEEK).iloc[[0]] for week in weeks])
    assert medians["low_ms"].le(1000).mul(medians["high_ms"].ge(1000)).mean() >= 0.95 - 3 * 0.022


def test_a_summary_has_each_quantile_with_its_interval_as_text():
    """One row per group; without an interval the text says why."""
    week = latency.summary(latency.quantiles(latency.counts(slow_queries(lognormal())), WEEK))
    assert week.columns.to_list() == ["instance", "p50 [ms]", "p95 [ms]", "p99 [ms]", "executions"]
    assert re.fullmatch(r"[\d,]+ \[[\d,]+, [\d,]+\]", week["p50 [ms]"][0])
    few = latency.summary(latency.quantiles(latency.counts(slow_queries([0.5])), WEEK))
    assert few["p99 [ms]"][0].endswith("[too few]")


def test_few_blocks_give_no_interval():
    """Ten executions within one hour have quantiles but no interval."""
    hour = Window(WEEK.start, "2026-11-09T01:00")
    found = latency.quantiles(latency.counts(slow_queries(lognormal(10), hour)), WEEK)
    assert found["latency_ms"].notna().all()
    assert found["low_ms"].isna().all()


def test_one_execution_is_a_window_of_a_microsecond():
    """The window of a store that holds one logged execution is too short to cut into blocks."""
    one = Window("2026-11-10 10:00", "2026-11-10 10:00:00.000001")
    found = latency.quantiles(latency.counts(slow_queries([1.5], one)), one)
    assert found["latency_ms"].to_numpy() == pytest.approx(1500, rel=0.015)
    assert found["low_ms"].isna().all()


def test_the_shares_of_a_distribution_sum_to_one():
    """The cumulative share ends at one, too."""
    spread = latency.distribution(latency.counts(slow_queries(lognormal())), by=["instance", "digest"])
    assert spread["share"].sum() == pytest.approx(1)
    assert spread["ecdf"].iloc[-1] == pytest.approx(1)
    assert spread["latency_ms"].is_monotonic_increasing


def test_top_ranks_digests_by_total_time():
    """One long execution ranks above many short ones."""
    many, one = slow_queries([0.01] * 100, digest="short"), slow_queries([60.0], digest="long")
    assert latency.top(latency.counts(pd.concat([many, one]))) == ["long", "short"]
