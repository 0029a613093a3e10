"""Time series: their array types, sampling period, gaps and stretches of equal values.

Every topic of the analysis works on samples over time; this module is the one home of what they share.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Array = npt.NDArray[np.float64]
"""Floating-point values; NaN is a missing value."""

Mask = npt.NDArray[np.bool_]
"""One flag per sample or row."""

Integers = npt.NDArray[np.int64]
"""Counts or positions."""

GAP = 3
"""Samples further apart than this leave a gap, across which nothing is inferred [periods]."""


def seconds(times: pd.Series | pd.Index) -> Array:
    """Convert times to seconds since 1970.

    Parameters
    ----------
    times : Series or Index of datetime
        Times, in any resolution; UTC if they have a zone.

    Returns
    -------
    ndarray of float, shape (n,)
        Seconds since 1970-01-01 00:00 UTC, with microsecond precision [s].
    """
    return pd.DatetimeIndex(times).as_unit("us").asi8 / 1e6


def period_s(times: pd.Index) -> float:
    """Compute the sampling period: the median distance of samples [s].

    Parameters
    ----------
    times : DatetimeIndex
        At least two times, in ascending order.

    Returns
    -------
    float
        The period [s].
    """
    return float(np.median(np.diff(seconds(times))))


def stretches(values: npt.NDArray[Any]) -> Iterator[tuple[int, int]]:
    """Find each stretch of equal neighbouring values.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Labels, one per sample.

    Yields
    ------
    tuple of int
        First position and end position (exclusive) of each stretch, in order; together they cover all values.

    Examples
    --------
    >>> list(stretches(np.array([1, 1, 0, 1])))
    [(0, 2), (2, 3), (3, 4)]
    """
    if len(values) == 0:
        return
    changes = (np.flatnonzero(values[1:] != values[:-1]) + 1).tolist()
    yield from zip([0, *changes], [*changes, len(values)])


def without_gaps(series: pd.Series) -> Iterator[pd.Series]:
    """Split a series at its gaps.

    Parameters
    ----------
    series : Series
        Values by time; missing values count as not sampled.

    Yields
    ------
    Series
        Each part whose neighbouring samples are at most `GAP` sampling periods apart, in order of time.
    """
    series = series.dropna().sort_index()
    if len(series) < 2:
        return
    time = seconds(series.index)
    parts = np.cumsum(np.diff(time, prepend=time[0]) > GAP * period_s(series.index))
    yield from (series.iloc[first:last] for first, last in stretches(parts))


def minutes_since(marked: Mask) -> Integers:
    """Minutes since the last marked minute, by column; 0 in a marked one, very many before the first.

    Parameters
    ----------
    marked : numpy.ndarray, shape (minutes, columns)
        Flags, one row per minute.

    Returns
    -------
    numpy.ndarray, shape (minutes, columns)
        The number of minutes.
    """
    minute = np.arange(len(marked))[:, None]
    return np.asarray(minute - np.maximum.accumulate(np.where(marked, minute, -(10**9)), axis=0))
