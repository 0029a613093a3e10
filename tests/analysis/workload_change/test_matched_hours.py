"""Windows matched hour by hour: ratios with obvious answers, and calibrated standard errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from aurora_analysis.analysis.workload_change import matched_hours
from aurora_analysis.window import Window

WEEK = Window("2026-11-09", "2026-11-16")
SUBJECTS = pd.MultiIndex.from_tuples([("a",)], names=["subject"])


def hours(values, window: Window = WEEK, weight: float = 1.0) -> pd.DataFrame:
    """One subject's hours with these means."""
    times = pd.date_range(window.start, periods=len(values), freq="h")
    return pd.DataFrame(
        {"time": times, "subject": "a", "total": np.asarray(values, float) * weight, "weight": weight}
    )


def totals(values, window: Window = WEEK) -> matched_hours.HourlyTotals:
    return matched_hours.by_weekday(hours(values, window), window, SUBJECTS, "UTC")


def test_the_shape_of_the_week_cancels():
    """Twice as much in every hour is twice as much, whatever the hours look like."""
    shape = 1 + np.arange(168) % 24
    assert matched_hours.log_ratio(totals(2 * shape), totals(shape)) == pytest.approx(np.log(2))


def test_only_hours_that_both_have_count():
    """A day that one window lacks is left out of the other, too."""
    now, before = np.ones(168), np.ones(168)
    before[:24] = 100.0
    lacking = matched_hours.by_weekday(hours(now).iloc[24:], WEEK, SUBJECTS, "UTC")
    assert matched_hours.log_ratio(lacking, totals(before)) == pytest.approx(0.0)


def test_hours_are_local():
    """Monday 00:00 in Tokyo is Sunday 15:00 UTC."""
    found = matched_hours.by_weekday(hours([7.0]), WEEK, SUBJECTS, "Asia/Tokyo")
    assert found.mean[0, 0, 9] == 7.0


def test_one_odd_day_makes_the_interval_wide():
    """A week that is 20 % higher on every day is surer than one whose Wednesday is 240 % higher."""
    rng = np.random.default_rng(1)
    before = np.exp(rng.normal(0, 0.02, 168))
    odd = np.where(np.arange(168) // 24 == 2, 2.4, 1.0)
    every, _ = matched_hours.paired_jackknife_se(
        totals(1.2 * np.exp(rng.normal(0, 0.02, 168))), totals(before)
    )
    one, df = matched_hours.paired_jackknife_se(totals(odd), totals(before))
    assert df == 6
    assert one > 20 * every


def test_the_jackknife_se_matches_the_spread_of_days():
    """Days that differ by 10 % each: the mean of seven is known to 10 % / √7."""
    errors, truth = [], []
    for seed in range(200):
        day = np.random.default_rng(seed).normal(0, 0.1, 7)
        now = totals(np.exp(np.repeat(day, 24)))
        errors.append(matched_hours.paired_jackknife_se(now, totals(np.ones(168)))[0][0] ** 2)
        truth.append(matched_hours.log_ratio(now, totals(np.ones(168)))[0])
    assert np.sqrt(np.mean(errors)) == pytest.approx(np.std(truth), rel=0.15)


def test_days_of_either_window_are_left_out_where_weekdays_differ():
    """Two days before and four days after: the surer window does not hide the other's noise."""
    three, four = Window("2026-11-09", "2026-11-12"), Window("2026-11-12", "2026-11-16")
    now = matched_hours.by_date(hours(np.repeat([1.0, 1.1, 0.9, 1.0], 24), four), four, SUBJECTS, "UTC")
    steady = matched_hours.by_date(hours(np.ones(72), three), three, SUBJECTS, "UTC")
    se, df = matched_hours.unpaired_jackknife_se(now, steady)
    assert df == 2
    assert se == pytest.approx(np.std([1.0, 1.1, 0.9, 1.0], ddof=1) / 2, rel=0.02)


def test_two_days_give_no_interval():
    """Missing, not small."""
    lasted = Window("2026-11-09", "2026-11-11")
    two = matched_hours.by_weekday(hours(np.ones(48), lasted), lasted, SUBJECTS, "UTC")
    assert np.isnan(matched_hours.paired_jackknife_se(two, totals(np.ones(168)))[0])
