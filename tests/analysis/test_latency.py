"""Latency: quantiles with known answers, the coverage of intervals, limits of the slow log, and verdicts."""

import re

import numpy as np
import pandas as pd
import pytest

from aurora_analysis.analysis import latency
from aurora_analysis.analysis.verdict import three_digits
from aurora_analysis.window import Window

WEEK = Window("2026-11-09", "2026-11-16")


def slow_queries(
    query_time_s, window: Window = WEEK, instance: str = "db-2", digest: str = "d1"
) -> pd.DataFrame:
    """Executions spread evenly over a window."""
    ends = window.start + pd.to_timedelta(
        np.arange(len(query_time_s)) * (window.duration / max(len(query_time_s), 1))
    )
    return pd.DataFrame(
        {"ended_at": ends, "instance": instance, "digest": digest, "query_time_s": query_time_s}
    )


def lognormal(n: int = 4000, scale: float = 1.0, seed: int = 1) -> np.ndarray:
    return scale * np.exp(np.random.default_rng(seed).normal(0, 1, n))


def cuts(long_query_time_ms: float = 10.0) -> pd.DataFrame:
    return pd.DataFrame({"instance": ["db-2"], "long_query_time_ms": [long_query_time_ms]})


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


def test_the_cut_is_the_strictest_setting():
    """A limit that was changed inside the window hid statements for part of it."""
    seen = pd.DataFrame(
        {
            "instance": ["db-2", "db-2"],
            "long_query_time_s": [0.5, 2.0],
            "min_examined_row_limit": [0, 0],
            "log_slow_rate_limit": [1.0, 1.0],
        }
    )
    assert latency.cut(seen)["long_query_time_ms"].tolist() == [2000.0]


LIMITS = {"min_examined_row_limit": 0, "log_slow_rate_limit": 1.0}


def test_a_log_of_the_slowest_statements_determines_their_upper_quantiles():
    """The log has the slowest 4,000 of 100,000 statements: the p99 is exact, the p95 lies below the cut."""
    every = np.sort(lognormal(100_000))
    logged, cut_ms = every[-4000:], 1000 * every[-4000]
    metrics = pd.DataFrame({"instance": "db-2", "value": [0.5, 0.5], "period_s": [100_000.0] * 2})
    counted = latency.statements(metrics)
    found = latency.identified(
        latency.counts(slow_queries(logged)), counted, cuts(cut_ms).assign(**LIMITS)
    ).iloc[0]
    assert found["logged_pct"] == pytest.approx(4)
    assert float(found["p99 of all [ms]"].replace(",", "")) == pytest.approx(
        1000 * np.quantile(every, 0.99), rel=0.02
    )
    assert found["p95 of all [ms]"] == f"< {three_digits(cut_ms)}"


@pytest.mark.parametrize(
    ("limits", "counted"),
    [
        (LIMITS, pd.Series({"db-3": 1e6})),
        (LIMITS | {"min_examined_row_limit": 1000}, pd.Series({"db-2": 1e6})),
        (LIMITS | {"log_slow_rate_limit": 10.0}, pd.Series({"db-2": 1e6})),
        (LIMITS | {"long_query_time_ms": np.nan}, pd.Series({"db-2": 1e6})),
    ],
)
def test_a_sampled_log_or_an_unknown_total_determines_no_quantile_of_all_statements(limits, counted):
    """The p99 of a sample of slow statements is not the p99 of all."""
    found = latency.identified(latency.counts(slow_queries(lognormal())), counted, cuts().assign(**limits))
    assert set(found.filter(like="of all").iloc[0]) == {"not known"}
