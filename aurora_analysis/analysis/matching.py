"""Two windows matched hour by hour: their log ratio, its day-block error, and how weeks ordinarily spread.

Everything works on sums by subject, day and hour of the reader's clock; a mean is total / weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from aurora_analysis.window import Window, zone

Array = npt.NDArray[np.float64]

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
    day: npt.NDArray[np.int64],
    hour: npt.NDArray[np.int64],
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
    squares = np.nansum((values - row_mean(values)[:, None]) ** 2, axis=1)
    se = np.sqrt(squares * (days - 1) / np.maximum(days, 1))
    return np.where(days >= DAYS_NEEDED, se, np.nan), np.maximum(days - 1.0, 1)


def spread(logs: Array, kinds: Sequence[str]) -> tuple[Array, Array]:
    """The variance of each row of `logs` from week to week, and its degrees of freedom.

    It has two parts. What moves all rows of a kind alike in a week is told by as many values as there are weeks. What
    moves a row beyond that leans on the other rows of its kind, by empirical Bayes (Smyth 2004): many rows that spread
    alike tell it well. Their sum is worth the degrees of freedom of Satterthwaite (1946, Biometrics Bulletin 2:6).
    """
    df = np.isfinite(logs).sum(axis=1) - 1.0
    variance = _variance(logs, df)
    worth = np.maximum(df, 1)
    for kind in set(kinds):
        mine = (np.asarray(kinds) == kind) & (variance > 0)
        if mine.sum() >= 3:
            variance[mine], worth[mine] = _of_kind(logs[mine], df[mine])
    return variance, worth


def _variance(logs: Array, df: Array) -> Array:
    squares = np.nansum((logs - row_mean(logs)[:, None]) ** 2, axis=1)
    return np.where(df > 0, squares / np.maximum(df, 1), np.nan)


def _of_kind(logs: Array, df: Array) -> tuple[Array, Array]:
    """The variance of rows of one kind, and what it is worth."""
    precision = 1 / _variance(logs, df)
    centred = logs - row_mean(logs)[:, None]
    weeks = _ratio(np.nansum(precision * centred.T, axis=1), precision @ np.isfinite(logs))
    own = _variance(logs - weeks, df) / (1 - 1 / len(logs))  # the weeks took a part of it with them
    centre, borrowed = _common(own, df)
    borrowed = min(borrowed, MOST_BORROWED)
    own = (borrowed * centre + df * own) / (borrowed + df)
    alike = max(float(np.nanvar(weeks, ddof=1)) - 1 / (1 / own).sum(), 0.0)
    total = own + alike
    doubt = own**2 / (borrowed + df) + alike**2 / max(np.isfinite(weeks).sum() - 1, 1)
    return total, total**2 / doubt


MOST_BORROWED = 1e4
"""Degrees of freedom beyond which a t distribution is the normal one."""


def _common(variance: Array, df: Array) -> tuple[float, float]:
    """The variance that the rows share and the degrees of freedom it is worth, by moments of the logarithm."""
    logs = np.log(variance) - special.digamma(df / 2) + np.log(df / 2)
    excess = float(logs.var(ddof=1) - special.polygamma(1, df / 2).mean())
    if excess <= 0:
        return float(np.exp(logs.mean())), np.inf
    half = _inverse_trigamma(excess)
    return float(np.exp(logs.mean() + special.digamma(half) - np.log(half))), 2 * half


def _inverse_trigamma(value: float) -> float:
    """The x whose trigamma it is, by Newton's steps on the reciprocal (Smyth 2004, appendix)."""
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = special.polygamma(1, x)
        step = float(trigamma * (1 - trigamma / value) / special.polygamma(2, x))
        x += step
        if abs(step) < 1e-9 * x:
            break
    return x


def row_mean(values: Array) -> Array:
    """The mean of what is there in each row; missing where nothing is."""
    return _ratio(np.nansum(values, axis=1), np.isfinite(values).sum(axis=1).astype(float))


def _ratio(top: Array, bottom: Array) -> Array:
    return np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)
