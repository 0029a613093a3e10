"""The implied start of the oldest read view: what the history list length says without any log.

While a view is open and purge has caught up with it, an identity ties the history list length to the view's start:

    history − base = transactions committed since the view's start × history entries per transaction

Entries per transaction change with the mix of statements: an INSERT leaves none. `implied_start` estimates them locally.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from aurora_analysis.analysis.series import GAP, Array, Integers, seconds, stretches

NONE, UNKNOWN = -1, -2
"""Labels of a sample without an identified run: only short views are open, or an unidentified session holds purge."""

# Lengths of time are in sampling periods, so that one-second and one-minute samples are treated alike.
SLOPES = (1, 2, 4, 8)
"""Half-widths of the windows that measure purge; the first with enough precision is used [periods]."""
PRECISE = 0.25
"""Standard error of the purged share that is precise enough."""
YOUNGEST = 1.0
"""Smallest age of a view that leaves a trace in the samples [periods]."""
SLOW, FAST = 1.8, 2.6
"""Entries that purge removes per entry written while it drains: up to the first it is slow, from the second on fast."""
DRAINING, OLD, DRAINS_NEEDED = 1.1, 3.0, 10
"""A sample drains from this purged share and age of the view [periods] on; fewer such samples show no speed."""
MARGIN = 5
"""Samples beside an old view that are examined too."""


@dataclass(frozen=True)
class Samples:
    """History list and transactions at the same samples; `x` is the time in periods since the first sample.

    Parameters
    ----------
    times : DatetimeIndex
    x, history, committed : ndarray
    period_s : float
    per_transaction : ndarray
        History entries per transaction at each sample.
    """

    times: pd.DatetimeIndex
    x: Array
    history: Array
    committed: Array
    period_s: float
    per_transaction: Array

    @cached_property
    def base(self) -> float:
        """History list while purge keeps up [transactions]."""
        return float(np.quantile(self.history, 0.02))

    def periods(self, times: pd.Series) -> Array:
        """Convert times to periods since the first sample.

        Parameters
        ----------
        times : Series

        Returns
        -------
        ndarray
        """
        return (seconds(times) - seconds(self.times[:1])) / self.period_s

    def clock(self, periods: Array) -> pd.DatetimeIndex:
        """Convert periods since the first sample to times.

        Parameters
        ----------
        periods : ndarray

        Returns
        -------
        DatetimeIndex
        """
        offsets = pd.to_timedelta(np.round(periods * self.period_s * 1e6), unit="us")
        return (self.times[0] + offsets).as_unit("us")

    @cached_property
    def noise(self) -> float:
        """Relative noise of a long history list: how far samples lie off the line between their neighbours.

        The lower quintile, because samples at the ends of a rise lie off that line without any noise.
        """
        middle, around = self.history[1:-1], (self.history[:-2] + self.history[2:]) / 2
        long = middle > np.quantile(self.history, 0.9) / 4
        if not long.any():
            return 0.0
        off = np.abs(middle - around)[long] / middle[long]
        return float(np.quantile(off, 0.2) / (0.2533 * np.sqrt(1.5)))  # 0.2533: that quantile of |N(0, 1)|

    @cached_property
    def entries(self) -> Array:
        """Running count of history entries that the writer made."""
        mean = (self.per_transaction[1:] + self.per_transaction[:-1]) / 2
        return np.concatenate([[0.0], np.cumsum(np.diff(self.committed) * mean)])

    @cached_property
    def view_start(self) -> Array:
        """Implied start of the oldest view [periods]; the mean rate applies before the first sample."""
        purged = self.entries - np.clip(self.history - self.base, 0, None)
        rate = self.entries[-1] / max(self.x[-1], 1)
        before = purged / max(rate, 1e-9)
        return np.where(before < 0, before, np.interp(purged, self.entries, self.x))

    @cached_property
    def age(self) -> Array:
        """Age of the oldest view [periods]."""
        return np.clip(self.x - self.view_start, 0, None)

    @cached_property
    def age_noise(self) -> Array:
        """Standard error of the age that the noise of the history list causes [periods]."""
        rate = np.gradient(self.entries, self.x)
        return self.noise * self.history / np.maximum(rate, 1e-3 * max(float(np.median(rate)), 1e-9))

    @cached_property
    def purged_share(self) -> tuple[Array, Array]:
        """Entries purged per entry written around each sample, and its standard error from noise.

        0 while a view blocks purge, 1 while purge keeps up, above 1 while a backlog drains.
        """
        share, error = np.zeros(len(self.x)), np.full(len(self.x), np.inf)
        for half in SLOPES:
            grown, written = (_step(one, half) for one in (self.history, self.entries))
            wider = error > PRECISE
            share = np.where(wider, 1 - grown / np.maximum(written, 1e-9), share)
            error = np.where(wider, self.age_noise * np.sqrt(2 / half) / half, error)
        return share, error

    @cached_property
    def slowness(self) -> float:
        """Plausibility that purge trails, by the speed at which it drains a backlog [0 to 1]."""
        share, error = self.purged_share
        drains = share[(error < PRECISE) & (self.age > OLD) & (share > DRAINING)]
        speed = float(np.quantile(drains, 0.75)) if len(drains) >= DRAINS_NEEDED else FAST
        return float(np.clip((FAST - speed) / (FAST - SLOW), 0, 1))

    def busy(self) -> Iterator[tuple[int, int]]:
        """Find stretches with a view old enough to be noticed, with a margin; gaps separate stretches.

        Yields
        ------
        tuple of int
            First position and end position (exclusive) of each stretch, in order.
        """
        around = np.convolve(self.age > YOUNGEST, np.ones(2 * MARGIN + 1), mode="same") > 0
        parts = np.cumsum(np.diff(self.x, prepend=self.x[0]) > GAP)
        yield from ((a, b) for a, b in stretches(np.where(around, parts, -1)) if around[a])

    def growth(self, label: Integers) -> Array:
        """Rise of the history list in each span of one holder, distributed over its samples by transactions.

        Parameters
        ----------
        label : ndarray
            Holder of each sample; `NONE` without a view.

        Returns
        -------
        ndarray
            Transactions by sample.
        """
        growth = np.zeros(len(label))
        counted = np.diff(self.committed, prepend=self.committed[0]) + 1e-9
        for first, last in stretches(label):
            if label[first] != NONE:
                lengths = self.history[max(first - 1, 0) : last]
                rise = lengths[lengths.argmin() :].max() - lengths.min()
                growth[first:last] = rise * counted[first:last] / counted[first:last].sum()
        return growth


def _step(values: Array, half: int) -> Array:
    """Mean of the next samples minus the mean of the previous ones; both include the sample itself."""
    total, place = np.concatenate([[0.0], np.cumsum(values)]), np.arange(len(values))
    last, first = np.minimum(place + half, len(values) - 1), np.maximum(place - half, 0)
    after = (total[last + 1] - total[place]) / (last + 1 - place)
    before = (total[place + 1] - total[first]) / (place + 1 - first)
    return np.asarray(after - before)
