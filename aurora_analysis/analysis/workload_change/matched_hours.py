"""Match two windows hour by hour: their log ratio, and its standard error by a jackknife over days.

All functions work on totals by subject, day and hour in local time; a mean is total / weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from aurora_analysis.analysis.series import Array, Integers
from aurora_analysis.analysis.statistics import jackknife_se
from aurora_analysis.window import Window, zone

DAYS_NEEDED = 3
"""Smallest number of matching days for an interval."""


@dataclass(frozen=True)
class HourlyTotals:
    """Totals and weights of every subject by day and hour.

    Parameters
    ----------
    total : ndarray, shape (subjects, days, 24)
        Sum of the measure in the hour, in the measure's unit times the weight's.
    weight : ndarray, shape (subjects, days, 24)
        Weight of the hour, such as calls or observed hours; 0 for an hour without data.
    """

    total: Array
    weight: Array

    @property
    def mean(self) -> Array:
        """Mean of each subject, day and hour; 0 for an hour without weight."""
        return np.divide(self.total, self.weight, out=np.zeros_like(self.total), where=self.weight > 0)

    @property
    def days(self) -> int:
        """Number of days, or of weekdays."""
        return int(self.total.shape[1])

    def without(self, day: int) -> HourlyTotals:
        """Leave out one day.

        Parameters
        ----------
        day : int
            Index of the day.

        Returns
        -------
        HourlyTotals
        """
        return HourlyTotals(np.delete(self.total, day, axis=1), np.delete(self.weight, day, axis=1))

    def pooled(self) -> HourlyTotals:
        """Sum all days into one, so that hours match regardless of the weekday.

        Returns
        -------
        HourlyTotals
        """
        return HourlyTotals(self.total.sum(axis=1, keepdims=True), self.weight.sum(axis=1, keepdims=True))

    def __add__(self, other: HourlyTotals) -> HourlyTotals:
        return HourlyTotals(self.total + other.total, self.weight + other.weight)


def by_weekday(hours: pd.DataFrame, window: Window, subjects: pd.MultiIndex, timezone: str) -> HourlyTotals:
    """Sum a window by weekday and hour; several weeks are added up.

    Parameters
    ----------
    hours : DataFrame
        Hourly rows: `time` (UTC), the subjects' columns, `total`, `weight`.
    window : Window
        The window.
    subjects : MultiIndex
        The subjects, in the order of the result.
    timezone : str
        Time zone of days and hours.

    Returns
    -------
    HourlyTotals, shape (subjects, 7, 24)
        Weekday 0 is Monday.
    """
    inside, clock = _inside(hours, window, timezone)
    return _totals(inside, subjects, clock.dt.day_of_week.to_numpy(), clock.dt.hour.to_numpy(), 7)


def by_date(hours: pd.DataFrame, window: Window, subjects: pd.MultiIndex, timezone: str) -> HourlyTotals:
    """Sum a window by date and hour.

    Parameters
    ----------
    hours : DataFrame
        Hourly rows: `time` (UTC), the subjects' columns, `total`, `weight`.
    window : Window
        The window.
    subjects : MultiIndex
        The subjects, in the order of the result.
    timezone : str
        Time zone of days and hours.

    Returns
    -------
    HourlyTotals, shape (subjects, dates, 24)
        From the first date that has rows.
    """
    inside, clock = _inside(hours, window, timezone)
    dates = clock.dt.tz_localize(None).dt.normalize()
    day = (dates - dates.min()).dt.days.to_numpy(int)
    return _totals(inside, subjects, day, clock.dt.hour.to_numpy(), 1 + day.max(initial=0))


def _inside(hours: pd.DataFrame, window: Window, timezone: str) -> tuple[pd.DataFrame, pd.Series]:
    rows = hours[(hours["time"] >= window.start) & (hours["time"] < window.end)]
    return rows, rows["time"].dt.tz_convert(zone(timezone))


def _totals(
    rows: pd.DataFrame,
    subjects: pd.MultiIndex,
    day: Integers,
    hour: Integers,
    days: int,
) -> HourlyTotals:
    at = (subjects.get_indexer(pd.MultiIndex.from_frame(rows[subjects.names])), day, hour)
    totals = HourlyTotals(*(np.zeros((len(subjects), days, 24)) for _ in range(2)))
    np.add.at(totals.total, at, rows["total"].to_numpy(float))
    np.add.at(totals.weight, at, rows["weight"].to_numpy(float))
    return totals


def weights(now: HourlyTotals, before: HourlyTotals) -> Array:
    """Weigh each hour by the harmonic mean of the two windows' weights.

    Parameters
    ----------
    now, before : HourlyTotals
        The two windows.

    Returns
    -------
    ndarray, shape (subjects, days, 24)
        0 for an hour that either window lacks.
    """
    both = now.weight + before.weight
    return np.divide(2 * now.weight * before.weight, both, out=np.zeros_like(both), where=both > 0)


def mean(side: HourlyTotals, weight: Array) -> Array:
    """Average each subject under the given weights.

    Parameters
    ----------
    side : HourlyTotals
        One of the windows.
    weight : ndarray, shape (subjects, days, 24)
        Result of `weights`.

    Returns
    -------
    ndarray, shape (subjects,)
        NaN for a subject without weight.
    """
    return _ratio((weight * side.mean).sum(axis=(1, 2)), weight.sum(axis=(1, 2)))


def log_ratio(now: HourlyTotals, before: HourlyTotals) -> Array:
    """Compute the log ratio of the two windows' means, with hours matched.

    Parameters
    ----------
    now, before : HourlyTotals
        The two windows.

    Returns
    -------
    ndarray, shape (subjects,)
        log(now / before); NaN if either is 0 or missing.
    """
    weight = weights(now, before)
    ratio = _ratio(*((weight * side.mean).sum(axis=(1, 2)) for side in (now, before)))
    return np.log(np.where(ratio > 0, ratio, np.nan))


def overlap(now: HourlyTotals, before: HourlyTotals) -> float:
    """Compute the share of the hours with data now that also have data before.

    Parameters
    ----------
    now, before : HourlyTotals
        The two windows.

    Returns
    -------
    float
        The share [0 to 1].
    """
    there, then = (side.weight.any(axis=0) for side in (now, before))
    return float((there & then).sum() / max(there.sum(), 1))


def paired_jackknife_se(now: HourlyTotals, before: HourlyTotals) -> tuple[Array, Array]:
    """Estimate the standard error of the log ratio where weekdays match, and its degrees of freedom.

    Delete-one-block jackknife: each weekday in turn is left out of both windows.

    Parameters
    ----------
    now, before : HourlyTotals
        The two windows.

    Returns
    -------
    tuple of ndarray, shape (subjects,)
        Standard error (NaN with fewer than `DAYS_NEEDED` days) and degrees of freedom.
    """
    left_out = [log_ratio(now.without(day), before.without(day)) for day in range(now.days)]
    return _jackknife(np.column_stack(left_out), weights(now, before).sum(axis=2))


def unpaired_jackknife_se(now: HourlyTotals, before: HourlyTotals) -> tuple[Array, Array]:
    """Estimate the same standard error where weekdays differ, by leaving out the days of each window in turn.

    Parameters
    ----------
    now, before : HourlyTotals
        The two windows.

    Returns
    -------
    tuple of ndarray, shape (subjects,)
        Standard error (NaN with fewer than `DAYS_NEEDED` days) and degrees of freedom.
    """
    first = [log_ratio(now.without(day).pooled(), before.pooled()) for day in range(now.days)]
    second = [log_ratio(now.pooled(), before.without(day).pooled()) for day in range(before.days)]
    one, other = (
        _jackknife(np.column_stack(left_out), side.weight.sum(axis=2))
        for left_out, side in ((first, now), (second, before))
    )
    return np.hypot(one[0], other[0]), np.minimum(one[1], other[1])


def _jackknife(left_out: Array, weight: Array) -> tuple[Array, Array]:
    """Combine the estimates with each day left out; days without weight do not count."""
    values = np.where(weight > 0, left_out, np.nan)
    days = np.isfinite(values).sum(axis=1)
    se = jackknife_se(values.T)
    return np.where(days >= DAYS_NEEDED, se, np.nan), np.maximum(days - 1.0, 1)


def row_mean(values: Array) -> Array:
    """Average the finite values of each row.

    Parameters
    ----------
    values : ndarray, shape (rows, columns)
        Values; NaN is missing.

    Returns
    -------
    ndarray, shape (rows,)
        NaN for a row without values.
    """
    return _ratio(np.nansum(values, axis=1), np.isfinite(values).sum(axis=1).astype(float))


def _ratio(top: Array, bottom: Array) -> Array:
    return np.asarray(np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0))
