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


def _dose(*spans: tuple[float, float], purge_speed: float = 3.0) -> list[float]:
    """Dose of runs (start and end in minutes) in the first minutes of a day of even writes."""
    grid = controls.grid(minutes(1), writer(1)[1], "UTC")
    mine = runs(*((start / 60, end / 60) for start, end in spans))
    exposed, age = (of(mine, grid)[:, None] for of in (regressors.exposed_share, regressors.oldest_run_age))
    everywhere = np.ones(len(exposed), dtype=bool)
    columns = regressors.columns(exposed, age, np.ones(len(exposed)), purge_speed, everywhere)
    return columns[:12, regressors.DOSE].round(6).tolist()


def test_dose_grows_with_writes_and_drains():
    """Three minutes of mean writes; then purge works them off, and one more each minute that is written meanwhile."""
    assert _dose((1, 3.9)) == [0, 1, 2, 3, 1, 0, 0, 0, 0, 0, 0, 0]


def test_purge_works_off_what_a_run_left_behind_while_the_next_one_is_in_progress():
    """It stops at the start of the oldest run only: runs in close succession hold back no more than the longest one."""
    alone, again = _dose((0, 5.9)), _dose((0, 5.9), (7, 8.9))
    assert again[:7] == alone[:7] == [1, 2, 3, 4, 5, 6, 4]
    assert again[7:12] == [2, 2, 0, 0, 0]


def test_of_overlapping_runs_the_oldest_counts():
    """When it ends, purge goes on to the start of the next oldest one, however long one or the other was running."""
    assert _dose((0, 3.9), (1, 3), (3, 7.9), purge_speed=20) == [1, 2, 3, 4, 2, 3, 4, 5, 0, 0, 0, 0]


def test_slow_purge_keeps_what_it_cannot_work_off():
    """Writes that purge cannot keep up with are there without the runs as well: they are no dose."""
    assert _dose((1, 3.9), purge_speed=1.0)[4:] == [3] * 8
    assert _dose((1, 3.9), purge_speed=0.5)[:4] == [0, 0.5, 1, 1.5]


def test_exposure_without_known_runs_counts_as_one_run():
    """Its age begins with the part of the first minute in which it was exposed."""
    exposed = np.array([[0, 0.5, 1, 0.25, 0, 1], [1, 1, 0, 0, 0, 0]]).T
    assert regressors.unbroken_age(exposed).T.tolist() == [[0, 0.5, 1.5, 2.5, 0, 1], [1, 2, 0, 0, 0, 0]]


def test_a_minute_may_be_stamped_two_minutes_earlier_or_later():
    """The mean exposure of the next and of the previous two minutes; nothing runs outside the window."""
    open_ = np.array([[1, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0.5]]).T
    earlier, later, of_other, _ = regressors.shifted(open_).T
    assert earlier.tolist() == [0, 0.5, 1, 0.5, 0, 0]
    assert later.tolist() == [0, 0.5, 0.5, 0, 0.5, 1]
    assert of_other.tolist() == [0, 0, 0, 0.25, 0.25, 0]


def test_carry_over_and_pre_trend_surround_a_run():
    """As long as the run after it; from 15 to 5 minutes before it, and from 35 to 15."""
    open_ = np.zeros((200, 1))
    open_[100:120] = 1
    age = regressors.unbroken_age(open_)
    _, _, tail = regressors.columns(open_, age, np.ones(200), 2.5, open_[:, 0] >= 0).T
    shortly, longer = regressors.leads(open_).T
    assert np.flatnonzero(tail).tolist() == list(range(120, 140))
    assert np.flatnonzero(shortly).tolist() == list(range(85, 95))
    assert np.flatnonzero(longer).tolist() == list(range(65, 85))


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


@pytest.mark.parametrize(("fall", "speed"), [(400, 5), (80, 1.8), (4000, 9)])
def test_purge_speed_is_read_from_the_history_list(fall, speed):
    """The fall over the growth, and what was written meanwhile; a fall within one minute counts as one of five minutes."""
    history = _history_list(fall, 6)
    assert regressors.purge_speed(history, pd.Series(10.0, history.index)) == pytest.approx(speed, rel=0.05)


def test_a_history_list_at_rest_does_not_show_the_purge_speed():
    """Its fluctuation is not a drain: otherwise a harmless run would seem to slow the writer for hours."""
    history = _history_list(4000, 6).clip(upper=20)
    load = pd.Series(10.0, history.index)
    assert regressors.purge_speed(history, load) == regressors.purge_speed(None, load)
    assert regressors.purge_speed(None, load) == regressors.PURGE_SPEED
