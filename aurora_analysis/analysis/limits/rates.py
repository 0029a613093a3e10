"""The writer's commit rate through the week, and how far a single day departs from it.

The rate of an hour is that of its kind of day (weekdays, weekends) times the level of its weekday. With few weeks a
weekday's level is shrunk towards its kind: two Mondays cannot show a Monday's own level (empirical Bayes: Morris 1983).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from aurora_analysis.analysis.series import Array, Integers
from aurora_analysis.errors import Error
from aurora_analysis.window import zone

STEP_MIN = 5
"""Resolution of the weekly rate [min]."""

A_DAY = 1440 // STEP_MIN
DAYS_NEEDED = 4
"""Fewer days with commits do not show how much days differ."""

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class WeeklyRate:
    """The commit rate through a week, in local time.

    Attributes
    ----------
    timezone : str
        Time zone of the week.
    log_rate : numpy.ndarray, shape (7 · A_DAY,)
        Log of the commits per second, from Monday 00:00 on.
    departures : numpy.ndarray, shape (days, A_DAY)
        Log of each recorded day's rate over the rate of its weekday; NaN where not observed.
    unsure : float
        Standard deviation of a weekday's level around its estimate [log].
    """

    timezone: str
    log_rate: Array
    departures: Array
    unsure: float

    def committed(self, start_min: float, minutes: int) -> Array:
        """Commits from a time of the week on, minute by minute, on an average week.

        Parameters
        ----------
        start_min : float
            Local minute of the week; 0 is Monday 00:00.
        minutes : int
            Length [min].

        Returns
        -------
        numpy.ndarray, shape (minutes + 1,)
            Commits since the start; the first is 0.
        """
        at = (start_min + np.arange(minutes) + 0.5) / STEP_MIN % len(self.log_rate)
        return np.concatenate([[0.0], np.cumsum(60 * np.exp(self.log_rate[at.astype(int)]))])

    def spread(self, start_min: float, minutes: float) -> tuple[float, int]:
        """Standard deviation of one day's mean rate over a span around the average week's, and its degrees of freedom.

        Parameters
        ----------
        start_min : float
            Local minute of the week.
        minutes : float
            Length of the span [min].

        Returns
        -------
        tuple of float and int
            Standard deviation [log] of a further day, its own estimate's error included; degrees of freedom.
        """
        first = int(start_min / STEP_MIN) % A_DAY
        steps = max(1, int(np.ceil(minutes / STEP_MIN)))
        through = self.departures.ravel()  # days follow each other, so that a span may pass midnight
        days = len(self.departures)
        spans = [through[day * A_DAY + first : day * A_DAY + first + steps] for day in range(days)]
        means = np.array(
            [np.nanmean(one) for one in spans if len(one) == steps and np.isfinite(one).mean() > 0.5]
        )
        if len(means) < 3:
            means = np.nanmean(self.departures, axis=1)
        df = max(len(means) - 2, 1)  # two kinds of days have a mean each
        return float(np.hypot(np.sqrt((means**2).sum() / df * (1 + 1 / len(means))), self.unsure)), df


def weekly_rate(commits: pd.Series, timezone: str) -> WeeklyRate | None:
    """Estimate the commit rate through the week.

    Parameters
    ----------
    commits : Series
        The writer's commits per second (UTC) [1/s].
    timezone : str
        Time zone of weekdays and hours.

    Returns
    -------
    WeeklyRate or None
        None if fewer than `DAYS_NEEDED` days have commits.
    """
    observed = commits[commits > 0].dropna()
    if observed.empty:
        return None
    local = pd.DatetimeIndex(observed.index).tz_convert(zone(timezone))
    steps = pd.DataFrame(
        {
            "date": local.date,
            "step": (local.hour * 60 + local.minute) // STEP_MIN,
            "rate": observed.to_numpy(),
        }
    )
    table = steps.pivot_table("rate", "date", "step").reindex(columns=range(A_DAY)).map(np.log)
    table = table[table.notna().mean(axis=1) > 0.5]
    if len(table) < DAYS_NEEDED:
        return None
    weekday = pd.DatetimeIndex(table.index).day_of_week.to_numpy()
    kinds = weekday >= 5
    logs = table.to_numpy()
    by_kind = {bool(kind): _filled(table[kinds == kind].mean().to_numpy(dtype=float)) for kind in set(kinds)}
    # Without a weekend in the window, a weekend is taken to be like a weekday, and the other way round.
    profile = np.array([by_kind.get(bool(kind), next(iter(by_kind.values()))) for kind in kinds])
    level, unsure = _levels(np.nanmean(logs - profile, axis=1), weekday)
    log_rate = np.concatenate(
        [by_kind.get(day >= 5, next(iter(by_kind.values()))) + level[day] for day in range(7)]
    )
    return WeeklyRate(timezone, log_rate, logs - profile - level[weekday][:, None], unsure)


def _filled(profile: Array) -> Array:
    """Fill steps that no day observed from their neighbours."""
    known = np.flatnonzero(np.isfinite(profile))
    return np.interp(np.arange(len(profile)), known, profile[known], period=len(profile))


def _levels(days: Array, weekday: Integers) -> tuple[Array, float]:
    """Level of each weekday relative to its kind, shrunk towards 0, and its standard deviation."""
    counts = np.bincount(weekday, minlength=7)
    means = np.bincount(weekday, days, minlength=7) / np.maximum(counts, 1)
    within_df = len(days) - np.count_nonzero(counts)
    if within_df < 2:
        return np.zeros(7), 0.0
    within = float(((days - means[weekday]) ** 2).sum() / within_df)
    known = counts > 0
    between = max(0.0, float((means[known] ** 2).mean() - within * (1 / counts[known]).mean()))
    if between == 0:
        return np.zeros(7), 0.0
    kept = between / (between + within / np.maximum(counts, 1e-9))
    return means * kept * known, float(np.sqrt(between * (1 - kept[known].min())))


def minute_of_week(text: str) -> float:
    """Parse a weekday and a time of day.

    Parameters
    ----------
    text : str
        Such as ``Mon 09:00`` or ``Saturday 4``.

    Returns
    -------
    float
        Minutes since Monday 00:00.

    Raises
    ------
    Error
        If it is no weekday with a time; the message shows an example.

    Examples
    --------
    >>> minute_of_week("Tue 14:30")
    2310.0
    """
    day, _, clock = text.strip().partition(" ")
    found = [n for n, name in enumerate(WEEKDAYS) if len(day) >= 2 and name.lower().startswith(day.lower())]
    hours, _, minutes = clock.strip().partition(":")
    numeric = hours.isdecimal() and (minutes.isdecimal() or not minutes)
    if len(found) != 1 or not numeric or int(hours) > 23 or int(minutes or 0) > 59:
        raise Error(f"{text!r} is not a weekday with a time: write it as 'Mon 09:00'.")
    return float(1440 * found[0] + 60 * int(hours) + int(minutes or 0))
