"""What a query would do that nobody has run yet: right on planted rates, and on episodes that it has not seen."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from aurora_analysis import Store, resources
from aurora_analysis.analysis import workloads
from aurora_analysis.analysis.series import stretches
from aurora_analysis.analysis.undo_log import forecast, holders
from aurora_analysis.errors import Error

START = pd.Timestamp("2026-11-02", tz="UTC")  # a Monday
MINUTES = pd.date_range(START, periods=14 * 1440, freq="min")


def throughput(spread: float = 0.0) -> pd.Series:
    """100 commits a second, 300 from 14 to 17 o'clock, half of it at the weekend; days differ by `spread`."""
    rate = np.where((MINUTES.hour >= 14) & (MINUTES.hour < 17), 300.0, 100.0)
    days = np.exp(np.random.default_rng(1).normal(0, spread, 14))[(MINUTES - START).days]
    return pd.Series(rate * np.where(MINUTES.day_of_week >= 5, 0.5, 1) * days, MINUTES)


def held(entries: list[float]) -> pd.DataFrame:
    """A view every weekday from 3 to 4 o'clock, each with so many entries a transaction; commits are 100 a second."""
    state = pd.DataFrame({"run": pd.NA, "length": 500.0}, index=MINUTES).astype({"run": "Int64"})
    for n, each in zip((0, 1, 2, 3, 4, 7, 8, 9, 10, 11), entries):
        span = (START + pd.Timedelta(days=n, hours=3) <= MINUTES) & (
            START + pd.Timedelta(days=n, hours=4) >= MINUTES
        )
        state.loc[span, "run"] = n
        state.loc[span, "length"] = 500 + 6000 * each * np.arange(61)
    return state


def test_the_list_reaches_what_is_committed_meanwhile():
    """Three hours at 300 commits a second of 1.5 entries each."""
    found = forecast.reach(held([1.5] * 5), throughput(), hours=3, weekday="Tuesday", hour=14)
    assert found.length == pytest.approx(500 + 3 * 3600 * 300 * 1.5, rel=1e-3)
    assert (found.rates, found.rates_of) == (10, "weekdays at that hour")
    sentence = str(found.told(3, "Tuesday", 14))
    assert "for 3 h from Tuesday 14:00 UTC lets the history list reach 4,860,000 transactions" in sentence
    assert "each leaves 1.50 entries (5 spans" in sentence


def test_the_hour_and_the_kind_of_day_count():
    """At night a third of it, on a Sunday half; people's clock is asked, and seldom weekdays stand by themselves."""
    of = {
        key: forecast.reach(
            held([1.0] * 5), throughput(), hours=3, weekday=key[0], hour=key[1], timezone=key[2]
        )
        for key in [("Tue", 1, "UTC"), ("Sun", 14, "UTC"), ("Tue", 15, "Europe/Berlin")]
    }
    lengths = [round(found.length / 3 / 3600) for found in of.values()]
    assert lengths == [100, 150, 300]


def test_the_interval_is_of_one_run_and_widens_with_what_is_not_known():
    """Days that differ, entries that differ, fewer spans: each makes it wider."""
    sure = forecast.reach(held([1.0] * 9), throughput(), hours=3)
    days = forecast.reach(held([1.0] * 9), throughput(0.2), hours=3)
    entries = forecast.reach(held([0.8, 1.25] * 4), throughput(), hours=3)
    few = forecast.reach(held([0.8, 1.25]), throughput(), hours=3)
    width = [found.high / found.low for found in (sure, entries, few)]
    assert width[0] < 1.01 < width[1] < width[2]
    assert days.high / days.low > 2


def test_too_little_is_said():
    """No view was ever held, or no such hour observed: no number."""
    nobody = forecast.reach(held([]), throughput(), hours=3)
    short = forecast.reach(held([1.0] * 5), throughput()[:600], hours=30)
    assert np.isnan(nobody.length)
    assert np.isnan(short.length)
    assert "cannot be judged from this window" in str(nobody.told(3, "Tuesday", 14))
    assert np.isnan(forecast.reach(held([1.0])[:0], throughput()[:0], hours=3).length)


@pytest.mark.parametrize("weekday", ["Caturday", "T", ""])
def test_a_weekday_that_is_none_is_one_clear_line(weekday):
    """As a notebook's parameter gives it."""
    with pytest.raises(Error, match="There is no weekday"):
        forecast.reach(held([1.0]), throughput(), hours=3, weekday=weekday)


@pytest.mark.parametrize(("cluster", "holds", "missed"), [("lab", 16, 1), ("shop", 75, 6)])
def test_each_episode_is_predicted_from_the_others(cluster, holds, missed):
    """On the recording of a real InnoDB, and on the simulated fortnight: 95 % of the peaks lie in their intervals.

    Some of shop's began while another view was open, which the sentence excludes.
    """
    store = Store(resources.sample())
    window = store.span(cluster)
    slow = store.read("slow_queries", window, cluster=cluster, overlapping=True)
    history = store.metric("history_list_length", window, cluster=cluster)
    commits = store.metric("commit_throughput", window, cluster=cluster)
    runs = workloads.exposures(slow, shortest_s=10)
    found = holders.holders(history, holders.committed(commits), runs)
    who = found["run"].fillna(-1).to_numpy(dtype=int)
    spans = [(a, b) for a, b in stretches(who) if who[a] >= 0 and b - a >= holders.SHORTEST_RUN]
    inside = [_predicted(found, commits, *span) for span in spans]
    assert len(spans) == holds
    assert inside.count(False) <= missed


def _predicted(found: pd.DataFrame, commits: pd.Series, first: int, last: int) -> bool:
    """Whether the peak of a span lies in what the others let expect of its length and hour."""
    others = found.assign(run=found["run"].mask(found.index.isin(found.index[first:last])))
    start, end = found.index[max(first - 1, 0)], found.index[last - 1]
    when = {"weekday": f"{start:%A}", "hour": start.hour + start.minute / 60}
    hours = (end - start).total_seconds() / 3600
    reach = forecast.reach(others, commits, hours=hours, **when)
    return bool(reach.low <= found["length"].iloc[first:last].max() <= reach.high)
