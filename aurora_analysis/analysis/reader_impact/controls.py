"""Controls of the regression: time of day, load, the writer's own jobs, slow drift.

An effect of a reader workload is what remains after these are removed (residualisation: Frisch & Waugh 1933,
Lovell 1963). They stand in named groups of columns, so that a refusal can name the confounder. Variables that the
workload itself may change (history list length, replica lag, CPU, the writer's active sessions) are never
controls: conditioning on a mediator would remove part of the effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aurora_analysis.analysis.series import Array, Integers, Mask, minutes_since
from aurora_analysis.analysis.verdict import dates
from aurora_analysis.window import Window, zone

DAY = 1440
"""Minutes per day."""

HAT_WIDTH = 20
"""Knot spacing of the time-of-day curve [min]."""

HOUR_HARMONICS = 8
"""Harmonics of the minute of the hour: jobs that cron starts at :00 and :30 have sharp edges."""

WEEKEND_HARMONICS = 4
"""Harmonics of the day in the weekend's own curve."""

SEGMENT_DAYS = 16
"""Slow drift and the days' levels restart in segments of equal length, at most this long: each minute then has few
columns, so that time and memory grow with the number of days and not with its square. A fortnight is one segment."""

JOB_AFTERMATH = (1, 5, 15, 30, 60, 90)
"""Knots of the curve by which a job's effect may fade after its end [min]: a report that follows the job is not to blame
for that. At the last knot the curve is zero."""

LOAD_HINGES = (0.50, 0.75, 0.90, 0.97)
"""Quantiles of log load at which the slope of latency over load may change, because queues bend it."""


@dataclass(frozen=True)
class Grid:
    """The minutes of a window without a gap, with their local clock and day.

    Attributes
    ----------
    times : pandas.DatetimeIndex
        UTC minutes.
    clock : numpy.ndarray
        Minute of the local day [0 to 1439].
    weekend : numpy.ndarray
        Whether the local day is a Saturday or Sunday.
    day : numpy.ndarray
        Number of the day, counted from 0. Days begin at the local minute `cut`, so that a night's run stays in one.
    cut : int
        Local minute of the day at which days begin.
    timezone : str
        Time zone of the local clock.
    """

    times: pd.DatetimeIndex
    clock: Integers
    weekend: Mask
    day: Integers
    cut: int
    timezone: str = "UTC"

    def minutes(self, moments: pd.Series) -> Array:
        """Minutes from the grid's start to each moment.

        Parameters
        ----------
        moments : pandas.Series
            Times (UTC).

        Returns
        -------
        numpy.ndarray, shape (moments,)
            Minutes, negative before the grid's start.
        """
        return np.asarray((moments - self.times[0]) / pd.Timedelta("1min"), dtype=float)

    def dates(self) -> str:
        """First and last local day of the minutes.

        Returns
        -------
        str
            Such as ``2026-11-02 to 2026-11-15``.
        """
        return dates(Window(self.times[0], self.times[-1] + pd.Timedelta("1min")), self.timezone)

    def blocks(self) -> Integers:
        """Jackknife block of each minute: its day; a first or last day below half a day joins its neighbour.

        Returns
        -------
        numpy.ndarray, shape (minutes,)
            Number of the block that each minute belongs to.
        """
        sizes = np.bincount(self.day)
        first = int(sizes[0] < DAY / 2)
        last = len(sizes) - 1 - int(sizes[-1] < DAY / 2)
        return np.clip(self.day, first, max(first, last))


def grid(times: pd.DatetimeIndex, load: pd.Series, timezone: str) -> Grid:
    """Grid of the minutes `times`, with days that begin in the local hour of least load.

    Parameters
    ----------
    times : pandas.DatetimeIndex
        UTC minutes without a gap.
    load : pandas.Series
        The writer's write throughput on these minutes [1/s].
    timezone : str
        Time zone of days and weekends, such as ``Europe/Berlin``.

    Returns
    -------
    Grid
        The minutes with their local clock, weekend and day.

    Raises
    ------
    Error
        If the time zone does not exist.
    """
    local = times.tz_convert(zone(timezone))
    hourly = load.groupby(local.hour).mean().reindex(range(24)).to_numpy(dtype=float)
    cut = 60 * int(np.nanargmin(hourly))
    dates = (local.tz_localize(None) - pd.Timedelta(minutes=cut)).normalize()
    return Grid(
        times=times,
        clock=np.asarray(local.hour * 60 + local.minute, dtype=np.int64),
        weekend=np.asarray(local.day_of_week >= 5),
        day=np.asarray((dates - dates[0]).days, dtype=np.int64),
        cut=cut,
        timezone=timezone,
    )


@dataclass(frozen=True)
class Controls:
    """Control columns by the group name that a refusal prints.

    Attributes
    ----------
    throughout : dict of str to numpy.ndarray, shape (minutes, columns)
        Columns with one coefficient for the whole window.
    by_segment : dict of str to numpy.ndarray, shape (minutes, columns)
        Columns with a coefficient of their own in each segment.
    segment : numpy.ndarray, shape (minutes,)
        Number of each minute's segment.
    """

    throughout: dict[str, Array]
    by_segment: dict[str, Array]
    segment: Integers


