"""Controls are removed by least squares, in one segment of days or in several."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from aurora_analysis.analysis.reader_impact import controls
from aurora_analysis.analysis.reader_impact.controls import Controls
from aurora_analysis.analysis.reader_impact.projection import DAY_RIDGE, projection

DAY = 40


def dense(given: Controls, rows: np.ndarray) -> np.ndarray:
    """The same controls as one matrix, with columns of their own for each segment."""
    segments = [
        group * (given.segment == one)[:, None]
        for one in np.unique(given.segment)
        for group in given.by_segment.values()
    ]
    matrix = np.column_stack([*given.throughout.values(), *segments])[rows]
    return matrix / np.linalg.norm(matrix, axis=0)


@pytest.fixture(params=[1, 3])
def given(request: pytest.FixtureRequest) -> Controls:
    """Six days in one segment or in three."""
    rng = np.random.default_rng(1)
    minutes = 6 * DAY
    segment = np.arange(minutes) * request.param // minutes
    throughout = {"load": rng.standard_normal((minutes, 3)), "clock": rng.standard_normal((minutes, 2))}
    return Controls(throughout, {"drift": rng.standard_normal((minutes, 4))}, segment)


def test_segments_give_the_residuals_of_one_large_least_squares_fit(given: Controls) -> None:
    """Restarting columns are the block-diagonal columns of a dense fit, whose residuals are the same."""
    rng = np.random.default_rng(2)
    valid = rng.random(len(given.segment)) < 0.9
    values = rng.standard_normal((np.count_nonzero(valid), 2))
    found = projection(given, valid, np.arange(len(valid)) // DAY).residuals(values).values
    matrix = dense(given, valid)
    assert found == pytest.approx(values - matrix @ np.linalg.lstsq(matrix, values)[0], abs=1e-9)


def test_a_left_out_day_changes_the_products_as_a_fit_without_it(given: Controls) -> None:
    """Products of all other days, corrected by the adjustment, are those of controls refitted without the day."""
    rng = np.random.default_rng(3)
    valid, day = np.ones(len(given.segment), dtype=bool), np.arange(len(given.segment)) // DAY
    values = rng.standard_normal((len(day), 2))
    found = projection(given, valid, day).residuals(values)
    matrix = dense(given, valid)
    for one in range(6):
        others = day != one
        kept, regressors = values[others], matrix[others]
        gram = regressors.T @ regressors + DAY_RIDGE * np.eye(matrix.shape[1])
        refitted = kept - regressors @ np.linalg.solve(gram, regressors.T @ kept)
        corrected = found.values[others].T @ found.values[others]
        corrected -= found.day_adjustment[one].T @ found.day_adjustment[one]
        assert corrected == pytest.approx(refitted.T @ refitted, abs=1e-5)


def test_the_share_explained_alone_is_r_squared_with_an_intercept(given: Controls) -> None:
    """Each group's share equals that of an ordinary regression on a constant and the group."""
    values = np.random.default_rng(4).random(len(given.segment)) + given.throughout["load"][:, 0]
    valid = np.ones(len(values), dtype=bool)
    found = projection(given, valid, np.arange(len(values)) // DAY).explained_by(values)
    for name, group in given.throughout.items():
        matrix = np.column_stack([np.ones(len(values)), group])
        left = values - matrix @ np.linalg.lstsq(matrix, values)[0]
        assert found[name] == pytest.approx(1 - left.var() / values.var(), abs=1e-9)
    assert found["load"] > found["drift"]


@pytest.mark.parametrize("days", [14, 90])
def test_columns_per_minute_do_not_grow_with_the_window(days: int) -> None:
    """A window of 90 days has no more control columns a minute than a fortnight has, so cost grows with days."""
    times = pd.date_range("2026-07-06", periods=days * 1440, freq="min", tz="UTC")
    load = np.full(len(times), 100.0)
    grid = controls.grid(times, pd.Series(load, times), "UTC")
    found = controls.control_groups(grid, load, {}, np.zeros((len(times), 0)), 12)
    own = sum(group.shape[1] for group in found.by_segment.values())
    assert own <= 5 * controls.SEGMENT_DAYS
    assert np.bincount(found.segment).max() <= controls.SEGMENT_DAYS * 1440
