"""What moves the writer's latency anyway: the clock, the load, its own jobs, slow drift.

An effect of a reader's workload is what is left beside these. They stand in named groups of columns, so that a
refusal can say with what an exposure is confounded. What the workload itself may change (history list, replica
lag, CPU, the writer's active sessions) is never among them: it would take the effect away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import linalg

from aurora_analysis.errors import Error

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

DAY = 1440
"""Minutes."""

HAT_WIDTH = 20
"""The time of day is a curve through a point every 20 minutes."""

HOUR_HARMONICS = 8
"""Of the minute of the hour: what cron starts at :00 and :30 is sharp."""

WEEKEND_HARMONICS = 4

RIDGE = 1e-12
"""Seasons and drift overlap a little: this is far below what a float of the data resolves."""

DAY_RIDGE = 1e-8
"""A day that is left out leaves its own level, and a wave that is of this day alone, with nothing to be fitted to."""

LOAD_HINGES = (0.50, 0.75, 0.90, 0.97)
"""Quantiles of log load at which the slope of latency over load may change: queues bend it."""


@dataclass(frozen=True)
class Grid:
    """The minutes of a window without a gap, and what the clock on the wall says of them.

    `times` are UTC; `clock` is the minute of the local day; `day` counts days that are cut at the local minute
    `cut`, so that a night's run stays in one.
    """

    times: pd.DatetimeIndex
    clock: Integers
    weekend: Mask
    day: Integers
    cut: int

    def minutes(self, moments: pd.Series) -> Array:
        """Moments as minutes since the grid's start."""
        return np.asarray((moments - self.times[0]) / pd.Timedelta("1min"), dtype=float)

    def blocks(self) -> Integers:
        """The day of each minute; a first or last piece of less than half a day belongs to its neighbour."""
        sizes = np.bincount(self.day)
        first = int(sizes[0] < DAY / 2)
        last = len(sizes) - 1 - int(sizes[-1] < DAY / 2)
        return np.clip(self.day, first, max(first, last))


def grid(times: pd.DatetimeIndex, load: pd.Series, timezone: str) -> Grid:
    """The minutes of `times`; its days are cut at the local hour in which the writer's load is least."""
    try:
        local = times.tz_convert(ZoneInfo(timezone))
    except (ZoneInfoNotFoundError, ValueError):
        raise Error(f"There is no time zone {timezone!r}: use a name as in Europe/Berlin or UTC.") from None
    hourly = load.groupby(local.hour).mean().reindex(range(24)).to_numpy(dtype=float)
    cut = 60 * int(np.nanargmin(hourly))
    dates = (local.tz_localize(None) - pd.Timedelta(minutes=cut)).normalize()
    return Grid(
        times=times,
        clock=np.asarray(local.hour * 60 + local.minute, dtype=np.int64),
        weekend=np.asarray(local.day_of_week >= 5),
        day=np.asarray((dates - dates[0]).days, dtype=np.int64),
        cut=cut,
    )


def groups(
    grid: Grid, load: Array, jobs: Mapping[str, Array], spans: Array, drift_hours: float
) -> dict[str, Array]:
    """The columns that stand beside an effect, by the name that a refusal would say.

    `load` is the writer's write throughput (NaN = missing), `jobs` the share of each minute in which each of
    its own jobs was open, `spans` one column for each writer after the first, `drift_hours` the shortest
    period of slow drift that is taken out.
    """
    found = {"the time of day": _time_of_day(grid.clock)}
    if apart(grid).any():
        found["the weekend"] = _weekend(grid)
    found["the minute of the hour"] = _harmonics(60, HOUR_HARMONICS)[grid.clock % 60]
    found["the writer's load"] = _load(load)
    found |= {f"writer job {name}": np.column_stack([open_, _lag(open_)]) for name, open_ in jobs.items()}
    if spans.shape[1]:
        found["a failover"] = spans
    found["the level of the day"] = np.eye(grid.day[-1] + 1)[grid.day][:, 1:]
    found["slow drift"] = _drift(len(grid.times), 60 * drift_hours)
    return found


def apart(grid: Grid) -> Mask:
    """The minutes that have a shape of their own, the weekend's; in one week alone there is none to learn."""
    return grid.weekend & bool(grid.day[-1] > 7)


def clock_alone(grid: Grid) -> Array:
    """The time of day, for weekdays and weekends apart: why two workloads may run together by habit only."""
    hats = _time_of_day(grid.clock)
    return np.column_stack([hats, hats * grid.weekend[:, None]])


