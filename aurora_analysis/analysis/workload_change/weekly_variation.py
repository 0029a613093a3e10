"""How far weeks spread when nothing happens: each row by itself, all of a kind alike, and each apart from the others.

Rows are the logarithms of subjects, week by week. Few weeks tell the spread of a row badly, so it leans on the rows of
its kind, by empirical Bayes (Smyth 2004, Statistical Applications in Genetics and Molecular Biology 3:3). What a week
does to all rows of a kind alike is told by as many values as there are weeks, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import pandas as pd
from scipy import special, stats

from aurora_analysis.analysis.series import Array, Mask
from aurora_analysis.analysis.workload_change.matched_hours import Sums, log_ratio, row_mean

WEEKS_NEEDED = 5
"""The window and four earlier weeks: with fewer a spread from week to week would only look like one."""

SIBLINGS_NEEDED = 5
"""With fewer others, one or two of them decide what all did."""

KIN_NEEDED = 3
"""With fewer rows of a kind each stands alone."""

MOST_BORROWED = 1e4
"""Degrees of freedom beyond which a t distribution is the normal one."""


@dataclass(frozen=True)
class Spread:
    """The variance of each row from week to week, and the degrees of freedom that it is worth."""

    variance: Array
    df: Array

    def __getitem__(self, rows: Mask) -> Spread:
        return Spread(self.variance[rows], self.df[rows])

    def __setitem__(self, rows: Mask, other: Spread) -> None:
        self.variance[rows], self.df[rows] = other.variance, other.df


@dataclass(frozen=True)
class Effect:
    """How far each row moved, with the standard error of Student's t: in logarithms."""

    estimate: Array
    se: Array
    df: Array

    @property
    def p(self) -> Array:
        return np.multiply(2, stats.t.sf(np.abs(self.estimate) / np.maximum(self.se, 1e-9), self.df))

    def half(self, p: float) -> Array:
        """Half the interval that this p-value belongs to."""
        return np.multiply(stats.t.isf(p / 2, self.df), self.se)


@dataclass(frozen=True)
class Against:
    """What each subject did against weeks: `unusual` by itself, `apart` from its siblings, what those did `alike`.

    With its `spread` from week to week (of logarithms), the `weeks` that tell it, the window included, and the number
    of its `siblings`.
    """

    moves: dict[str, Effect]
    spread: Array
    weeks: Array
    siblings: Array


def against_weeks(
    now: Sums, weeks: Sequence[Sums], baseline: tuple[Sums, float] | None, kinds: Sequence[str], lone: Mask
) -> Against:
    """Each subject against its ordinary week, or against a baseline that lasted so many weeks.

    What a kind did alike is told of where it has siblings enough; `lone` subjects have none.
    """
    if not weeks:
        none = np.full(len(kinds), np.nan)
        moves = dict.fromkeys(("unusual", "apart", "alike"), Effect(none, none, none))
        return Against(moves, spread=none, weeks=np.ones(len(kinds)), siblings=np.zeros(len(kinds)))
    ordinary = reduce(add, weeks)
    sides = [now, *([baseline[0]] if baseline else [])]
    logs = np.column_stack([*(log_ratio(side, ordinary) for side in sides), *_among_others(weeks)])
    told = np.isfinite(logs[:, -len(weeks) :]).sum(axis=1)
    logs[told + 1 < WEEKS_NEEDED] = np.nan
    there = pd.Series(np.isfinite(logs[:, 0])).groupby(np.asarray(kinds)).transform("sum").to_numpy()
    siblings = np.where(lone, 0, np.maximum(there - 1, 0))
    of_kind = np.where((siblings < SIBLINGS_NEEDED)[:, None], np.nan, alike(logs, kinds))
    parts = {"unusual": logs, "apart": logs - of_kind, "alike": of_kind}
    spread = spreads(logs[:, -len(weeks) :], kinds)
    lasted, reference = (baseline[1], slice(1, 2)) if baseline else (np.maximum(told, 1), slice(1, None))
    moves = {
        name: Effect(
            part[:, 0] - row_mean(part[:, reference]), np.sqrt(one.variance * (1 + 1 / lasted)), one.df
        )
        for (name, part), one in zip(parts.items(), spread)
    }
    return Against(moves, np.sqrt(spread[0].variance), told + 1, siblings)


def _among_others(weeks: Sequence[Sums]) -> list[Array]:
    """Each week against the mean of all, by way of the others: matched with itself it would seem to be like them."""
    others = [reduce(add, [*weeks[:n], *weeks[n + 1 :]]) for n in range(len(weeks))] if weeks[1:] else weeks
    return [(1 - 1 / len(weeks)) * log_ratio(*pair) for pair in zip(weeks, others)]


def alike(logs: Array, kinds: Sequence[str]) -> Array:
    """What all rows of a kind did alike in each week: their median, which one row that moves does not shift."""
    return pd.DataFrame(logs).groupby(np.asarray(kinds)).transform("median").to_numpy()


def spreads(logs: Array, kinds: Sequence[str]) -> tuple[Spread, Spread, Spread]:
    """How far rows spread from week to week: each by itself, apart from its kind, and the kind.

    By itself a row does what its kind does and what it does apart: the sum of both is worth the degrees of freedom of
    Satterthwaite (1946, Biometrics Bulletin 2:6). Rows without a kind have only their own spread.
    """
    of_kind = alike(logs, kinds)
    own, apart, common = map(_plain, (logs, logs - of_kind, of_kind))
    leant = Spread(np.full(len(logs), np.nan), np.ones(len(logs)))
    for kind in set(kinds):
        mine = (np.asarray(kinds) == kind) & (apart.variance > 0)
        if mine.sum() >= KIN_NEEDED:
            leant[mine] = _leaning(apart[mine])
            own[mine] = _sum(leant[mine], common[mine])
    return own, leant, common


def _plain(logs: Array) -> Spread:
    df = np.isfinite(logs).sum(axis=1) - 1.0
    squares = np.nansum((logs - row_mean(logs)[:, None]) ** 2, axis=1)
    return Spread(np.where(df > 0, squares / np.maximum(df, 1), np.nan), np.maximum(df, 1))


def _sum(apart: Spread, common: Spread) -> Spread:
    """What rows do apart and what their kind does, as one variance, and what it is worth."""
    noise = 1 / (1 / apart.variance).sum()  # the median of the rows moves by chance, too
    kind = np.maximum(common.variance - noise, 0.0)
    doubt = apart.variance**2 / apart.df + kind**2 / common.df
    return Spread(apart.variance + kind, (apart.variance + kind) ** 2 / doubt)


def _leaning(rows: Spread) -> Spread:
    """Each variance drawn to that of the kind, the more the more alike they are, and what it is worth then."""
    centre, borrowed = _shared(rows.variance, rows.df)
    borrowed = min(borrowed, MOST_BORROWED)
    leant = (borrowed * centre + rows.df * rows.variance) / (borrowed + rows.df)
    return Spread(leant, borrowed + rows.df)


def _shared(variance: Array, df: Array) -> tuple[float, float]:
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
