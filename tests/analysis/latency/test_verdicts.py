"""Verdicts on a shift of latency, with and without the number of all statements."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from latency_cases import WEEK, cuts, lognormal, slow_queries

from aurora_analysis.analysis import latency

LIMITS = {"min_examined_row_limit": 0, "log_slow_rate_limit": 1.0}


def compared(now, before, limits, rates=None, weeks=()) -> latency.Comparison:
    """Both windows' counts of logs; `rates` are all statements per second in them."""
    known = rates or (pd.Series(dtype=float), pd.Series(dtype=float))
    samples = [
        latency.Sample(*given) for given in ((WEEK, now, known[0]), (WEEK.previous(), before, known[1]))
    ]
    return latency.compare(*samples, limits, weeks)


def judge(now, before) -> tuple[str, str]:
    executions = latency.counts(slow_queries(now))
    earlier = latency.counts(slow_queries(before, WEEK.previous()))
    (verdict,) = latency.verdicts(compared(executions, earlier, cuts()))
    return verdict.level, verdict.sentence


def test_fifty_percent_more_latency_is_slower():
    """The sentence names the limit of the slow log."""
    level, sentence = judge(lognormal(scale=1.5), lognormal(seed=2))
    assert level == "slower"
    assert "of at least 10 ms" in sentence


def test_a_sentence_calls_its_interval_an_interval():
    """No bare brackets: a reader must know what the two numbers are."""
    _, sentence = judge(lognormal(scale=1.5), lognormal(seed=2))
    assert re.search(r"\+\d+ % \(95 % confidence interval \+\d+ to \+\d+ %\)", sentence)
    assert "[" not in sentence


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
    (verdict,) = latency.verdicts(compared(nothing, nothing, cuts()))
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
    (verdict,) = latency.verdicts(compared(executions, earlier, cuts(1000.0), known))
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


def pareto_weeks() -> tuple[np.ndarray, np.ndarray]:
    """The window, half as slow again as the previous one; both have the tail of Pareto's law."""
    rng = np.random.default_rng(3)
    before, now = (0.2 * (1 + rng.pareto(1.5, 60_000)) for _ in range(2))
    return 1.5 * now, before


def test_a_slower_scale_free_tail_is_not_called_the_same():
    """A Pareto tail above a cut looks the same at any scale; +50 % shows in the rate only, and the sentence says so."""
    verdict = judge_log(*pareto_weeks())
    assert verdict.severity != "ok"
    assert verdict.numbers["rate_low_pct"] > 50
    assert abs(verdict.numbers["shift_pct"]) < 10
    assert "so the log does not show the size of a shift." in verdict.sentence


def test_an_unchanged_scale_free_tail_is_no_proof_of_no_shift():
    """The rate did not move either, but the log's quantile would not show it if half of the statements moved."""
    now, before = pareto_weeks()
    verdict = judge_log(now / 1.5, before)
    assert (verdict.level, verdict.severity) == ("inconclusive", "unknown")


def test_the_total_number_of_statements_shows_the_size_under_a_scale_free_tail():
    """With all statements counted, the p95 of all of them is known: +50 %, although the log's p95 hardly moves."""
    rate = 60_000 / WEEK.duration.total_seconds()
    now, before = pareto_weeks()
    counted = pd.DataFrame({"instance": ["db-2"], "long_query_time_ms": [1000.0]}).assign(**LIMITS)
    logs = [
        latency.counts(slow_queries(week, window).query("query_time_s >= 1"))
        for week, window in ((now, WEEK), (before, WEEK.previous()))
    ]
    rates = pd.Series({"db-2": rate})
    (verdict,) = latency.verdicts(compared(*logs, counted, (rates, rates)))
    assert verdict.level == "slower"
    assert verdict.numbers["low_pct"] < 50 < verdict.numbers["high_pct"]
    assert "of all statements, of which the log holds" in verdict.sentence
    assert "size of a shift" not in verdict.sentence


def test_histograms_of_all_statements_are_judged_before_the_log():
    """Nine statements in ten are below the cut and became slower; the histogram shows it, and the log is not needed."""
    now, before = (
        latency.counts(slow_queries(week, window))
        for week, window in ((all_statements(0.3, 1.3), WEEK), (all_statements(0.3, seed=2), WEEK.previous()))
    )
    samples = [
        latency.Sample(window, counts[counts["bucket"] > 345], counted=counts)
        for window, counts in ((WEEK, now), (WEEK.previous(), before))
    ]
    (verdict,) = latency.verdicts(latency.compare(*samples, cuts(1000.0)))
    assert verdict.level == "slower"
    assert "The p95 of all statements went from" in verdict.sentence
    assert "Logged executions" not in verdict.sentence


def test_a_third_faster_is_faster():
    """The same number of logged executions, with lower quantiles."""
    assert judge(lognormal(scale=0.67), lognormal(seed=2))[0] == "faster"


def test_statements_are_not_faster_while_more_of_them_reach_the_log():
    """The p95 falls clearly, but 3 % more executions are logged, so faster is not certain."""
    now = np.concatenate([lognormal(scale=0.67), lognormal(120, 0.67, 7)])
    level, _ = judge(now, lognormal(seed=2))
    assert level == "inconclusive"