@dataclass(frozen=True)
class Left:
    """Columns with the nuisance removed (`rest`), and what it takes from these when it is fitted without a day.

    `taken` is day by day, in coordinates of length one: its inner products are those of the columns that it means.
    """

    rest: Array
    taken: Array

    def of(self, chosen: slice | Integers) -> Left:
        """Some of the columns."""
        return Left(self.rest.T[chosen].T, self.taken[:, :, chosen])


def side_by_side(parts: Sequence[Left]) -> Left:
    """The columns of several in a row."""
    # Each column in one piece: gathering some of many is then a copy, not a walk through all of them.
    rest = np.concatenate([part.rest.T for part in parts]).T
    return Left(rest, np.concatenate([part.taken for part in parts], axis=2))


@dataclass(frozen=True)
class Removal:
    """Removes from any columns what `columns` can explain, by least squares.

    `grams` are the inner products of `columns` by day, which begin at `edges`; `factors` the Cholesky factors of
    all of them (the first) and of all but those of each day.
    """

    columns: Array
    edges: Integers
    grams: Array
    factors: Array

    def residual(self, values: Array) -> Array:
        """What is left of values."""
        return self.left(values).rest

    def left(self, values: Array) -> Left:
        """What is left of values."""
        moments = np.stack([day.T @ part for day, part in zip(self._days(self.columns), self._days(values))])
        coefficients = linalg.cho_solve((self.factors[0], True), moments.sum(axis=0))
        rest = self.columns @ coefficients
        np.subtract(values, rest, out=rest)
        anew = zip(self.factors[1:], moments - self.grams @ coefficients)
        return Left(
            rest, np.stack([linalg.solve_triangular(factor, part, lower=True) for factor, part in anew])
        )

    def room(self, count: int) -> Left:
        """Room for what is left of so many columns."""
        days, size, _ = self.grams.shape
        return Left(np.empty((len(self.columns), count), order="F"), np.empty((days, size, count)))

    def _days(self, values: Array) -> list[Array]:
        return np.split(values, self.edges[1:])


def removal(columns: Array, edges: Integers) -> Removal:
    """How to remove columns over days that begin at `edges`."""
    lengths = np.sqrt(np.einsum("ij,ij->j", columns, columns))
    scaled = columns / np.where(lengths > 0, lengths, 1)
    grams = np.stack([day.T @ day for day in np.split(scaled, edges[1:])])
    gram = grams.sum(axis=0)
    without = gram - grams + DAY_RIDGE * np.eye(len(gram))
    kept = np.concatenate([(gram + RIDGE * np.eye(len(gram)))[None], without])
    return Removal(scaled, edges, grams, np.asarray(np.linalg.cholesky(kept)))


def residual_maker(columns: Array) -> Callable[[Array], Array]:
    """The function that removes from any columns what `columns` can explain, by least squares."""
    return removal(columns, np.zeros(1, dtype=np.int64)).residual


def _time_of_day(clock: Integers) -> Array:
    """Hat functions that meet in a point every `HAT_WIDTH` minutes, round the clock; they add up to one."""
    hats = np.zeros((len(clock), DAY // HAT_WIDTH))
    left, share = np.divmod(clock / HAT_WIDTH, 1)
    rows, left = np.arange(len(clock)), left.astype(int)
    hats[rows, left] = 1 - share
    hats[rows, (left + 1) % hats.shape[1]] += share
    return hats


def _weekend(grid: Grid) -> Array:
    shape = np.column_stack([np.ones(DAY), _harmonics(DAY, WEEKEND_HARMONICS)])
    return shape[grid.clock] * grid.weekend[:, None]


def _harmonics(period: int, count: int) -> Array:
    """The first waves of a period, at each of its minutes."""
    angles = 2 * np.pi * np.outer(np.arange(period) / period, np.arange(1, count + 1))
    return np.column_stack([np.cos(angles), np.sin(angles)])


def _load(load: Array) -> Array:
    """log load, the minute before, the mean of ten minutes, and hinges for the bend of a queue."""
    known = np.log(np.maximum(load, 0.01 * np.nanmean(load)))
    level = pd.Series(known - np.nanmean(known))
    hinges = [np.maximum(level - bend, 0) for bend in np.nanquantile(level, LOAD_HINGES)]
    before = level.shift(1).fillna(level)
    recent = level.rolling(10, min_periods=1).mean()
    return np.column_stack([level, before, recent, *hinges])


def _lag(values: Array) -> Array:
    return np.concatenate([values[:1], values[:-1]])


def _drift(count: int, period: float) -> Array:
    """Cosines of every period down to `period` minutes (a low-pass: DCT-II)."""
    first = np.cos(np.pi * (np.arange(count) + 0.5) / count)
    waves = np.polynomial.chebyshev.chebvander(first, int(2 * count / period))  # T_k(cos x) is cos kx
    return np.asarray(waves[:, 1:])