def control_groups(
    grid: Grid, load: Array | None, companions: Mapping[str, Array], writer_terms: Array, drift_hours: float
) -> Controls:
    """Control columns of a window.

    Parameters
    ----------
    grid : Grid
        The minutes.
    load : numpy.ndarray, shape (minutes,), optional
        The writer's write throughput [1/s]; NaN where missing. None if load is not held constant.
    companions : mapping of str to numpy.ndarray, shape (minutes,)
        Result of `Design.companions`.
    writer_terms : numpy.ndarray, shape (minutes, writers - 1)
        One step column for each writer after the first.
    drift_hours : float
        Shortest period of slow drift that is removed [h].

    Returns
    -------
    Controls
        The columns of each group.
    """
    found = {"the time of day": _time_of_day(grid.clock)}
    if weekend_curve_minutes(grid).any():
        found["the weekend"] = _weekend(grid)
    found["the minute of the hour"] = _harmonics(60, HOUR_HARMONICS)[grid.clock % 60]
    if load is not None:
        found["the writer's load"] = _load(load)
    found |= {name: _job(share) for name, share in companions.items()}
    if writer_terms.shape[1]:
        found["a failover"] = writer_terms
    segment = _segments(grid.day)
    drifting = {
        "the level of the day": _day_levels(grid.day, segment),
        "slow drift": _drift(segment, 60 * drift_hours),
    }
    return Controls(found, drifting, segment)


def weekend_curve_minutes(grid: Grid) -> Mask:
    """Mask of the weekend minutes that get their own daily curve; none in a window of one week.

    One weekend alone cannot separate its curve from that weekend's noise.

    Parameters
    ----------
    grid : Grid
        The minutes.

    Returns
    -------
    numpy.ndarray, shape (minutes,)
        True for minutes of a weekend in a window of more than one week.
    """
    return grid.weekend & bool(grid.day[-1] > 7)


def clock_controls(grid: Grid) -> Array:
    """Time-of-day columns, separate for weekdays and weekends: two workloads may coincide by habit only.

    Parameters
    ----------
    grid : Grid
        The minutes.

    Returns
    -------
    numpy.ndarray, shape (minutes, columns)
        Hat functions of the time of day, then the same for weekends only.
    """
    hats = _time_of_day(grid.clock)
    return np.column_stack([hats, hats * grid.weekend[:, None]])


def _time_of_day(clock: Integers) -> Array:
    """Cyclic hat functions with a knot every `HAT_WIDTH` minutes; they add up to one."""
    hats = np.zeros((len(clock), DAY // HAT_WIDTH))
    whole, share = np.divmod(clock / HAT_WIDTH, 1)
    rows, knot = np.arange(len(clock)), whole.astype(int)
    hats[rows, knot] = 1 - share
    hats[rows, (knot + 1) % hats.shape[1]] += share
    return hats


def _weekend(grid: Grid) -> Array:
    curve = np.column_stack([np.ones(DAY), _harmonics(DAY, WEEKEND_HARMONICS)])
    return np.asarray(curve[grid.clock] * grid.weekend[:, None])


def _harmonics(period: int, count: int) -> Array:
    """The first `count` harmonics of a period, at each of its minutes."""
    angles = 2 * np.pi * np.outer(np.arange(period) / period, np.arange(1, count + 1))
    return np.column_stack([np.cos(angles), np.sin(angles)])


def _load(load: Array) -> Array:
    """Log load, its lag of one minute, its mean over ten minutes, and hinges for the bend of a queue."""
    known = np.log(np.maximum(load, 0.01 * np.nanmean(load)))
    level = pd.Series(known - np.nanmean(known))
    hinges = [np.maximum(level - bend, 0) for bend in np.nanquantile(level, LOAD_HINGES)]
    before = level.shift(1).fillna(level)
    recent = level.rolling(10, min_periods=1).mean()
    return np.column_stack([level, before, recent, *hinges])


def _job(share: Array) -> Array:
    """Share of a job, its lag of one minute, and hat functions of the time since its end."""
    since = minutes_since(share[:, None] > 0)[:, 0]
    lagged = np.concatenate([share[:1], share[:-1]])
    hats = np.eye(len(JOB_AFTERMATH))[:-1]
    after = [np.where(since > 0, np.interp(since, JOB_AFTERMATH, hat), 0.0) for hat in hats]
    return np.column_stack([share, lagged, *after])


def _segments(day: Integers) -> Integers:
    """Number of each minute's segment: whole days, at most `SEGMENT_DAYS`, of equal length."""
    days = day[-1] + 1
    return np.asarray(day * int(np.ceil(days / SEGMENT_DAYS)) // days)


def _day_levels(day: Integers, segment: Integers) -> Array:
    """Indicator of each day of a segment, but of the window's first day, whose level the time of day has."""
    first = day[np.searchsorted(segment, segment)]
    levels = np.eye((day - first).max() + 1)[day - first]
    levels[day == 0] = 0
    return np.asarray(levels[:, levels.any(axis=0)])


def _drift(segment: Integers, period: float) -> Array:
    """Cosines of every period down to `period` minutes in each segment (a low-pass filter: DCT-II)."""
    lengths = np.bincount(segment)
    waves = np.zeros((len(segment), int(2 * lengths.max() / period)))
    for count, rows in zip(lengths, np.split(waves, np.cumsum(lengths)[:-1])):
        first = np.cos(np.pi * (np.arange(count) + 0.5) / count)
        found = np.polynomial.chebyshev.chebvander(first, int(2 * count / period))  # T_k(cos x) = cos kx
        rows[:, : found.shape[1] - 1] = found[:, 1:]
    return waves
