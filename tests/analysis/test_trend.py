"""One workload's effect over many weeks: pooled, and valid however often it is looked at."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import scipy

from aurora_analysis.analysis import trend
from aurora_analysis.analysis.trend import WeekEffect

FIRST, DF = datetime(2026, 6, 1, tzinfo=UTC), 9.0


def fortnights(*effects_pct: float, half_width: float = 5.0) -> list[WeekEffect]:
    """Windows of two weeks, one after the other, each with a 95 % interval of about `half_width` to both sides."""
    days = [FIRST + timedelta(days=14 * n) for n in range(len(effects_pct) + 1)]
    reach = half_width / scipy.stats.t.isf(0.025, DF) / 100
    return [
        WeekEffect(start, end, np.log1p(effect / 100), reach, DF)
        for start, end, effect in zip(days, days[1:], effects_pct)
    ]


def judge(*effects_pct: float, half_width: float = 5.0):
    return trend.verdict("snowflake", "commit_latency", fortnights(*effects_pct, half_width=half_width))


def test_weeks_that_are_inconclusive_alone_show_an_effect_together():
    """Eight fortnights of about +4 %, each with an interval of 5 points to both sides, are a small effect."""
    found = judge(4.0, 5.0, 3.0, 4.5, 3.5, 4.0, 5.0, 3.0)
    assert (found.level, found.severity) == ("slows a little", "watch")
    assert found.numbers["low_pct"] > 0
    assert found.headline == "Over 8 windows, snowflake slows the writer a little, by 4 %"
    assert "valid however often the reports are looked at" in found.sentence


def test_a_material_effect_over_weeks_asks_for_action():
    """Twice the effect is found sooner, and is to be acted on."""
    found = judge(9.0, 8.0, 10.0, 9.0, 8.5)
    assert (found.level, found.severity) == ("slows", "act")


def test_the_same_sign_alone_is_no_effect():
    """Five fortnights of about +1 % stay open; the sentence says that they have the same sign."""
    found = judge(1.0, 1.5, 0.5, 1.0, 1.2)
    assert (found.level, found.severity) == ("inconclusive", "unknown")
    assert "The newest 5 windows have the same sign." in found.sentence


def test_many_weeks_without_an_effect_are_ok():
    """Fortnights around zero are narrower together than the materiality of 5 %."""
    found = judge(*np.tile([1.0, -1.0], 8), half_width=4.0)
    assert (found.level, found.severity) == ("no material effect", "ok")


def test_weeks_in_which_a_part_was_not_measured_exclude_nothing():
    """One window without the log of a reader: its small effect may be a diluted one, so nothing is `ok`."""
    weeks = fortnights(*np.tile([1.0, -1.0], 8), half_width=4.0)
    weeks[3] = replace(weeks[3], complete=False)
    found = trend.verdict("snowflake", "commit_latency", weeks)
    assert (found.level, found.severity) == ("inconclusive", "unknown")
    assert "may be larger" in found.sentence


def test_weeks_that_contradict_each_other_stay_open():
    """Between +20 % and -15 % there is no common effect to report, however narrow each interval is."""
    found = judge(20.0, -15.0, 18.0, -12.0, half_width=1.0)
    assert found.severity == "unknown"
    assert found.numbers["spread_pct"] > 10


def test_windows_with_common_days_count_once():
    """Weekly reports that compare two weeks share half of their days; a later report never changes the selection."""
    weekly = [
        WeekEffect(FIRST + timedelta(days=7 * n), FIRST + timedelta(days=7 * n + 14), 0.04, 0.022, DF)
        for n in range(6)
    ]
    assert trend.apart(weekly) == weekly[::2]
    for seen in range(1, 7):
        assert trend.apart(weekly[:seen]) == weekly[:seen][::2]
    assert trend.verdict("snowflake", "commit_latency", weekly[:4]) is None


@pytest.mark.parametrize("effect", [-8.0, -1.0, 0.0, 1.0, 3.0, 8.0])
def test_no_sentence_contradicts_its_interval(effect):
    """An effect is claimed only if the interval excludes zero, and the printed effect lies in the printed interval."""
    found = judge(*(effect + np.linspace(-1, 1, 7)))
    low, high = (found.numbers[name] for name in ("low_pct", "high_pct"))
    assert low <= found.numbers["effect_pct"] <= high
    claims = {"slows": low > 0, "slows a little": low > 0, "speeds up": high < 0}
    assert claims.get(found.level, True)
    assert re.search(r"95 % confidence interval [+-][\d.]+ to [+-][\d.]+ %", found.sentence)


def test_weekly_looks_at_no_effect_seldom_find_one():
    """Over 15 looks, an ordinary interval errs in many series and the confidence sequence in few."""
    rng, wrong, ordinary = np.random.default_rng(7), 0, 0
    for _ in range(40):
        effects = 2.5 * rng.standard_normal(15)
        weeks = fortnights(*effects, half_width=2.5 * scipy.stats.norm.isf(0.025))
        looks = [trend.pooled(weeks[:n]) for n in range(3, 16)]
        wrong += any(one.low_pct > 0 or one.high_pct < 0 for one in looks)
        means = np.abs(np.cumsum(effects) / np.arange(1, 16)) * np.sqrt(np.arange(1, 16)) / 2.5
        ordinary += (means[2:] > scipy.stats.norm.isf(0.025)).any()
    assert wrong <= 3
    assert ordinary > wrong


def test_clusters_that_are_open_alone_show_an_effect_together():
    """Six clusters with two fortnights of about +6 % each: no cluster has a trend of its own yet, the pool has."""
    clusters = {f"shop-{n}": fortnights(5.5 + 0.2 * n, 6.0) for n in range(6)}
    assert all(trend.verdict("snowflake", "commit_latency", weeks) is None for weeks in clusters.values())
    found = trend.pool_verdict("snowflake", "commit_latency", "shops", clusters)
    assert (found.level, found.severity) == ("slows", "act")
    assert found.headline.startswith("Over 12 windows of 6 clusters, snowflake slows the writer by 6")
    assert "In the pool shops (shop-0, shop-1," in found.sentence


def test_a_pool_is_as_uncertain_as_its_clusters_differ():
    """Three clusters at +20, 0 and -15 % have no common effect, however many fortnights there are."""
    clusters = {
        name: fortnights(*[effect] * 8, half_width=2.0) for name, effect in zip("abc", (20.0, 0.0, -15.0))
    }
    found = trend.pool_verdict("snowflake", "commit_latency", "shops", clusters)
    assert found.level == "inconclusive"
    assert found.numbers["spread_pct"] > 10


def test_two_clusters_are_no_pool():
    """The variance between two clusters cannot be estimated; clusters without a window do not count."""
    clusters = {"a": fortnights(9.0, 9.0), "b": fortnights(9.0), "c": []}
    assert trend.pool_verdict("snowflake", "commit_latency", "shops", clusters) is None


def test_one_window_that_was_not_measured_fully_keeps_a_pool_from_being_harmless():
    """A cluster without the log of a reader: its small effect may be a diluted one."""
    clusters = {name: fortnights(*np.tile([0.4, -0.4], 6), half_width=2.0) for name in "abcdef"}
    assert trend.pool_verdict("etl", "commit_latency", "shops", clusters).level == "no material effect"
    clusters["c"][2] = replace(clusters["c"][2], complete=False)
    found = trend.pool_verdict("etl", "commit_latency", "shops", clusters)
    assert (found.level, found.severity) == ("inconclusive", "unknown")
