"""The error of an effect, from how far it moves when one day after another is left out.

Minutes hang together and runs are few: a day is what may be taken as drawn anew. The days' sum of squares is the
CR3 variance (Bell & McCaffrey 2002); how evenly the days share the estimate gives it its degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from aurora_analysis.analysis.nuisance import Array, Integers

RIDGE = 1e-9
"""Of a column's own square: far below what the data resolve, and enough where two columns are the same one."""


@dataclass(frozen=True)
class Fit:
    """An effect on the log of each metric, its standard error and its degrees of freedom."""

    effect: Array
    error: Array
    df: float

    def p(self) -> Array:
        """The probability of such an effect, up or down, where there is none."""
        return np.asarray(2 * stats.t.sf(np.abs(self.effect) / self.error, self.df))


def no_fit(metrics: int) -> Fit:
    """Where the nuisance explains the exposure there is nothing to fit."""
    nothing = np.full(metrics, np.nan)
    return Fit(nothing, nothing, np.nan)


@dataclass(frozen=True)
class Days:
    """Inner products of columns, day by day: with each other (`grams`) and with each metric (`moments`).

    They are all that a fit needs; columns and metrics have the nuisance removed.
    """

    grams: Array
    moments: Array

    def coefficients(self, kept: Integers) -> Array:
        """The coefficient of each kept column, by metric: what least squares over all days gives."""
        grams, moments = self.grams[:, kept[:, None], kept].sum(axis=0), self.moments[:, kept].sum(axis=0)
        return np.asarray(np.linalg.solve(grams + _ridge(grams), moments))

    def fit(self, kept: Integers, weights: Array) -> Fit:
        """The weighted sum of the coefficients of the kept columns."""
        grams, moments = self.grams[:, kept[:, None], kept], self.moments[:, kept]
        gram, moment = grams.sum(axis=0), moments.sum(axis=0)
        ridge = _ridge(gram)
        solved = np.linalg.solve(gram + ridge, np.column_stack([moment, weights]))
        coefficients, direction = solved[:, :-1], solved[:, -1]
        # A column that only one day has is nothing without that day: the ridge lets it be.
        without = np.linalg.solve(gram - grams + ridge, moment - moments)
        error = np.sqrt(((weights @ (without - coefficients)) ** 2).sum(axis=0))
        share = grams @ direction @ direction
        share = share / share.sum()
        # A latency that never changes has no error: far below what could ever matter, but not zero.
        return Fit(weights @ coefficients, np.maximum(error, 1e-9), max(2.0, 1 / (share**2).sum() - 1))


def days(columns: Sequence[Array], y: Array, edges: Integers) -> Days:
    """The inner products of columns, side by side, over the days that begin at `edges`."""
    # Each column in one piece: gathering some of many is then a copy, not a walk through all of them.
    together = np.concatenate([*(part.T for part in columns), y.T])
    count = len(together) - y.shape[1]
    products = np.stack([day[:count] @ day.T for day in np.split(together, edges[1:], axis=1)])
    return Days(products[:, :, :count], products[:, :, count:])


def _ridge(gram: Array) -> Array:
    return RIDGE * np.diag(np.diag(gram))
