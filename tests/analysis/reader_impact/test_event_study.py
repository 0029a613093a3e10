"""Aligned runs show no effect before, the planted effect during, and none after."""

from __future__ import annotations

import numpy as np
import pytest

from aurora_analysis.analysis.reader_impact import event_study

DAYS = 14
MINUTES = DAYS * 1440


def exposed() -> np.ndarray:
    """A run of half an hour at another time of every day."""
    open_ = np.zeros(MINUTES)
    for day in range(DAYS):
        start = day * 1440 + 200 + 70 * day
        open_[start : start + 30] = 1
    return open_


def effects(planted: float = 0.2, noise: float = 0.0, seed: int = 1):
    open_ = exposed()
    logs = 1.5 + planted * open_ + noise * np.random.default_rng(seed).normal(size=MINUTES)
    return event_study.aligned(logs, open_, np.arange(MINUTES) // 1440)


def test_the_effect_appears_during_the_runs():
    """20 log points between start and end, zero outside."""
    found = effects()
    starts = found[found["edge"] == "start"].set_index("minute")
    ends = found[found["edge"] == "end"].set_index("minute")
    assert starts.loc[-57.5, "effect_pct"] == pytest.approx(0, abs=1e-9)
    assert starts.loc[2.5, "effect_pct"] == pytest.approx(100 * np.expm1(0.2))
    assert starts.loc[32.5, "effect_pct"] == pytest.approx(0, abs=1e-9)
    assert ends.loc[-2.5, "effect_pct"] == pytest.approx(100 * np.expm1(0.2))
    assert ends.loc[2.5, "effect_pct"] == pytest.approx(0, abs=1e-9)
    assert starts.loc[[-2.5, 27.5, 32.5], "exposed_share"].to_list() == [0, 1, 0]
    assert set(found["runs"]) == {14}


def test_the_interval_covers_zero_without_an_effect():
    """About 95 % of the intervals of bins without an effect contain zero."""
    held = [
        (row["low_pct"] <= 0) & (row["high_pct"] >= 0)
        for seed in range(20)
        for _, row in effects(0.0, 0.1, seed).iterrows()
    ]
    assert 0.92 <= np.mean(held) <= 0.98


def test_few_days_give_no_interval():
    """Runs on three days give a mean but no interval."""
    open_ = np.where(np.arange(MINUTES) < 3 * 1440, exposed(), 0)
    found = event_study.aligned(open_ * 0.2, open_, np.arange(MINUTES) // 1440)
    assert found["effect_pct"].notna().all()
    assert found["low_pct"].isna().all()


def test_minutes_outside_the_window_are_missing_not_zero():
    """A run that begins with the window has no minutes before it."""
    open_ = np.zeros(MINUTES)
    open_[:30] = 1
    found = event_study.aligned(open_, open_, np.arange(MINUTES) // 1440)
    before = found[(found["edge"] == "start") & (found["minute"] < 0)]
    assert before["effect_pct"].isna().all()
