"""Estimate how far weeks vary when nothing changes: each row itself, what its group has in common, and the rest.

Rows are the logarithms of subjects, week by week. Few weeks estimate a row's variance badly, so it is shrunk towards
that of its group by empirical Bayes (Smyth 2004, Statistical Applications in Genetics and Molecular Biology 3:3). What a
week does to all rows of a group in common has only as many observations as there are weeks, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import pandas as pd
from scipy import special

from aurora_analysis.analysis.series import Array, Mask
from aurora_analysis.analysis.statistics import t_p
from aurora_analysis.analysis.workload_change.matched_hours import HourlyTotals, log_ratio, row_mean

WEEKS_NEEDED = 5
"""Smallest number of weeks, this window included, that estimates the week-to-week variation."""

SIBLINGS_NEEDED = 5
"""Smallest number of siblings for a common move; with fewer, one or two of them decide it."""

ROWS_NEEDED = 3
"""Smallest group whose rows are shrunk towards each other."""

MOST_BORROWED = 1e4
"""Largest prior degrees of freedom; beyond, a t distribution is practically normal."""


@dataclass(frozen=True)
class Variation:
    """Week-to-week variance of each row, and its degrees of freedom."""

    variance: Array
    df: Array

    def __getitem__(self, rows: Mask) -> Variation:
        return Variation(self.variance[rows], self.df[rows])

    def __setitem__(self, rows: Mask, other: Variation) -> None:
        self.variance[rows], self.df[rows] = other.variance, other.df


@dataclass(frozen=True)
class Effect:
    """Change of each row, in logarithms, with Student's t standard error.

    Parameters
    ----------
    estimate, se, df : ndarray, shape (rows,)
        The move, its standard error and its degrees of freedom; NaN if unknown.
    """

    estimate: Array
    se: Array
    df: Array

    @property
    def p(self) -> Array:
        """Two-sided p-value of no move."""
        return t_p(self.estimate / np.maximum(self.se, 1e-9), self.df)

    def half_width(self, p: float) -> Array:
        """Half-width of the (1 - p) confidence interval.

        Parameters
        ----------
        p : float
            Two-sided error probability [0 to 1].

        Returns
        -------
        ndarray, shape (rows,)
            In logarithms.
        """
        return np.asarray(special.stdtrit(self.df, 1 - p / 2) * self.se)


@dataclass(frozen=True)
class WeeklyComparison:
    """Each subject compared with its usual weeks and with its siblings.

    Parameters
    ----------
    vs_usual_weeks : Effect
        Move of the subject against its usual week, or against a baseline.
    vs_siblings : Effect
        Idiosyncratic move: the part that its siblings have not in common.
    common : Effect
        Move that the siblings have in common.
    variation : ndarray, shape (subjects,)
        Standard deviation from week to week, of logarithms.
    weeks : ndarray, shape (subjects,)
        Number of weeks with data, this window included.
    siblings : ndarray, shape (subjects,)
        Number of other subjects in the group; 0 for ungrouped subjects.
    """

    vs_usual_weeks: Effect
    vs_siblings: Effect
    common: Effect
    variation: Array
    weeks: Array
    siblings: Array


@dataclass(frozen=True)
class Baseline:
    """A window to compare with instead of the usual weeks, and how many weeks it lasted."""

    totals: HourlyTotals
    weeks: float


def compare_with_weeks(
    now: HourlyTotals,
    weeks: Sequence[HourlyTotals],
    baseline: Baseline | None,
    groups: Sequence[str],
    ungrouped: Mask,
) -> WeeklyComparison:
    """Compare each subject with its usual week, or with a baseline.

    Parameters
    ----------
    now : HourlyTotals
        The window.
    weeks : sequence of HourlyTotals
        Earlier weeks, which estimate the week-to-week variation.
    baseline : Baseline or None
        Compare with this window instead of the mean of the earlier weeks.
    groups : sequence of str, length subjects
        Group of each subject; common moves need enough siblings.
    ungrouped : ndarray of bool, shape (subjects,)
        Subjects without siblings.

    Returns
    -------
    WeeklyComparison
        NaN for subjects with fewer than `WEEKS_NEEDED` weeks.
    """
    if not weeks:
        none = np.full(len(groups), np.nan)
        unknown = Effect(none, none, none)
        return WeeklyComparison(
            unknown, unknown, unknown, none, weeks=np.ones(len(groups)), siblings=np.zeros(len(groups))
        )
    usual = reduce(add, weeks)
    sides = [now, *([baseline.totals] if baseline else [])]
    logs = np.column_stack([*(log_ratio(side, usual) for side in sides), *_leave_one_out(weeks)])
    observed = np.isfinite(logs[:, -len(weeks) :]).sum(axis=1)
    logs[observed + 1 < WEEKS_NEEDED] = np.nan
    members = pd.Series(np.isfinite(logs[:, 0])).groupby(np.asarray(groups)).transform("sum").to_numpy()
    siblings = np.where(ungrouped, 0, np.maximum(members - 1, 0))
    common = np.where((siblings < SIBLINGS_NEEDED)[:, None], np.nan, common_moves(logs, groups))
    variation = variations(logs[:, -len(weeks) :], groups)
    lasted, reference = (
        (baseline.weeks, slice(1, 2)) if baseline else (np.maximum(observed, 1), slice(1, None))
    )
    usual_move, own_move, common_move = (
        Effect(part[:, 0] - row_mean(part[:, reference]), np.sqrt(one.variance * (1 + 1 / lasted)), one.df)
        for part, one in zip((logs, logs - common, common), variation)
    )
    return WeeklyComparison(
        usual_move, own_move, common_move, np.sqrt(variation[0].variance), observed + 1, siblings
    )


def _leave_one_out(weeks: Sequence[HourlyTotals]) -> list[Array]:
    """Log ratio of each week to the mean of all weeks, computed leave-one-out.

    A mean that contains the week would look too similar to it.
    """
    others = [reduce(add, [*weeks[:n], *weeks[n + 1 :]]) for n in range(len(weeks))] if weeks[1:] else weeks
    return [(1 - 1 / len(weeks)) * log_ratio(*pair) for pair in zip(weeks, others)]


def common_moves(logs: Array, groups: Sequence[str]) -> Array:
    """Compute the move that all rows of a group have in common in each week.

    Parameters
    ----------
    logs : ndarray, shape (rows, weeks)
        Logarithms of the subjects.
    groups : sequence of str, length rows
        Group of each row.

    Returns
    -------
    ndarray, shape (rows, weeks)
        Median of the group, which a single row that moves does not shift.
    """
    return pd.DataFrame(logs).groupby(np.asarray(groups)).transform("median").to_numpy()


def variations(logs: Array, groups: Sequence[str]) -> tuple[Variation, Variation, Variation]:
    """Estimate the week-to-week variance of each row: total, idiosyncratic, and common to its group.

    A row's variance is its group's common variance plus its own; the sum's degrees of freedom follow Satterthwaite (1946,
    Biometrics Bulletin 2:6). Rows in a group of fewer than `ROWS_NEEDED` have only their own variance.

    Parameters
    ----------
    logs : ndarray, shape (rows, weeks)
        Logarithms of the subjects; NaN is missing.
    groups : sequence of str, length rows
        Group of each row.

    Returns
    -------
    tuple of Variation
        Total, idiosyncratic and common variation.
    """
    shared = common_moves(logs, groups)
    total, own, common = map(_plain, (logs, logs - shared, shared))
    shrunk = Variation(np.full(len(logs), np.nan), np.ones(len(logs)))
    for group in set(groups):
        members = (np.asarray(groups) == group) & (own.variance > 0)
        if members.sum() >= ROWS_NEEDED:
            shrunk[members] = _shrunk(own[members])
            total[members] = _sum(shrunk[members], common[members])
    return total, shrunk, common


def _plain(logs: Array) -> Variation:
    """Sample variance of each row."""
    df = np.isfinite(logs).sum(axis=1) - 1.0
    squares = np.nansum((logs - row_mean(logs)[:, None]) ** 2, axis=1)
    return Variation(np.where(df > 0, squares / np.maximum(df, 1), np.nan), np.maximum(df, 1))


def _sum(own: Variation, common: Variation) -> Variation:
    """Add idiosyncratic and common variance, with the degrees of freedom of Satterthwaite."""
    noise = 1 / (1 / own.variance).sum()  # the median of the rows also moves by chance
    group = np.maximum(common.variance - noise, 0.0)
    doubt = own.variance**2 / own.df + group**2 / common.df
    return Variation(own.variance + group, (own.variance + group) ** 2 / doubt)


def _shrunk(rows: Variation) -> Variation:
    """Shrink each variance towards the prior; the more similar the rows are, the stronger."""
    centre, borrowed = _prior(rows.variance, rows.df)
    borrowed = min(borrowed, MOST_BORROWED)
    shrunk = (borrowed * centre + rows.df * rows.variance) / (borrowed + rows.df)
    return Variation(shrunk, borrowed + rows.df)


def _prior(variance: Array, df: Array) -> tuple[float, float]:
    """Prior variance and its degrees of freedom, by moments of the logarithm (Smyth 2004)."""
    logs = np.log(variance) - special.digamma(df / 2) + np.log(df / 2)
    excess = float(logs.var(ddof=1) - special.polygamma(1, df / 2).mean())
    if excess <= 0:
        return float(np.exp(logs.mean())), np.inf
    half = _inverse_trigamma(excess)
    return float(np.exp(logs.mean() + special.digamma(half) - np.log(half))), 2 * half


def _inverse_trigamma(value: float) -> float:
    """Invert the trigamma function by Newton steps on the reciprocal (Smyth 2004, appendix)."""
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = special.polygamma(1, x)
        step = float(trigamma * (1 - trigamma / value) / special.polygamma(2, x))
        x += step
        if abs(step) < 1e-9 * x:
            break
    return x
