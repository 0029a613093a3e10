"""The history list's growth is compared between on- and off-blocks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from trial_cases import START, trial

from aurora_analysis.analysis import experiment


def test_growth_while_on_is_measured_per_hour():
    """The list grows by 10 transactions a second during runs and rests otherwise: 36,000 an hour."""
    trials = trial(workloads=("extract",))
    seconds = pd.date_range(START, periods=24 * 60, freq="s")
    running = np.zeros(len(seconds))
    for run in trials[trials["assigned"]].itertuples():
        running[(seconds >= run.time) & (seconds < run.end)] = 1
    found = experiment.history_growth(pd.Series(10 * running.cumsum(), seconds), trials).iloc[0]
    assert found["on_per_hour"] == pytest.approx(36_000)
    assert found["off_per_hour"] == 0
    assert found["p"] <= 0.001
    assert found["ci_low"] > 0


def test_growth_is_unknown_with_too_few_blocks():
    """Three on-blocks give no number."""
    trials = trial(blocks=6, workloads=("extract",))
    history = pd.Series(1.0, pd.date_range(START, periods=360, freq="s"))
    assert experiment.history_growth(history, trials).drop(columns="workload").isna().all(axis=None)
