"""Objectives: minutes over the limit, and the share of the error budget spent."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from aurora_analysis.analysis.workload_change import objectives
from aurora_analysis.window import Window

WINDOW = Window("2026-11-09T00:00", "2026-11-09T01:40")  # 100 minutes: one of them is the budget
LIMITS = {"commit_latency": 5.0}


def found(*over: int, minutes: int = 100, **settings: Any) -> pd.DataFrame:
    """Minutes of 5 ms (within: the limit is the most it should be), and of 6 ms in the given minutes."""
    times = pd.date_range(WINDOW.start, periods=minutes, freq="min")
    values = pd.Series([6.0 if minute in over else 5.0 for minute in range(minutes)], index=times)
    return objectives.minutes_over({"commit_latency": values}, LIMITS, WINDOW, **settings)


def test_minutes_over_spend_the_budget():
    """Two minutes over where one may be: 200 % of the budget, and the day is named."""
    row = found(3, 7).iloc[0]
    assert (row["minutes_over"], row["budget_minutes"], row["spent_pct"]) == (2, 1.0, 200.0)
    assert (row["worst_day"], row["coverage"], row["unit"]) == ("2026-11-09", 1.0, "ms")


@pytest.mark.parametrize(
    ("over", "settings", "level", "severity"),
    [
        ((), {}, "within budget", "ok"),
        ((1, 2), {}, "budget spent", "act"),
        ((1, 2), {"budget_pct": 2.5}, "within budget", "watch"),
        ((), {"minutes": 20}, "unknown", "unknown"),
        ((1, 2), {"minutes": 20}, "budget spent", "act"),
    ],
)
def test_the_budget_decides(over, settings, level, severity):
    """Half spent is a watch; unobserved minutes make it unknown, unless the observed ones already spent it."""
    [verdict] = objectives.verdicts(found(*over, **settings))
    assert (verdict.level, verdict.severity) == (level, severity)
    assert "commit latency objective" in verdict.headline


def test_the_sentence_has_its_numbers():
    """Limit, minutes, budget, coverage."""
    [verdict] = objectives.verdicts(found(3, 7))
    assert verdict.sentence == (
        "commit latency was over 5 ms (minute mean) in 2 of 100 minutes observed, 2026-11-09 worst: 200 % of the budget "
        "of 1 minutes. 100 % of the window observed."
    )


def test_samples_within_a_minute_are_one_minute():
    """Ten samples of ten seconds over the limit on average: one minute, not ten."""
    times = pd.date_range(WINDOW.start, periods=12, freq="10s")
    values = pd.Series([9.0] * 6 + [1.0] * 6, index=times)
    row = objectives.minutes_over({"commit_latency": values}, LIMITS, WINDOW).iloc[0]
    assert (row["minutes_observed"], row["minutes_over"]) == (2, 1)


def test_the_worst_day_is_a_day_of_the_reader():
    """Midnight UTC is still Sunday in New York."""
    assert found(3, timezone="America/New_York").iloc[0]["worst_day"] == "2026-11-08"


def test_no_objective_gives_no_verdict():
    """A metric without values is unknown."""
    assert objectives.verdicts(objectives.minutes_over({}, {}, WINDOW)) == []
    empty = pd.Series([], index=pd.DatetimeIndex([], tz="UTC"), dtype=float)
    [verdict] = objectives.verdicts(objectives.minutes_over({"commit_latency": empty}, LIMITS, WINDOW))
    assert verdict.level == "unknown"
