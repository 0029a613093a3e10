"""Latency: quantiles whose answer can be seen, intervals that hold, cuts that are said."""

import re

import numpy as np
import pandas as pd
import pytest

from aurora_analysis.analysis import latency
from aurora_analysis.analysis.latency import distributions
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


def test_quantiles_are_those_of_the_executions():
    """To the 1 % of a bucket."""
    seconds = lognormal()
    found = latency.quantiles(latency.counts(slow_queries(seconds)), WEEK)
    assert found["latency_ms"].to_numpy() == pytest.approx(
        1000 * np.quantile(seconds, latency.QUANTILES), rel=0.015
    )
    assert (found["low_ms"] <= found["latency_ms"]).all()
    assert (found["latency_ms"] <= found["high_ms"]).all()


def test_intervals_know_that_an_hour_hangs_together():
    """Where every block of time has a latency of its own, 4,000 executions are worth 28."""
    rng = np.random.default_rng(4)
    alike = np.repeat(np.exp(rng.normal(0, 1, latency.BLOCKS)), 4000 // latency.BLOCKS)
    wide = latency.quantiles(latency.counts(slow_queries(alike)), WEEK).iloc[0]
    narrow = latency.quantiles(latency.counts(slow_queries(lognormal())), WEEK).iloc[0]
    assert np.log(wide["high_ms"] / wide["low_ms"]) > 4 * np.log(narrow["high_ms"] / narrow["low_ms"])


def test_the_interval_of_the_median_covers_it():
    """In 95 of 100 weeks, give or take 3 standard errors."""
    weeks = [latency.counts(slow_queries(lognormal(1000, seed=seed))) for seed in range(100)]
    medians = pd.concat([latency.quantiles(week, WEEK).iloc[[0]] for week in weeks])
    assert medians["low_ms"].le(1000).mul(medians["high_ms"].ge(1000)).mean() >= 0.95 - 3 * 0.022


def test_a_summary_reads_as_people_say_it():
    """One row a group; the interval stands beside its quantile, or why there is none."""
    week = latency.summary(latency.quantiles(latency.counts(slow_queries(lognormal())), WEEK))
    assert week.columns.to_list() == ["instance", "p50 [ms]", "p95 [ms]", "p99 [ms]", "executions"]
    assert re.fullmatch(r"[\d,]+ \[[\d,]+, [\d,]+\]", week["p50 [ms]"][0])
    few = latency.summary(latency.quantiles(latency.counts(slow_queries([0.5])), WEEK))
    assert few["p99 [ms]"][0].endswith("[too few]")


def test_few_blocks_give_no_interval():
    """Ten executions of one hour: a quantile, and nothing on how sure."""
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


def test_a_distribution_adds_up():
    """Shares sum to one, and the cumulative share ends at one."""
    spread = latency.distribution(latency.counts(slow_queries(lognormal())), by=["instance", "digest"])
    assert spread["share"].sum() == pytest.approx(1)
    assert spread["ecdf"].iloc[-1] == pytest.approx(1)
    assert spread["latency_ms"].is_monotonic_increasing


def test_top_is_by_time_not_by_count():
    """One long execution outweighs many short ones."""
    many, one = slow_queries([0.01] * 100, digest="short"), slow_queries([60.0], digest="long")
    assert latency.top(latency.counts(pd.concat([many, one]))) == ["long", "short"]


def judge(now, before) -> tuple[str, str]:
    executions = latency.counts(slow_queries(now))
    earlier = latency.counts(slow_queries(before, WEEK.previous()))
    (verdict,) = latency.verdicts(latency.shift(executions, earlier, WEEK), executions, cuts())
    return verdict.level, verdict.sentence


def test_half_as_slow_again_is_slower():
    """+50 % is named, with its interval."""
    level, sentence = judge(lognormal(scale=1.5), lognormal(seed=2))
    assert level == "slower"
    assert "of at least 10 ms" in sentence


def test_the_same_is_no_material_shift():
    """Many executions of the same distribution stay within 5 %."""
    assert judge(lognormal(60_000), lognormal(60_000, seed=2))[0] == "no material shift"


def test_few_executions_are_inconclusive_or_unknown():
    """What cannot be told is not called the same."""
    assert judge(lognormal(300), lognormal(300, seed=2))[0] == "inconclusive"
    assert judge(lognormal(20), lognormal(300, seed=2))[0] == "unknown"


def test_no_window_before_is_unknown():
    """The first week has nothing to compare with."""
    assert judge(lognormal(), [])[0] == "unknown"


def test_no_executions_are_unknown():
    """A window without data is no calm window."""
    nothing = latency.counts(slow_queries(np.array([])))
    (verdict,) = latency.verdicts(latency.shift(nothing, nothing, WEEK), nothing, cuts())
    assert (verdict.level, verdict.severity) == ("unknown", "unknown")


def test_the_cut_is_the_strictest_setting():
    """A setting that was changed inside the window hid statements for part of it."""
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


def test_what_the_log_tells_of_all_statements():
    """Of 100,000 the slowest 4,000 were logged: the p99 is known as if all were, the p95 is below the cut."""
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
    assert found["p95 of all [ms]"] == f"< {distributions.three_digits(cut_ms)}"


@pytest.mark.parametrize(
    ("limits", "counted"),
    [
        (LIMITS, pd.Series({"db-3": 1e6})),
        (LIMITS | {"min_examined_row_limit": 1000}, pd.Series({"db-2": 1e6})),
        (LIMITS | {"log_slow_rate_limit": 10.0}, pd.Series({"db-2": 1e6})),
        (LIMITS | {"long_query_time_ms": np.nan}, pd.Series({"db-2": 1e6})),
    ],
)
def test_nothing_is_told_of_all_statements_where_the_log_leaves_out_or_nobody_counted(limits, counted):
    """A sampled log's p99 is nobody's p99."""
    found = latency.identified(latency.counts(slow_queries(lognormal())), counted, cuts().assign(**limits))
    assert set(found.filter(like="of all").iloc[0]) == {"not known"}
