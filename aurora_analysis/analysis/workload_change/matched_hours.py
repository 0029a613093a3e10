"""Two windows matched hour by hour: their log ratio and its day-block error.

Everything works on sums by subject, day and hour of the reader's clock; a mean is total / weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from aurora_analysis.analysis.series import Array, Integers
from aurora_analysis.analysis.statistics import jackknife_se
from aurora_analysis.window import Window, zone

DAYS_NEEDED = 3
"""With fewer days that match there is no interval."""


@dataclass(frozen=True)
class Sums:
    """Totals and weights of every subject by day and hour (subjects × days × 24)."""

    total: Array
    weight: Array

    @property
    def mean(self) -> Array:
        """The mean of each hour; 0 where there is none, and then without weight."""
        return np.divide(self.total, self.weight, out=np.zeros_like(self.total), where=self.weight > 0)

    @property
    def days(self) -> int:
        """How many days, or weekdays, the sums tell apart."""
        return self.total.shape[1]

    def without(self, day: int) -> Sums:
        """All days but one."""
        return Sums(np.delete(self.total, day, axis=1), np.delete(self.weight, day, axis=1))

    def pooled(self) -> Sums:
        """All days as one: hours are then matched whatever the weekday."""
        return Sums(self.total.sum(axis=1, keepdims=True), self.weight.sum(axis=1, keepdims=True))

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.total + other.total, self.weight + other.weight)


def by_weekday(hours: pd.DataFrame, window: Window, subjects: pd.MultiIndex, timezone: str) -> Sums:
    """The sums of a window by weekday and hour: those of several weeks come together."""
    inside, clock = _inside(hours, window, timezone)
    return _sums(inside, subjects, clock.dt.day_of_week.to_numpy(), clock.dt.hour.to_numpy(), 7)


def by_date(hours: pd.DataFrame, window: Window, subjects: pd.MultiIndex, timezone: str) -> Sums:
    """The sums of a window by date and hour."""
    inside, clock = _inside(hours, window, timezone)
    dates = clock.dt.tz_localize(None).dt.normalize()
    day = (dates - dates.min()).dt.days.to_numpy(int)
    return _sums(inside, subjects, day, clock.dt.hour.to_numpy(), 1 + day.max(initial=0))


def _inside(hours: pd.DataFrame, window: Window, timezone: str) -> tuple[pd.DataFrame, pd.Series]:
    rows = hours[(hours["time"] >= window.start) & (hours["time"] < window.end)]
    return rows, rows["time"].dt.tz_convert(zone(timezone))


def _sums(
    rows: pd.DataFrame,
    subjects: pd.MultiIndex,
    day: Integers,
    hour: Integers,
    days: int,
) -> Sums:
    at = (subjects.get_indexer(pd.MultiIndex.from_frame(rows[subjects.names])), day, hour)
    sums = Sums(*(np.zeros((len(subjects), days, 24)) for _ in range(2)))
    np.add.at(sums.total, at, rows["total"].to_numpy(float))
    np.add.at(sums.weight, at, rows["weight"].to_numpy(float))
    return sums


def weights(now: Sums, before: Sums) -> Array:
    """The weight of each hour that both have: the harmonic mean of theirs."""
    both = now.weight + before.weight
    return np.divide(2 * now.weight * before.weight, both, out=np.zeros_like(both), where=both > 0)


def mean(side: Sums, weight: Array) -> Array:
    """The mean of each subject under these weights; missing where there is no weight."""
    return _ratio((weight * side.mean).sum(axis=(1, 2)), weight.sum(axis=(1, 2)))


def log_ratio(now: Sums, before: Sums) -> Array:
    """The log of how many times as large each subject is, hour matched with hour; missing where either is 0."""
    weight = weights(now, before)
    ratio = _ratio(*((weight * side.mean).sum(axis=(1, 2)) for side in (now, before)))
    return np.log(np.where(ratio > 0, ratio, np.nan))


def shared(now: Sums, before: Sums) -> float:
    """The share of the hours with data now that the other has, too [0 to 1]."""
    there, then = (side.weight.any(axis=0) for side in (now, before))
    return float((there & then).sum() / max(there.sum(), 1))


def paired_error(now: Sums, before: Sums) -> tuple[Array, Array]:
    """The standard error of the log ratio where weekdays match, and its degrees of freedom.

    Delete-one-block jackknife: one weekday after the other is left out of both.
    """
    left_out = [log_ratio(now.without(day), before.without(day)) for day in range(now.days)]
    return _jackknife(np.column_stack(left_out), weights(now, before).sum(axis=2))


def unpaired_error(now: Sums, before: Sums) -> tuple[Array, Array]:
    """The same where weekdays differ: the days of each are left out in turn."""
    first = [log_ratio(now.without(day).pooled(), before.pooled()) for day in range(now.days)]
    second = [log_ratio(now.pooled(), before.without(day).pooled()) for day in range(before.days)]
    one, other = (
        _jackknife(np.column_stack(left_out), side.weight.sum(axis=2))
        for left_out, side in ((first, now), (second, before))
    )
    return np.hypot(one[0], other[0]), np.minimum(one[1], other[1])


def _jackknife(left_out: Array, weight: Array) -> tuple[Array, Array]:
    """From the estimates with each day left out; days without weight do not count."""
    values = np.where(weight > 0, left_out, np.nan)
    days = np.isfinite(values).sum(axis=1)
    se = jackknife_se(values.T, row_mean(values), days)
    return np.where(days >= DAYS_NEEDED, se, np.nan), np.maximum(days - 1.0, 1)


def row_mean(values: Array) -> Array:
    """The mean of what is there in each row; missing where nothing is."""
    return _ratio(np.nansum(values, axis=1), np.isfinite(values).sum(axis=1).astype(float))


def _ratio(top: Array, bottom: Array) -> Array:
    return np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)
