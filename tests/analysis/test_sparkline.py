"""Sparklines: means that can be counted by hand, gaps that stay gaps, the weeks before beside them."""

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


def test_a_part_is_the_mean_of_its_hours():
    """Two hours each in a week; the change is against the window before, the band is that of all before."""
    rows = pd.concat([hours(WEEK, 3.0), hours(BEFORE[0], 2.0), hours(BEFORE[1], 4.0)])
    (told,) = sparklines("topic", rows, {"latency": "ms"}, WEEK, BEFORE, limits={"writer": 8.0})
    assert told.course == [3.0] * POINTS
    assert (told.mean, told.change_pct, told.limit) == (3.0, 50.0, 8.0)
    assert (set(told.low), set(told.high)) == ({2.0}, {4.0})
    assert str(told) == "writer latency: 3 ms on average, +50 % against the window before, limit 8"


def test_what_was_not_observed_is_a_gap():
    """Neither zero nor bridged; the change is over what both windows have."""
    rows = pd.concat([hours(WEEK, 3.0).iloc[48:], hours(BEFORE[0], 3.0)])
    (told,) = sparklines("topic", rows, {"latency": "ms"}, WEEK, BEFORE)
    assert told.course[:25] == [None] * 24 + [3.0]
    assert told.change_pct == 0.0
    assert told.to_dict()["course"].split()[23:26] == ["-", "3", "3"]


def test_the_writer_comes_first_and_a_handful_of_points_is_no_course():
    """Readers follow by name."""
    roles = ("shop-2", "writer")
    rows = pd.concat([*(hours(WEEK, 1.0, role) for role in roles), hours(WEEK, 1.0, "shop-3").iloc[:12]])
    assert [told.role for told in sparklines("topic", rows, {"latency": "ms"}, WEEK)] == ["writer", "shop-2"]


@pytest.mark.parametrize("before", [[], BEFORE])
def test_without_another_window_there_is_no_change(before):
    """An empty one is none."""
    (told,) = sparklines("topic", hours(WEEK, 1.0), {"latency": "ms"}, WEEK, before)
    assert (told.change_pct, told.low, told.high) == (None, [], [])
