"""Sparklines: means checked by hand, gaps, and the comparison with earlier weeks."""

from __future__ import annotations

import pandas as pd
import pytest

from aurora_analysis.analysis.sparkline import POINTS, sparklines
from aurora_analysis.window import Window

WEEK = Window("2026-11-09", "2026-11-16")
BEFORE = [WEEK.previous(), WEEK.previous().previous()]


def hours(window: Window, value: float, role: str = "writer") -> pd.DataFrame:
    times = pd.date_range(window.start, window.end, freq="h", inclusive="left")
    return pd.DataFrame({"time": times, "role": role, "measure": "latency", "value": value})


def test_a_point_is_the_mean_of_its_part_of_the_window():
    """The change is against the previous window; the band spans all earlier windows."""
    rows = pd.concat([hours(WEEK, 3.0), hours(BEFORE[0], 2.0), hours(BEFORE[1], 4.0)])
    (line,) = sparklines("topic", rows, {"latency": "ms"}, WEEK, BEFORE, limits={"writer": 8.0})
    assert line.course == [3.0] * POINTS
    assert (line.mean, line.change_pct, line.limit) == (3.0, 50.0, 8.0)
    assert (set(line.low), set(line.high)) == ({2.0}, {4.0})
    assert str(line) == "writer latency: 3 ms on average, +50 % against the previous window, limit 8"


def test_unobserved_time_is_a_gap():
    """It is neither zero nor bridged; the change uses only parts that both windows have."""
    rows = pd.concat([hours(WEEK, 3.0).iloc[48:], hours(BEFORE[0], 3.0)])
    (line,) = sparklines("topic", rows, {"latency": "ms"}, WEEK, BEFORE)
    assert line.course[:25] == [None] * 24 + [3.0]
    assert line.change_pct == 0.0
    assert line.to_dict()["course"].split()[23:26] == ["-", "3", "3"]


def test_the_writer_comes_first_and_short_series_are_omitted():
    """Readers follow by name; twelve hours give too few points."""
    roles = ("shop-2", "writer")
    rows = pd.concat([*(hours(WEEK, 1.0, role) for role in roles), hours(WEEK, 1.0, "shop-3").iloc[:12]])
    assert [line.role for line in sparklines("topic", rows, {"latency": "ms"}, WEEK)] == ["writer", "shop-2"]


@pytest.mark.parametrize("before", [[], BEFORE])
def test_without_another_window_there_is_no_change(before):
    """An earlier window without data counts as none."""
    (line,) = sparklines("topic", hours(WEEK, 1.0), {"latency": "ms"}, WEEK, before)
    assert (line.change_pct, line.low, line.high) == (None, [], [])
