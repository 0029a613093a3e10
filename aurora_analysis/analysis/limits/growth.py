"""Estimate the speeds at which the history list grows during a hold and purge works it off, from recorded holds.

A hold adds the transactions that the writer commits, times the history entries that each leaves. The variation of
both between recorded holds makes an interval a prediction interval for one hold, not a confidence interval for a mean.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from aurora_analysis.analysis.limits.rates import WeeklyRate, weekly_rate
from aurora_analysis.analysis.limits.recorded import Recorded
from aurora_analysis.analysis.series import Array, stretches
from aurora_analysis.analysis.undo_log.samples import NONE

SHORTEST_SPAN = 5
"""Shorter spans of one holder do not measure the growth per transaction [samples]."""

SAMPLES_NEEDED = 12
"""Fewest samples of an hour that show that no view was held: a view of minutes may lie between two samples."""

SPANS_NEEDED = 3
"""Fewer spans do not show how much they differ."""


@dataclass(frozen=True)
class Lognormal:
    """A positive quantity that differs from hold to hold: mean and standard deviation of its logarithm.

    Attributes
    ----------
    mean, deviation : float
        Of the logarithm.
    count : int
        Number of holds that it was measured in.
    """

    mean: float
    deviation: float
    count: int

    def draws(self, rng: np.random.Generator, count: int) -> Array:
        """Values of further holds: their own variation and the error of the mean.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of random numbers.
        count : int
            Number of draws.

        Returns
        -------
        numpy.ndarray, shape (count,)
            The values.
        """
        t = rng.standard_t(self.count - 1, count)
        return np.asarray(
            np.exp(self.mean + np.clip(self.deviation * np.sqrt(1 + 1 / self.count) * t, -5, 5))
        )

    @property
    def typical(self) -> float:
        """Geometric mean."""
        return float(np.exp(self.mean))


@dataclass(frozen=True)
class Growth:
    """The factors that turn time into history list length.

    Attributes
    ----------
    rate : WeeklyRate
        Commits through the week.
    entries : Lognormal
        History entries per transaction.
    purge : Lognormal, optional
        Entries that purge removes per second when nothing holds it [1/s]; None if no hold was seen to drain.
    hourly_peaks : numpy.ndarray, shape (hours,)
        Longest history list of each recorded hour in which nothing held purge and no earlier hold still drained
        [transactions].
    """

    rate: WeeklyRate
    entries: Lognormal
    purge: Lognormal | None
    hourly_peaks: Array = field(default_factory=lambda: np.zeros(1))

    def peaks(self, rng: np.random.Generator, count: int, minutes: float) -> Array:
        """Longest history list of spans in which nothing holds purge [transactions].

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of random numbers.
        count : int
            Number of draws.
        minutes : float
            Length of each span [min].

        Returns
        -------
        numpy.ndarray, shape (count,)
            The lengths; 0 if no such hour was recorded.
        """
        hours = max(1, int(np.ceil(minutes / 60)))
        return np.asarray(rng.choice(self.hourly_peaks, (hours, count)).max(axis=0))


def growth(recorded: Recorded, timezone: str) -> Growth | str:
    """Measure growth and purge from recorded holds.

    Parameters
    ----------
    recorded : Recorded
        The holds of a window.
    timezone : str
        Time zone of weekdays and hours.

    Returns
    -------
    Growth or str
        The growth, or the reason why it is not known, as the second half of a sentence.
    """
    rate = weekly_rate(recorded.commits, timezone)
    if rate is None:
        return "fewer than 4 days have a commit rate, so that hours and weekdays cannot be separated"
    entries = _lognormal(per_transaction(recorded.oldest_view, recorded.commits))
    if entries is None:
        return f"fewer than {SPANS_NEEDED} spans show an identified view that blocked purge"
    purge = _lognormal(_purge_speeds(recorded, entries.typical))
    return Growth(rate, entries, purge, _hourly_peaks(recorded))


def per_transaction(oldest_view: pd.DataFrame, commit_throughput: pd.Series) -> Array:
    """Estimate the history entries per transaction, in each span in which one identified view blocked purge.

    Parameters
    ----------
    oldest_view : DataFrame
        Result of `attribute_oldest_view`.
    commit_throughput : Series
        The writer's commits per second over time (UTC) [1/s].

    Returns
    -------
    ndarray, shape (spans,)
        History entries per transaction.
    """
    run = oldest_view["run"].fillna(NONE).to_numpy(dtype=int)
    known = commit_throughput.dropna().sort_index()
    found = []
    for first, last in stretches(run):
        span = oldest_view.iloc[max(first - 1, 0) : last]
        if run[first] >= 0 and last - first >= SHORTEST_SPAN:
            lowest = np.flatnonzero(span["length"] == span["length"].min())[-1]
            rise = span["length"].iloc[lowest:]
            grown = rise.max() - rise.iloc[0]
            passed = known[rise.index[0] : rise.idxmax()]
            lasted = (rise.idxmax() - rise.index[0]).total_seconds()
            if grown > 0 and lasted > 0 and passed.mean() > 0:
                found.append(grown / (passed.mean() * lasted))
    return np.array(found)


def _purge_speeds(recorded: Recorded, entries: float) -> Array:
    """Entries that purge removed per second after each complete hold: the fall, and what was committed meanwhile."""
    complete = recorded.episodes[recorded.episodes["complete"]]
    ends = zip(complete["peak_at"], complete["end"])
    meanwhile = np.array([recorded.commits[peak:end].mean() for peak, end in ends])
    drained = complete["drain_per_s"].to_numpy(dtype=float)
    known = (drained > 0) & (meanwhile > 0)
    return np.asarray((drained + entries * meanwhile)[known])


def _hourly_peaks(recorded: Recorded) -> Array:
    """Longest history list of each hour in which only short views were open and no earlier hold drained, at each sample."""
    oldest_view = recorded.oldest_view
    hour = pd.DatetimeIndex(oldest_view.index).floor("h")
    samples = ((oldest_view["state"] == "none") & ~_draining(recorded)).groupby(hour)
    quiet = samples.all() & (samples.size() >= SAMPLES_NEEDED)
    peaks = oldest_view["length"].groupby(hour).max()[quiet].to_numpy(dtype=float)
    return peaks if len(peaks) else np.zeros(1)


def _draining(recorded: Recorded) -> pd.Series:
    """Flag samples at which the history list at each sample is still above where a hold found it."""
    length = recorded.oldest_view["length"]
    found = pd.Series(False, length.index)
    spans = recorded.episodes[["start", "peak_at", "start_length"]]
    for start, peak, before in spans.itertuples(index=False):
        after = length[peak:]  # an episode ends with nine tenths of the fall: a tenth may still be a lot
        drained = after.index[after <= max(before, recorded.base)]
        found[start : drained[0] if len(drained) else None] = True
    return found


def _lognormal(values: Array) -> Lognormal | None:
    if len(values) < SPANS_NEEDED:
        return None
    logs = np.log(values)
    return Lognormal(float(logs.mean()), float(logs.std(ddof=1)), len(logs))
