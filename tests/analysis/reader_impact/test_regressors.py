"""Exposure, dose, carry-over and pre-trend follow from runs, writes and the history list."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from impact_cases import minutes, runs, writer

from aurora_analysis.analysis.reader_impact import controls, regressors


def test_exposure_is_the_union_of_runs():
    """Overlapping runs count once, and part of a minute counts as its share."""
    grid = controls.grid(minutes(1), writer(1)[1], "UTC")
    spans = runs((0, 2.5 / 60), (1 / 60, 2 / 60), (4.25 / 60, 4.75 / 60))
    assert regressors.exposed_share(spans, grid)[:6] == pytest.approx([1, 1, 0.5, 0, 0.5, 0])


def test_dose_grows_with_writes_and_drains():
    """Three minutes of mean writes, then purge works them off."""
    open_ = np.array([0, 1, 1, 1, 0, 0, 0])[:, None]
    assert regressors.columns(open_, np.ones(7), 2.0, open_[:, 0] >= 0)[:, 1] == pytest.approx(
        [0, 1, 2, 3, 1, 0, 0]
    )


def test_a_minute_may_be_stamped_two_minutes_earlier_or_later():
    """The mean exposure of the next and of the previous two minutes; nothing runs outside the window."""
    open_ = np.array([[1, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0.5]]).T
    earlier, later, of_other, _ = regressors.shifted(open_).T
    assert earlier.tolist() == [0, 0.5, 1, 0.5, 0, 0]
    assert later.tolist() == [0, 0.5, 0.5, 0, 0.5, 1]
    assert of_other.tolist() == [0, 0, 0, 0.25, 0.25, 0]


def test_carry_over_and_pre_trend_surround_a_run():
    """As long as the run after it, and from 35 to 5 minutes before it."""
    open_ = np.zeros((200, 1))
    open_[100:120] = 1
    _, _, tail, lead = regressors.columns(open_, np.ones(200), 2.5, open_[:, 0] >= 0).T
    assert np.flatnonzero(tail).tolist() == list(range(120, 140))
    assert np.flatnonzero(lead).tolist() == list(range(65, 95))


@pytest.mark.parametrize(
    ("length", "gap", "minutes_and_close"),
    [
        (90, 400, (30, False)),
        (20, 200, (20, False)),
        (2, 100, (10, False)),
        (2, 8, (4, False)),
        (60, 20, (10, True)),
    ],
    ids=["long", "medium", "short", "short and frequent", "long and close together"],
)
def test_carry_over_is_as_long_as_runs_and_gaps_allow(length, gap, minutes_and_close):
    """From 10 to 30 minutes, and at most half a gap; that is close if it is less than half a run."""
    one = np.concatenate([np.ones(length), np.zeros(gap)])
    assert regressors.carryover_minutes(np.tile(one, 10)) == minutes_and_close


def _history_list(fall: float, runs: int) -> pd.Series:
    """Grows by 100 a minute for 40 minutes, falls by `fall`, and wobbles by 20 for the rest of two hours."""
    one = np.concatenate([np.arange(100, 4001, 100), np.arange(4000 - fall, 0, -fall)])
    wobble = np.random.default_rng(1).integers(0, 20, 120 * runs)
    return pd.Series(np.tile(np.pad(one, (0, 120 - len(one))), runs) + wobble, minutes(7)[: 120 * runs])


@pytest.mark.parametrize(("fall", "drain"), [(400, 4), (80, 0.8), (4000, 8)])
def test_drain_is_read_from_the_history_list(fall, drain):
    """The drain is the fall over the growth; a fall within one minute counts as one of five minutes."""
    history = _history_list(fall, 6)
    assert regressors.drain(history, pd.Series(10.0, history.index)) == pytest.approx(drain, rel=0.05)


def test_a_history_list_at_rest_does_not_show_the_purge_speed():
    """Its fluctuation is not a drain: otherwise a harmless run would seem to slow the writer for hours."""
    history = _history_list(4000, 6).clip(upper=20)
    load = pd.Series(10.0, history.index)
    assert regressors.drain(history, load) == regressors.drain(None, load) == regressors.DRAIN
