"""Verdicts on a shift of latency, with and without the number of all statements."""

from __future__ import annotations

import numpy as np
import pandas as pd
from latency_cases import WEEK, cuts, lognormal, slow_queries

from aurora_analysis.analysis import latency


def judge(now, before) -> tuple[str, str]:
    executions = latency.counts(slow_queries(now))
    earlier = latency.counts(slow_queries(before, WEEK.previous()))
    shifts, rates = latency.shift(executions, earlier, WEEK), latency.rate_shift(executions, earlier, WEEK)
    (verdict,) = latency.verdicts(shifts, rates, executions, cuts())
    return verdict.level, verdict.sentence


def test_fifty_percent_more_latency_is_slower():
    """The sentence names the limit of the slow log."""
    level, sentence = judge(lognormal(scale=1.5), lognormal(seed=2))
    assert level == "slower"
    assert "of at least 10 ms" in sentence


def test_the_same_distribution_is_no_material_shift():
    """Many executions of the same distribution stay within 5 %."""
    assert judge(lognormal(60_000), lognormal(60_000, seed=2))[0] == "no material shift"


def test_few_executions_are_inconclusive_or_unknown():
    """Too little data is not reported as no shift."""
    assert judge(lognormal(300), lognormal(300, seed=2))[0] == "inconclusive"
    assert judge(lognormal(20), lognormal(300, seed=2))[0] == "unknown"


def test_no_window_before_is_unknown():
    """The first week has no week to compare with."""
    assert judge(lognormal(), [])[0] == "unknown"


def test_no_executions_are_unknown():
    """A window without data is not a quiet window."""
    nothing = latency.counts(slow_queries(np.array([])))
    rates = latency.rate_shift(nothing, nothing, WEEK)
    (verdict,) = latency.verdicts(latency.shift(nothing, nothing, WEEK), rates, nothing, cuts())
    assert (verdict.level, verdict.severity) == ("unknown", "unknown")


def all_statements(bulk_s: float, scale: float = 1.0, seed: int = 1) -> np.ndarray:
    """A week's 60,000 statements in random order: 90 % around `bulk_s`, 10 % in a tail of seconds."""
    rng = np.random.default_rng(seed)
    bulk = bulk_s * np.exp(0.6 * rng.standard_normal(54_000))
    tail = 2 * np.exp(0.8 * rng.standard_normal(6_000))
    return scale * rng.permutation(np.concatenate([bulk, tail]))


def judge_log(now: np.ndarray, before: np.ndarray, rates: tuple[float, float] | None = None):
    """The verdict on logs cut at one second; `rates` are all statements per second in both windows."""
    executions = latency.counts(slow_queries(now).query("query_time_s >= 1"))
    earlier = latency.counts(slow_queries(before, WEEK.previous()).query("query_time_s >= 1"))
    known = None if rates is None else tuple(pd.Series({"db-2": rate}) for rate in rates)
    shifts = latency.shift(executions, earlier, WEEK)
    (verdict,) = latency.verdicts(
        shifts, latency.rate_shift(executions, earlier, WEEK, known), executions, cuts(1000.0)
    )
    return verdict


def test_statements_that_slow_down_past_the_cut_are_not_faster():
    """90 % of statements go from 0.3 to 0.6 s: the log's p95 falls because the log doubles."""
    verdict = judge_log(all_statements(0.6), all_statements(0.3, seed=2))
    assert verdict.numbers["shift_pct"] < -5
    assert verdict.numbers["rate_low_pct"] > 50
    assert (verdict.level, verdict.severity) == ("inconclusive", "unknown")
    assert "More statements exceed the cut, which by itself lowers the log's quantiles." in verdict.sentence
    assert "the number of all statements is unknown" in verdict.sentence


def test_a_larger_share_of_all_statements_above_the_cut_is_slower():
    """The weeks are the same, and the number of all statements did not change."""
    verdict = judge_log(all_statements(0.6), all_statements(0.3, seed=2), (100.0, 100.0))
    assert (verdict.level, verdict.severity) == ("slower", "watch")
    assert "as a share of all statements they moved by" in verdict.sentence


def test_more_traffic_alone_is_not_slower():
    """Twice as many statements with the same latencies: the log doubles, its share does not."""
    twice = np.random.default_rng(5).permutation(np.tile(all_statements(0.3), 2))
    verdict = judge_log(twice, all_statements(0.3, seed=2), (200.0, 100.0))
    assert verdict.level in {"no material shift", "inconclusive"}
    assert abs(verdict.numbers["rate_pct"]) < 5


def test_statements_that_speed_up_below_the_cut_are_not_slower():
    """The reverse: the bulk leaves the log, so the p95 of what stays rises."""
    verdict = judge_log(all_statements(0.3), all_statements(0.6, seed=2))
    assert verdict.numbers["low_pct"] > 5
    assert verdict.level == "inconclusive"
    assert "Fewer statements exceed the cut" in verdict.sentence


def test_a_slower_scale_free_tail_is_not_called_the_same():
    """A Pareto tail above a cut looks the same at any scale; +50 % shows in the rate only."""
    rng = np.random.default_rng(3)
    before, now = (0.2 * (1 + rng.pareto(1.5, 60_000)) for _ in range(2))
    verdict = judge_log(1.5 * now, before)
    assert verdict.severity != "ok"
    assert verdict.numbers["rate_low_pct"] > 50


def test_a_third_faster_is_faster():
    """The same number of logged executions, with lower quantiles."""
    assert judge(lognormal(scale=0.67), lognormal(seed=2))[0] == "faster"
