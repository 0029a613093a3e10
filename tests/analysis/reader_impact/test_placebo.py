"""Placebos keep the time of day, and too many false effects withdraw every verdict."""

from __future__ import annotations

import numpy as np
from impact_cases import design, scattered, slowed, writer

from aurora_analysis.analysis import reader_impact
from aurora_analysis.analysis.reader_impact import controls, placebo


def test_placebos_measure_the_false_positive_rate_on_these_data():
    """On a well-behaved writer few placebos show an effect."""
    latency, load = writer()
    row = reader_impact.effects(design(latency, load, scattered()), placebos=40).iloc[0]
    assert 0 <= row["placebo_reject_pct"] <= placebo.REJECTED_MOST


def test_too_many_false_effects_on_placebos_withdraw_the_verdict(monkeypatch):
    """If 30 % of placebos show an effect, every verdict becomes `cannot tell`."""
    monkeypatch.setattr(placebo, "rejected_pct", lambda *_, **__: {"commit_latency": 30.0})
    latency, load = writer()
    row = reader_impact.effects(design(slowed(latency, scattered(), 10), load, scattered()), placebos=1).iloc[
        0
    ]
    assert row["level"] == "cannot tell"
    assert row["reason"] == ("on these data 30 % of placebo tests report an effect, where 5 % are expected")


def test_swapped_days_keep_the_time_of_day_and_the_class_of_day():
    """A placebo runs at the same clock on another weekday, or another weekend day."""
    latency, load = writer(14)
    grid = controls.grid(latency.index, load, "UTC")
    index = placebo.swapped_days(grid, np.random.default_rng(0))
    assert (grid.clock[index] == grid.clock).all()
    assert (grid.day[index] != grid.day).mean() > 0.5
    middle = np.abs(grid.clock - 720) < 300
    assert (grid.weekend[index] == grid.weekend)[middle].all()
